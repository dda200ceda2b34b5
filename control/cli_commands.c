/* SPDX-License-Identifier: Apache-2.0
 *
 * The commands of administrators: each one request to the admin API, its answer as text or JSON.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "control/cli.h"
#include "control/client.h"
#include "platform/file.h"
#include "platform/json.h"
#include "platform/secret.h"
#include "policy/policy.h"

/* ---- requests ---- */

/* Runs one request. On success ret_json is the answer (NULL: empty or no JSON) and text, when
 * given, its bytes. Otherwise the sentence is on stderr. */
static int request(const struct cli *cli, const char *method, const char *path, const void *body,
		   size_t len, json_t **ret_json, struct buffer *ret_text)
{
	struct error err = {0};
	struct buffer answer;
	const char *message = NULL;
	int status = 0, code = WARREN_EXIT_OK;

	*ret_json = NULL;
	buffer_init(&answer, 64u << 20);
	if (client_call(cli->socket, method, path, body, len, &status, &answer, &err) < 0) {
		fprintf(stderr, "warren-control: %s\n", error_text(&err));
		buffer_done(&answer);
		return WARREN_EXIT_NO_DAEMON;
	}
	json_t *root = answer.len && !ret_text ? json_load_strict((const char *)answer.data,
								  answer.len, answer.len, NULL)
					       : NULL;
	if (status >= 300) {
		if (!root && answer.len)
			root = json_load_strict((const char *)answer.data, answer.len, answer.len,
						NULL);
		json_t *error = json_object_get(root, "error");
		if (json_get_text(error, "message", 65536, &message, NULL) < 0)
			message = "the server refused without a reason";
		fprintf(stderr, "warren-control: %s\n", message);
		json_decref(root);
		code = WARREN_EXIT_FAILED;
	} else {
		*ret_json = root;
		if (ret_text && buffer_append(ret_text, answer.data, answer.len) < 0)
			code = WARREN_EXIT_FAILED;
	}
	buffer_done(&answer);
	return code;
}

static int send_json(const struct cli *cli, const char *method, const char *path, json_t *body,
		     json_t **ret_json)
{
	size_t len = 0;
	char *text = json_canonical(body, &len);
	int code;

	json_decref(body);
	if (!text)
		return WARREN_EXIT_FAILED;
	code = request(cli, method, path, text, len, ret_json, NULL);
	secret_wipe(text, len);
	free(text);
	return code;
}

static void print_json(const json_t *root)
{
	if (root && json_dumpf(root, stdout, JSON_INDENT(2) | JSON_SORT_KEYS) == 0)
		putchar('\n');
}

/* prefix + percent-encoded name. */
void cli_path(char *out, size_t cap, const char *prefix, const char *name)
{
	size_t n = (size_t)snprintf(out, cap, "%s", prefix);

	for (; *name && n + 4 < cap; name++) {
		unsigned char c = (unsigned char)*name;

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    strchr("-_.@", c))
			n += (size_t)snprintf(out + n, cap - n, "%c", c);
		else
			n += (size_t)snprintf(out + n, cap - n, "%%%02X", c);
	}
}

const char *cli_text(const json_t *row, const char *key)
{
	const char *s = json_string_value(json_object_get(row, key));

	return s ? s : "";
}

void cli_time(const json_t *row, const char *key, const char *zero, char out[32])
{
	time_t t = (time_t)json_integer_value(json_object_get(row, key));
	struct tm tm;

	if (t == 0)
		snprintf(out, 32, "%s", zero);
	else if (!gmtime_r(&t, &tm) || !strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm))
		snprintf(out, 32, "?");
}

/* A list: request, JSON as it is or one line per row. */
int cli_list(const struct cli *cli, const char *path, const char *key,
	     void (*line)(const json_t *row))
{
	json_t *root, *row;
	size_t i;
	int code = request(cli, "GET", path, NULL, 0, &root, NULL);

	if (code)
		return code;
	if (cli->json) {
		print_json(root);
	} else {
		json_array_foreach(json_object_get(root, key), i, row) line(row);
	}
	json_decref(root);
	return 0;
}

