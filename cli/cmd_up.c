/* SPDX-License-Identifier: Apache-2.0
 *
 * warren up, down, login, logout. Switches that open the machine and the choice of control server
 * go to the broker's own socket, by root, before the daemon is asked to come up.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/keyfile.h"
#include "cli/openssh.h"
#include "cli/prompt.h"
#include "platform/buffer.h"
#include "platform/encode.h"
#include "platform/file.h"
#include "platform/secret.h"

static const struct {
	const char *flag, *key;
} switches[] = {
	{"--allow-server-ssh", "allow_server_ssh"},
	{"--enable-ssh-root", "enable_ssh_root"},
	{"--enable-ssh-sftp", "enable_ssh_sftp"},
	{"--enable-ssh-local-port-forwarding", "enable_ssh_local_port_forwarding"},
	{"--enable-ssh-remote-port-forwarding", "enable_ssh_remote_port_forwarding"},
	{"--disable-ssh-auth", "disable_ssh_auth"},
	{"--enable-ssh-authorized-keys", "enable_ssh_authorized_keys"},
	{"--enable-ssh-jwt-password", "enable_ssh_jwt_password"},
};

#define UP_USAGE                                                                                   \
	"up [--control URL] [--setup-key KEY | --setup-key-file FILE | --token-file FILE]\n"       \
	"          [--hostname NAME] [--mtu N]\n"                                                  \
	"          [--allow-server-ssh] [--enable-ssh-root] [--enable-ssh-sftp]\n"                 \
	"          [--enable-ssh-local-port-forwarding] [--enable-ssh-remote-port-forwarding]\n"   \
	"          [--disable-ssh-auth] [--enable-ssh-authorized-keys] [--enable-ssh-jwt-password]\n"                          \
	"          [--ssh-jwt-cache-ttl SECONDS] [--no-browser] [--qr]"

struct up {
	const char *control, *hostname;
	char *setup_key, *token; /* secret_alloc */
	json_t *switches, *request;
	struct prompt prompt;
};

/* The last 16 bytes of a setup key are the fingerprint of the control server's signing key. */
static int setup_key_fingerprint(const char *key, char out[static ENCODE_BASE64URL_SIZE(16)])
{
	uint8_t raw[48];
	size_t len = 0;
	int r;

	if (strncmp(key, "wsk_", 4) != 0)
		return -EINVAL;
	r = encode_base64url_decode(raw, sizeof(raw), key + 4, strlen(key + 4), &len);
	if (r == 0 && len != sizeof(raw))
		r = -EINVAL;
	if (r == 0)
		encode_base64url(out, raw + 32, 16);
	secret_wipe(raw, sizeof(raw));
	return r;
}

static int read_key_file(const struct cli *c, const char *path, char **ret_key)
{
	struct buffer b;
	int r;

	buffer_init(&b, 4096);
	r = file_read(path, &b);
	if (r == 0) {
		while (b.len > 0 && strchr(" \t\r\n", b.data[b.len - 1]) != NULL)
			b.len--;
		*ret_key = buffer_cstring(&b) != NULL ? secret_strdup((const char *)b.data) : NULL;
		if (*ret_key == NULL)
			r = -ENOMEM;
	}
	buffer_done(&b);
	if (r < 0)
		return cli_fail(c, WARREN_EXIT_FAILED, "cannot read the setup key from %s: %s",
				path, strerror(-r));
	return 0;
}

static int parse_number(const char *text, long min, long max, long *ret_value)
{
	char *end = NULL;
	long v;

	if (text == NULL || *text == '\0')
		return -EINVAL;
	errno = 0;
	v = strtol(text, &end, 10);
	if (errno != 0 || *end != '\0' || v < min || v > max)
		return -ERANGE;
	*ret_value = v;
	return 0;
}

/* Copies the key and overwrites it where `ps` would show it. */
static void take_setup_key(struct up *up, char **argv, int i, const char *value)
{
	size_t offset = (size_t)(value - argv[i]);

	secret_free(up->setup_key);
	up->setup_key = secret_strdup(value);
	secret_wipe(argv[i] + offset, strlen(value));
}

static bool parse_switch(struct up *up, const char *arg)
{
	bool on;

	for (size_t k = 0; k < sizeof(switches) / sizeof(switches[0]); k++)
		if (cli_switch(arg, switches[k].flag, &on)) {
			json_object_set_new(up->switches, switches[k].key, json_boolean(on));
			return true;
		}
	return false;
}

