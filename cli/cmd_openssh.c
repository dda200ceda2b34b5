/* SPDX-License-Identifier: Apache-2.0
 *
 * warren openssh detect|proxy|plain|hostkey|install|print|remove: what the drop-in for stock
 * OpenSSH calls (design section 8). detect must stay fast: ssh runs it for every host.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/connection.h"
#include "cli/openssh.h"
#include "cli/openssh_jump.h"
#include "platform/file.h"

#define DROP_IN "/etc/ssh/ssh_config.d/99-warren.conf"

/* `warren ssh` has prepared this very login and gives ssh all that the drop-in would. */
static bool is_prepared(const char *host, const char *port)
{
	const char *prepared = getenv(OPENSSH_PREPARED);
	size_t len = strlen(host);

	return prepared != NULL &&
	       (strcmp(prepared, "*") == 0 ||
		(strncasecmp(prepared, host, len) == 0 && prepared[len] == ' ' &&
		 strcmp(prepared + len + 1, port) == 0));
}

/* 0: ours, 2: not ours. Silent: ssh shows what a Match exec prints. */
static int detect(const struct cli *c, int argc, char **argv)
{
	struct ipc_client *client = NULL;
	json_t *request, *result = NULL;
	struct error err = {0};
	int code = 0, found = 2;

	if (argc < 4)
		return cli_usage("openssh detect HOST PORT [USER HASH]");
	if (is_prepared(argv[2], argv[3]))
		return found;
	if (ipc_connect(c->socket, &client, &err) < 0)
		return found;
	request = json_pack("{s:s,s:s,s:i,s:s,s:s}", "cmd", "ssh_detect", "host", argv[2], "port",
			    (int)strtol(argv[3], NULL, 10), "user", argc > 4 ? argv[4] : "", "hash",
			    argc > 5 ? argv[5] : "");
	if (request != NULL &&
	    ipc_call(client, request, NULL, NULL, 2000, &result, &code, &err) == 0) {
		if (json_is_string(json_object_get(result, "login")))
			found = WARREN_EXIT_OK;
		/* For logins that never come to our proxy (ssh -J); the proxy makes up for a
		 * failure. */
		if (found == WARREN_EXIT_OK && argc > 5 &&
		    openssh_write_hosts(client, argv[2], (int)strtol(argv[3], NULL, 10), argv[5]) <
			    0)
			found = WARREN_EXIT_OK;
		if (c->json)
			cli_print_json(result);
	}
	json_decref(request);
	json_decref(result);
	ipc_close(client);
	if (found == WARREN_EXIT_OK && argc > 5)
		openssh_jump(c, argv);
	return found;
}

static int hand_over(const struct cli *c, const struct openssh_login *login)
{
	struct stat st;
	int fd = -1, r = openssh_connect(login, &fd);

	if (r < 0)
		return cli_fail(c, WARREN_EXIT_FAILED, "cannot connect to %s port %d: %s",
				login->fqdn, login->port, strerror(-r));
	if (fstat(STDOUT_FILENO, &st) == 0 && S_ISSOCK(st.st_mode))
		r = connection_pass(fd);
	else
		r = connection_copy(fd);
	close(fd);
	return r < 0 ? cli_fail(c, WARREN_EXIT_FAILED, "cannot hand the connection to ssh: %s",
				strerror(-r))
		     : WARREN_EXIT_OK;
}

/* For `warren ssh`, which has prepared the login itself: NAME PORT ADDRESS ADDRESS|- KEY|- */
static int connect_prepared(const struct cli *c, int argc, char **argv)
{
	struct openssh_login login = {.early = -1};

	if (argc != 7)
		return cli_usage("openssh connect NAME PORT ADDRESS ADDRESS|- KEY|-");
	snprintf(login.fqdn, sizeof(login.fqdn), "%s", argv[2]);
	login.port = (int)strtol(argv[3], NULL, 10);
	for (int i = 4; i < 6; i++)
		if (strcmp(argv[i], "-") != 0)
			snprintf(login.addresses[login.address_count++], sizeof(login.addresses[0]),
				 "%s", argv[i]);
	if (strcmp(argv[6], "-") != 0)
		snprintf(login.path, sizeof(login.path), "%s", argv[6]);
	return hand_over(c, &login);
}

/* For names of the mesh where SSH is not ours: HOST PORT */
static int connect_plain(const struct cli *c, int argc, char **argv)
{
	struct openssh_login login = {.early = -1};
	int code;

	if (argc != 4)
		return cli_usage("openssh plain HOST PORT");
	code = openssh_find(c, argv[2], argv[3], &login);
	return code != 0 ? code : hand_over(c, &login);
}