int cli_send(const struct cli *cli, const char *method, const char *path, json_t *body,
	     json_t **ret_json)
{
	return body ? send_json(cli, method, path, body, ret_json)
		    : request(cli, method, path, NULL, 0, ret_json, NULL);
}

int cli_plain(const struct cli *cli, const char *method, const char *path, json_t *body)
{
	json_t *root = NULL;
	int code = cli_send(cli, method, path, body, &root);

	if (code == 0 && cli->json)
		print_json(root);
	json_decref(root);
	return code;
}

/* ---- setup keys ---- */

static int setup_key_create(const struct cli *cli)
{
	json_t *root, *body;
	int code;

	if (!cli->name || (cli->reusable && cli->uses)) {
		fprintf(stderr, "warren-control: %s\n",
			cli->name ? "--reusable and --uses exclude each other"
				  : "a setup key needs a name: add --name NAME");
		return WARREN_EXIT_USAGE;
	}
	body = json_pack("{s:s,s:I,s:b}", "name", cli->name, "uses",
			 (json_int_t)(cli->reusable ? -1
				      : cli->uses   ? cli->uses
						    : 1),
			 "ephemeral", cli->ephemeral);
	if (body && cli->expires_s)
		(void)json_object_set_new(body, "expires_in", json_integer(cli->expires_s));
	code = send_json(cli, "POST", "/v1/admin/setup-keys", body, &root);
	if (code)
		return code;
	if (cli->json)
		print_json(root);
	else
		puts(cli_text(root, "key"));
	json_decref(root);
	return 0;
}

static void key_line(const json_t *row)
{
	char expires[32];
	json_int_t left = json_integer_value(json_object_get(row, "uses_left"));

	cli_time(row, "expires", "never", expires);
	printf("%-24s %-8s used %" JSON_INTEGER_FORMAT ", ", cli_text(row, "name"),
	       cli_text(row, "state"), json_integer_value(json_object_get(row, "used")));
	if (left < 0)
		printf("reusable");
	else
		printf("%" JSON_INTEGER_FORMAT " left", left);
	printf(", expires %s%s\n", expires,
	       json_is_true(json_object_get(row, "ephemeral")) ? ", ephemeral peers" : "");
}

static int setup_key_list(const struct cli *cli)
{
	return cli_list(cli, "/v1/admin/setup-keys", "setup_keys", key_line);
}

static int setup_key_revoke(const struct cli *cli)
{
	char path[512];

	cli_path(path, sizeof(path), "/v1/admin/setup-keys/", cli->args[0]);
	return cli_plain(cli, "DELETE", path, NULL);
}

/* ---- peers ---- */

static void peer_line(const json_t *row)
{
	printf("%-24s %-15s %-8s ssh %-14s %s\n", cli_text(row, "name"), cli_text(row, "overlay4"),
	       json_is_true(json_object_get(row, "online")) ? "online" : "offline",
	       !json_is_true(json_object_get(row, "ssh_enabled"))     ? "off"
	       : json_is_true(json_object_get(row, "ssh_advertised")) ? "on"
								      : "not advertised",
	       cli_text(row, "id"));
}

static int peer_list(const struct cli *cli)
{
	return cli_list(cli, "/v1/admin/peers", "peers", peer_line);
}

static int peer_remove(const struct cli *cli)
{
	char path[512];

	cli_path(path, sizeof(path), "/v1/admin/peers/", cli->args[0]);
	return cli_plain(cli, "DELETE", path, NULL);
}

static int peer_rename(const struct cli *cli)
{
	char path[512];

	cli_path(path, sizeof(path), "/v1/admin/peers/", cli->args[0]);
	return cli_plain(cli, "PATCH", path, json_pack("{s:s}", "name", cli->args[1]));
}

static int peer_ssh(const struct cli *cli)
{
	char path[512];
	int on = strcmp(cli->args[1], "on") == 0;

	if (!on && strcmp(cli->args[1], "off") != 0) {
		fprintf(stderr, "warren-control: write on or off, not \"%s\"\n", cli->args[1]);
		return WARREN_EXIT_USAGE;
	}
	cli_path(path, sizeof(path), "/v1/admin/peers/", cli->args[0]);
	return cli_plain(cli, "PATCH", path, json_pack("{s:b}", "ssh_enabled", on));
}