static int parse_up(const struct cli *c, int argc, char **argv, struct up *up)
{
	const char *value;
	long number;
	bool on;

	for (int i = 1; i < argc; i++) {
		const char *flag = argv[i];
		int r = 0;

		value = "";
		if (parse_switch(up, flag))
			continue;
		if (cli_option(argv, &i, "--control", &value) ||
		    cli_option(argv, &i, "--management-url", &value)) {
			up->control = value;
		} else if (cli_option(argv, &i, "--setup-key-file", &value)) {
			r = value != NULL ? read_key_file(c, value, &up->setup_key) : 0;
		} else if (cli_option(argv, &i, "--token-file", &value)) {
			r = value != NULL ? cli_read_token(c, value, &up->token) : 0;
		} else if (cli_option(argv, &i, "--setup-key", &value)) {
			if (value != NULL)
				take_setup_key(up, argv, i, value);
		} else if (cli_option(argv, &i, "--hostname", &value)) {
			up->hostname = value;
		} else if (cli_option(argv, &i, "--mtu", &value)) {
			if (parse_number(value, 1280, 65535, &number) < 0)
				return cli_fail(c, WARREN_EXIT_USAGE, "--mtu wants 1280 to 65535");
			json_object_set_new(up->request, "mtu", json_integer(number));
		} else if (cli_option(argv, &i, "--ssh-jwt-cache-ttl", &value)) {
			if (parse_number(value, 0, 86400, &number) < 0)
				return cli_fail(c, WARREN_EXIT_USAGE,
						"--ssh-jwt-cache-ttl wants 0 to 86400 seconds");
			json_object_set_new(up->switches, "ssh_jwt_cache_ttl",
					    json_integer(number));
		} else if (cli_switch(flag, "--no-browser", &on)) {
			up->prompt.no_browser = on;
		} else if (cli_switch(flag, "--qr", &on)) {
			up->prompt.qr = on;
		} else {
			if (strcmp(flag, "--help") != 0)
				fprintf(stderr, "warren: up does not know \"%s\"\n", flag);
			return cli_usage(UP_USAGE);
		}
		if (value == NULL)
			return cli_fail(c, WARREN_EXIT_USAGE, "%s wants a value", flag);
		if (r != 0)
			return r;
	}
	return 0;
}

static int choose_control(const struct cli *c, struct up *up)
{
	char fingerprint[ENCODE_BASE64URL_SIZE(16)] = "", url[300];
	const char *hash = up->control != NULL ? strchr(up->control, '#') : NULL;
	int n;

	if (up->setup_key != NULL && setup_key_fingerprint(up->setup_key, fingerprint) < 0)
		return cli_fail(
			c, WARREN_EXIT_FAILED,
			"this is not a setup key: it begins with wsk_ and has 68 characters; "
			"make one with `warren-control setup-key create`");
	if (up->control == NULL)
		return 0;
	n = hash != NULL ? (int)(hash - up->control) : (int)strlen(up->control);
	while (n > 0 && up->control[n - 1] == '/')
		n--;
	if (n >= (int)sizeof(url))
		return cli_fail(c, WARREN_EXIT_USAGE, "--control: the URL is too long");
	snprintf(url, sizeof(url), "%.*s", n, up->control);
	if (hash != NULL) {
		uint8_t raw[16];

		if (encode_base64url_exact(raw, sizeof(raw), hash + 1) < 0)
			return cli_fail(
				c, WARREN_EXIT_USAGE,
				"--control: what follows # must be the 22 characters of the "
				"signing key's fingerprint");
		if (fingerprint[0] != '\0' && strcmp(fingerprint, hash + 1) != 0)
			return cli_fail(c, WARREN_EXIT_FAILED,
					"the setup key belongs to another control server than %s",
					url);
		snprintf(fingerprint, sizeof(fingerprint), "%s", hash + 1);
	}
	return cli_request_root(
		c,
		json_pack("{s:s,s:s,s:o}", "cmd", "control", "url", url, "fingerprint",
			  fingerprint[0] != '\0' ? json_string(fingerprint) : json_null()),
		NULL);
}