static int proxy(const struct cli *c, int argc, char **argv)
{
	struct prompt prompt = {.piped = true};
	struct openssh_login login = {0};
	FILE *tty = NULL;
	int code;

	if (argc != 5)
		return cli_usage("openssh proxy HOST PORT USER");
	tty = fopen("/dev/tty", "we");
	prompt.out = tty;
	code = openssh_prepare(c, argv[2], argv[3], argv[4], NULL,
			       tty != NULL || getenv("DISPLAY") != NULL ||
				       getenv("WAYLAND_DISPLAY") != NULL,
			       &prompt, &login);
	if (tty != NULL)
		fclose(tty);
	if (code != 0)
		return code;
	if (login.note[0] != '\0')
		fprintf(stderr, "warren: %s\n", login.note);
	return hand_over(c, &login);
}

static int hostkey(const struct cli *c, int argc, char **argv)
{
	json_t *result = NULL;
	const json_t *line;
	size_t i;
	int code;

	if (argc != 3)
		return cli_usage("openssh hostkey HOST");
	code = cli_request(c, json_pack("{s:s,s:s}", "cmd", "ssh_hostkey", "host", argv[2]), NULL,
			   NULL, &result);
	if (code == 0)
		json_array_foreach(json_object_get(result, "lines"), i,
				   line) if (json_is_string(line))
			printf("%s\n", json_string_value(line));
	json_decref(result);
	return code;
}

/* What this machine is called in the mesh; both empty where it is in none. */
static void ask_names(const struct cli *c, char *fqdn, size_t fqdn_cap, char *address,
		      size_t address_cap)
{
	json_t *request = json_pack("{s:s}", "cmd", "status"), *answer = NULL;
	struct ipc_client *client = NULL;
	struct error err = {0};
	int code = 0;

	if (ipc_connect(c->socket, &client, &err) == 0 && request != NULL)
		if (ipc_call(client, request, NULL, NULL, 2000, &answer, &code, &err) < 0)
			answer = NULL;
	cli_text(answer, "fqdn", fqdn, fqdn_cap);
	cli_text(answer, "overlayIp", address, address_cap);
	json_decref(answer);
	json_decref(request);
	ipc_close(client);
}

static int write_drop_in(const struct cli *c, const struct buffer *text)
{
	int r = file_make_dirs("/etc/ssh/ssh_config.d", 0755);

	if (r == 0)
		r = file_write_atomic(DROP_IN, text->data, text->len, 0644);
	return r < 0 ? cli_fail(c, WARREN_EXIT_FAILED, "cannot write " DROP_IN ": %s%s",
				strerror(-r), r == -EACCES ? "; run it as root" : "")
		     : WARREN_EXIT_OK;
}

static int install(const struct cli *c, bool print)
{
	char fqdn[256], address[64];
	int code = WARREN_EXIT_OK;
	struct buffer text;

	ask_names(c, fqdn, sizeof(fqdn), address, sizeof(address));
	buffer_init(&text, 64u << 10);
	if (openssh_config_text(&text, print ? "/usr/bin/warren" : c->self, c->socket, fqdn,
				address) < 0)
		code = cli_fail(c, WARREN_EXIT_FAILED, "out of memory");
	else if (print)
		fwrite(text.data, 1, text.len, stdout);
	else
		code = write_drop_in(c, &text);
	buffer_done(&text);
	return code;
}

int cli_openssh(const struct cli *c, int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (strcmp(what, "detect") == 0)
		return detect(c, argc, argv);
	if (strcmp(what, "proxy") == 0)
		return proxy(c, argc, argv);
	if (strcmp(what, "connect") == 0)
		return connect_prepared(c, argc, argv);
	if (strcmp(what, "plain") == 0)
		return connect_plain(c, argc, argv);
	if (strcmp(what, "hostkey") == 0)
		return hostkey(c, argc, argv);
	if (strcmp(what, "install") == 0 && argc == 2)
		return install(c, false);
	if (strcmp(what, "print") == 0 && argc == 2)
		return install(c, true);
	if (strcmp(what, "remove") == 0 && argc == 2) {
		if (unlink(DROP_IN) < 0 && errno != ENOENT)
			return cli_fail(c, WARREN_EXIT_FAILED, "cannot remove " DROP_IN ": %s",
					strerror(errno));
		return WARREN_EXIT_OK;
	}
	return cli_usage("openssh detect HOST PORT [USER HASH] | proxy HOST PORT USER |\n"
			 "       warren openssh plain HOST PORT | hostkey HOST |\n"
			 "       warren openssh install | print | remove");
}