/* ---- policy ---- */

static int read_input(const char *file, size_t max, struct buffer *out)
{
	int r;

	buffer_init(out, max);
	r = strcmp(file, "-") == 0 ? file_read_fd(STDIN_FILENO, out) : file_read(file, out);
	if (r < 0)
		fprintf(stderr, "warren-control: %s cannot be read: %s\n", file, strerror(-r));
	return r;
}

/* more: further parameters, or "". */
static int policy_send(const struct cli *cli, const char *method, const char *path,
		       const char *more)
{
	const char *file = cli->args[0];
	char name[960], full[1024];
	struct buffer text;
	json_t *root = NULL;
	int code = WARREN_EXIT_FAILED;

	cli_path(name, sizeof(name), path, strcmp(file, "-") == 0 ? "stdin" : file);
	snprintf(full, sizeof(full), "%s%s", name, more);
	if (read_input(file, POLICY_MAX_TEXT, &text) == 0)
		code = request(cli, method, full, text.data, text.len, &root, NULL);
	json_decref(root);
	buffer_done(&text);
	return code;
}

static int policy_set(const struct cli *cli)
{
	return policy_send(cli, "PUT", "/v1/admin/policy?file=", "");
}

static int policy_test(const struct cli *cli)
{
	char at[40] = "";
	int64_t at_s;
	int code;

	if (cli->at && policy_parse_time(cli->at, &at_s) < 0) {
		fprintf(stderr,
			"warren-control: \"%s\" is no time: write one like "
			"2027-01-04T08:00:00+01:00\n",
			cli->at);
		return WARREN_EXIT_USAGE;
	}
	if (cli->at)
		snprintf(at, sizeof(at), "&at=%lld", (long long)at_s);
	code = policy_send(cli, "POST", "/v1/admin/policy/test?file=", at);
	if (code == 0)
		puts("ok");
	return code;
}

static int policy_get(const struct cli *cli)
{
	struct buffer text;
	json_t *root;

	buffer_init(&text, POLICY_MAX_TEXT);
	int code = request(cli, "GET", "/v1/admin/policy", NULL, 0, &root, &text);
	if (code == 0 && fwrite(text.data, 1, text.len, stdout) == text.len && text.len &&
	    text.data[text.len - 1] != '\n')
		putchar('\n');
	buffer_done(&text);
	return code;
}

/* ---- users ---- */

static json_t *split_groups(const char *text)
{
	json_t *groups = json_array();

	while (*text) {
		size_t len = strcspn(text, ",");

		if (len)
			(void)json_array_append_new(groups, json_stringn(text, len));
		text += len;
		if (*text == ',')
			text++;
	}
	return groups;
}

static int user_add(const struct cli *cli)
{
	struct buffer password;
	json_t *body;
	int code;

	if ((cli->password_file != NULL) == cli->password_stdin) {
		fprintf(stderr, "warren-control: give the password by --password-file FILE or "
				"--password-stdin\n");
		return WARREN_EXIT_USAGE;
	}
	if (read_input(cli->password_stdin ? "-" : cli->password_file, 4096, &password) < 0) {
		buffer_done(&password);
		return WARREN_EXIT_FAILED;
	}
	while (password.len && strchr("\r\n", password.data[password.len - 1]))
		password.len--;
	body = json_pack("{s:s,s:s%}", "email", cli->args[0], "password",
			 password.len ? (const char *)password.data : "", password.len);
	if (body && cli->groups)
		(void)json_object_set_new(body, "groups", split_groups(cli->groups));
	buffer_done(&password);
	if (!body) {
		fprintf(stderr, "warren-control: the password or the address is not valid UTF-8\n");
		return WARREN_EXIT_FAILED;
	}
	code = cli_plain(cli, "POST", "/v1/admin/users", body);
	return code;
}