static int run_up(const struct cli *c, struct up *up)
{
	json_t *result = NULL;
	int code;

	code = choose_control(c, up);
	if (code == 0 && json_object_size(up->switches) > 0)
		code = cli_request_root(
			c, json_pack("{s:s,s:O}", "cmd", "set", "switches", up->switches), NULL);
	if (code != 0)
		return code;
	json_object_set_new(up->request, "cmd", json_string("up"));
	json_object_set_new(up->request, "no_browser", json_boolean(up->prompt.no_browser));
	if (up->setup_key != NULL)
		json_object_set_new(up->request, "setup_key", json_string(up->setup_key));
	if (up->token != NULL)
		json_object_set_new(up->request, "workload_token", json_string(up->token));
	if (up->hostname != NULL)
		json_object_set_new(up->request, "hostname", json_string(up->hostname));
	code = cli_request(c, json_incref(up->request), prompt_event, &up->prompt, &result);
	if (code == 0 && c->json)
		cli_print_json(result);
	else if (code == 0)
		puts("Connected");
	json_decref(result);
	return code;
}

int cli_up(const struct cli *c, int argc, char **argv)
{
	struct up up = {.switches = json_object(), .request = json_object()};
	int code = WARREN_EXIT_FAILED;

	if (up.switches != NULL && up.request != NULL) {
		code = parse_up(c, argc, argv, &up);
		if (code == 0)
			code = run_up(c, &up);
	}
	secret_free(up.setup_key);
	secret_free(up.token);
	json_decref(up.switches);
	json_decref(up.request);
	return code;
}

int cli_down(const struct cli *c, int argc, char **argv)
{
	int code;

	(void)argv;
	if (argc != 1)
		return cli_usage("down");
	code = cli_request(c, json_pack("{s:s}", "cmd", "down"), NULL, NULL, NULL);
	if (code == 0)
		puts("Disconnected");
	return code;
}

int cli_login(const struct cli *c, int argc, char **argv)
{
	struct prompt prompt = {0};
	json_t *result = NULL;
	char identity[256];
	bool force = false;
	int code;

	for (int i = 1; i < argc; i++)
		if (!cli_switch(argv[i], "--no-browser", &prompt.no_browser) &&
		    !cli_switch(argv[i], "--qr", &prompt.qr) &&
		    !cli_switch(argv[i], "--force", &force))
			return cli_usage("login [--no-browser] [--qr] [--force]");
	code = cli_request(c,
			   json_pack("{s:s,s:b,s:b,s:b}", "cmd", "login", "browser",
				     (int)prompt_has_browser(&prompt), "no_browser",
				     (int)prompt.no_browser, "force", (int)force),
			   prompt_event, &prompt, &result);
	if (code == 0 && c->json)
		cli_print_json(result);
	else if (code == 0)
		printf("Logged in as %s\n",
		       cli_text(result, "identity", identity, sizeof(identity)));
	json_decref(result);
	return code;
}

int cli_logout(const struct cli *c, int argc, char **argv)
{
	bool deregister = false;
	char dir[64], reason[400];
	json_t *result = NULL;
	int code;

	for (int i = 1; i < argc; i++)
		if (!cli_switch(argv[i], "--deregister", &deregister))
			return cli_usage("logout [--deregister]");
	code = cli_request(c,
			   json_pack("{s:s,s:b}", "cmd", "logout", "deregister", (int)deregister),
			   NULL, NULL, &result);
	if (code != 0)
		return code;
	openssh_directory(dir, sizeof(dir));
	keyfile_forget(dir);
	if (c->json)
		cli_print_json(result);
	if (strcmp(cli_text(result, "revocation", reason, sizeof(reason)), "failed") == 0)
		fprintf(stderr,
			"warren: the login provider was not told, and what renews the login there "
			"lives on until it ends: %s\n",
			cli_text(result, "revocation_reason", reason, sizeof(reason)));
	if (json_is_false(json_object_get(result, "told"))) {
		fprintf(stderr,
			"warren: logged out on this machine, but the control server could not be "
			"told: %s. SSH sessions on other machines go on until it is; this machine "
			"tells it as soon as it can\n",
			cli_text(result, "reason", reason, sizeof(reason)));
		json_decref(result);
		return WARREN_EXIT_FAILED;
	}
	json_decref(result);
	if (!c->json)
		puts(deregister ? "Left the network" : "Logged out");
	return code;
}