static void user_line(const json_t *row)
{
	json_t *group;
	size_t i;

	printf("%-40s", cli_text(row, "email"));
	json_array_foreach(json_object_get(row, "groups"), i, group) printf(
		"%s%s", i ? "," : " ", json_string_value(group) ? json_string_value(group) : "");
	printf("%s\n", json_is_true(json_object_get(row, "disabled")) ? " (disabled)" : "");
}

static int user_list(const struct cli *cli)
{
	return cli_list(cli, "/v1/admin/users", "users", user_line);
}

static int user_remove(const struct cli *cli)
{
	char path[512];

	cli_path(path, sizeof(path), "/v1/admin/users/", cli->args[0]);
	return cli_plain(cli, "DELETE", path, NULL);
}

/* ---- events, network ---- */

static void event_line(const json_t *row)
{
	char when[32];
	char *detail = json_object_get(row, "detail")
			       ? json_canonical(json_object_get(row, "detail"), NULL)
			       : NULL;

	cli_time(row, "time", "-", when);
	printf("%s %-20s %s %s %s\n", when, cli_text(row, "kind"), cli_text(row, "actor"),
	       cli_text(row, "subject"), detail ? detail : "");
	free(detail);
}

static int events(const struct cli *cli)
{
	char path[128];

	snprintf(path, sizeof(path), "/v1/admin/events?limit=%.8s",
		 cli->limit ? cli->limit : "100");
	return cli_list(cli, path, "events", event_line);
}

static int network(const struct cli *cli)
{
	json_t *root;
	int code = request(cli, "GET", "/v1/admin/network", NULL, 0, &root, NULL);

	if (code)
		return code;
	if (cli->json)
		print_json(root);
	else
		printf("%s#%s\n", cli_text(root, "url"), cli_text(root, "fingerprint"));
	json_decref(root);
	return 0;
}

const struct cli_command cli_commands[] = {
	{{"setup-key", "create"},
	 0,
	 "nruxe",
	 "setup-key create --name NAME [--reusable | --uses K] [--expires 1h|7d] [--ephemeral]",
	 setup_key_create},
	{{"setup-key", "list"}, 0, "", "setup-key list", setup_key_list},
	{{"setup-key", "revoke"}, 1, "", "setup-key revoke NAME", setup_key_revoke},
	{{"peer", "list"}, 0, "", "peer list", peer_list},
	{{"peer", "remove"}, 1, "", "peer remove NAME", peer_remove},
	{{"peer", "rename"}, 2, "", "peer rename OLD NEW", peer_rename},
	{{"peer", "ssh"}, 2, "", "peer ssh NAME on|off", peer_ssh},
	{{"policy", "set"}, 1, "", "policy set FILE", policy_set},
	{{"policy", "get"}, 0, "", "policy get", policy_get},
	{{"policy", "test"}, 1, "a", "policy test [--at TIME] FILE", policy_test},
	{{"user", "add"},
	 1,
	 "gpi",
	 "user add EMAIL [--groups a,b] (--password-file FILE | --password-stdin)",
	 user_add},
	{{"user", "list"}, 0, "", "user list", user_list},
	{{"user", "remove"}, 1, "", "user remove EMAIL", user_remove},
	{{"user", "disable"}, 1, "", "user disable EMAIL", cli_user_disable},
	{{"user", "enable"}, 1, "", "user enable EMAIL", cli_user_enable},
	{{"identity", "block"}, 1, "", "identity block IDENTITY", cli_identity_block},
	{{"identity", "unblock"}, 1, "", "identity unblock IDENTITY", cli_identity_unblock},
	{{"identity", "list"}, 0, "", "identity list", cli_identity_list},
	{{"cert", "list"}, 0, "Il", "cert list [--identity IDENTITY] [--limit N]", cli_cert_list},
	{{"cert", "revoke"}, -1, "I", "cert revoke SERIAL | --identity IDENTITY", cli_cert_revoke},
	{{"events", NULL}, 0, "l", "events [--limit N]", events},
	{{"network", NULL}, 0, "", "network", network},
};
const size_t cli_command_count = sizeof(cli_commands) / sizeof(cli_commands[0]);
