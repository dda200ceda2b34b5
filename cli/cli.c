/* SPDX-License-Identifier: Apache-2.0
 *
 * Global options, the table of commands, and what all commands share: requests to the daemon,
 * error sentences, options. Implements design section 9.
 */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/secret.h"

struct command {
	const char *name;
	int (*run)(const struct cli *c, int argc, char **argv);
	const char *help;
};

static const struct command commands[] = {
	{"up", cli_up, "join the network, or apply changed flags to a running mesh"},
	{"down", cli_down, "end the tunnel, keep the enrolment"},
	{"status", cli_status, "what is connected, and what does not work"},
	{"login", cli_login, "log in as a person"},
	{"logout", cli_logout, "forget this user's login (--deregister: leave the network)"},
	{"ssh", cli_ssh, "[flags] [user@]host [command…]: OpenSSH through the mesh"},
	{"ssh-cert", cli_ssh_cert, "[USER@]HOST: a certificate for scripts and other clients"},
	{"ssh-token", cli_ssh_token, "a token for clients that give it as SSH password"},
	{"ca", cli_ca, "show [PEER]: the key for a stock sshd's TrustedUserCAKeys"},
	{"break-glass", cli_break_glass, "pin | unpin | revoke | show: CAs that need no control server"},
	{"sessions", cli_sessions, "SSH sessions on this machine (end ID)"},
	{"peers", cli_peers, "the machines that policy connects with this one"},
	{"ping", cli_ping, "PEER: measure the path to a peer"},
	{"why", cli_why, "PEER: which paths were tried, and what came of each"},
	{"policy", cli_policy, "test FILE | explain FROM TO[:PORT]"},
	{"audit", cli_audit, "verify | show | tail: what happened on this machine's SSH server"},
	{"openssh", cli_openssh, "detect | proxy | hostkey | install | print | remove"},
	{"sshd", cli_sshd, "the SSH server without a mesh; -t, -T: its configuration"},
	{"debug", cli_debug, "bundle: logs, status and map without secrets"},
};

static void print_help(FILE *out)
{
	fputs("usage: warren [--socket PATH] [--json] COMMAND [options]\n\n", out);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(out, "  %-11s %s\n", commands[i].name, commands[i].help);
	fputs("\nExit codes: 0 done, 1 failed, 2 usage, 3 daemon not reachable, 4 login needed,\n"
	      "5 denied by policy. `warren ssh` returns the command's, or 255. See warren(1).\n",
	      out);
}

int cli_fail(const struct cli *c, int code, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (c->json) {
		json_t *error = json_pack("{s:{s:s,s:i}}", "error", "message", text, "exit", code);

		if (error != NULL)
			cli_print_json(error);
		json_decref(error);
	} else {
		fprintf(stderr, "warren: %s\n", text);
	}
	return code;
}

int cli_usage(const char *text)
{
	fprintf(stderr, "usage: warren %s\n", text);
	return WARREN_EXIT_USAGE;
}

void cli_print_json(const json_t *value)
{
	json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
	fputc('\n', stdout);
}

const char *cli_text(const json_t *object, const char *key, char *buf, size_t cap)
{
	const char *value = json_string_value(json_object_get(object, key));
	size_t n = 0;

	for (; value != NULL && *value != '\0' && n + 1 < cap; value++)
		buf[n++] = ((unsigned char)*value < 0x20 && *value != '\n') || *value == 0x7f
				   ? '?'
				   : *value;
	buf[n] = '\0';
	return buf;
}

bool cli_option(char **argv, int *i, const char *name, const char **ret_value)
{
	size_t len = strlen(name);

	if (strncmp(argv[*i], name, len) != 0)
		return false;
	if (argv[*i][len] == '=') {
		*ret_value = argv[*i] + len + 1;
		return true;
	}
	if (argv[*i][len] != '\0')
		return false;
	*ret_value = argv[*i + 1];
	if (*ret_value != NULL)
		(*i)++;
	return true;
}

bool cli_switch(const char *arg, const char *name, bool *ret_on)
{
	size_t len = strlen(name);

	if (strncmp(arg, name, len) != 0)
		return false;
	if (arg[len] == '\0' || strcmp(arg + len, "=true") == 0)
		*ret_on = true;
	else if (strcmp(arg + len, "=false") == 0)
		*ret_on = false;
	else
		return false;
	return true;
}

static int request_on(const struct cli *c, const char *path, json_t *request,
		      void (*on_event)(void *ctx, const json_t *event), void *ctx,
		      json_t **ret_result)
{
	struct ipc_client *client = NULL;
	struct error err = {0};
	json_t *result = NULL;
	int code = WARREN_EXIT_FAILED;
	int r;

	r = ipc_connect(path, &client, &err);
	if (r < 0)
		return cli_fail(c, WARREN_EXIT_NO_DAEMON, "%s", error_text(&err));
	r = ipc_call(client, request, on_event, ctx, -1, &result, &code, &err);
	ipc_close(client);
	if (r < 0)
		return cli_fail(c, code != 0 ? code : WARREN_EXIT_FAILED, "%s", error_text(&err));
	if (ret_result != NULL)
		*ret_result = result;
	else
		json_decref(result);
	return WARREN_EXIT_OK;
}

int cli_request(const struct cli *c, json_t *request_take,
		void (*on_event)(void *ctx, const json_t *event), void *ctx, json_t **ret_result)
{
	int code;

	if (request_take == NULL)
		return cli_fail(c, WARREN_EXIT_FAILED, "out of memory");
	code = request_on(c, c->socket, request_take, on_event, ctx, ret_result);
	json_decref(request_take);
	return code;
}

int cli_request_root(const struct cli *c, json_t *request_take, json_t **ret_result)
{
	char path[128];
	int code;

	if (request_take == NULL)
		return cli_fail(c, WARREN_EXIT_FAILED, "out of memory");
	snprintf(path, sizeof(path), "%s%s", c->socket, IPC_ROOT_SUFFIX);
	if (geteuid() != 0)
		code = cli_fail(c, WARREN_EXIT_FAILED,
				"this opens or closes the machine to others: run it as root (sudo "
				"warren …)");
	else
		code = request_on(c, path, request_take, NULL, NULL, ret_result);
	json_decref(request_take);
	return code;
}

/* Closed standard descriptors would be the first that sockets and files get. */
static void open_standard_fds(void)
{
	int fd = STDIN_FILENO;

	while (fd >= 0 && fd <= STDERR_FILENO)
		fd = fcntl(fd, F_GETFD) < 0 ? open("/dev/null", O_RDWR) : fd + 1;
}

int cli_main(int argc, char **argv)
{
	static char self[512];
	struct cli c = {0};
	const char *value = NULL;
	const char *socket = NULL;
	ssize_t n;
	int i;

	open_standard_fds();
	if (getrlimit(RLIMIT_CORE, &c.core) < 0 || secret_process_init() < 0) {
		fputs("warren: libsodium does not start\n", stderr);
		return WARREN_EXIT_FAILED;
	}
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n > 0)
		self[n] = '\0';
	c.self = n > 0 ? self : "/usr/bin/warren";
	for (i = 1; i < argc && argv[i][0] == '-'; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			c.json = true;
		} else if (cli_option(argv, &i, "--socket", &value)) {
			socket = value;
			if (value == NULL)
				return cli_usage("--socket PATH COMMAND");
		} else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			print_help(stdout);
			return WARREN_EXIT_OK;
		} else if (strcmp(argv[i], "--version") == 0) {
			puts("warren " WARREN_VERSION);
			return WARREN_EXIT_OK;
		} else {
			fprintf(stderr, "warren: unknown option %s\n", argv[i]);
			print_help(stderr);
			return WARREN_EXIT_USAGE;
		}
	}
	c.socket_given = socket != NULL || getenv("WARREN_SOCKET") != NULL;
	if (ipc_socket_path(socket, c.socket, sizeof(c.socket)) < 0)
		return cli_fail(&c, WARREN_EXIT_USAGE,
				"the socket's path is longer than 100 bytes");
	if (i >= argc) {
		print_help(stderr);
		return WARREN_EXIT_USAGE;
	}
	for (size_t k = 0; k < sizeof(commands) / sizeof(commands[0]); k++)
		if (strcmp(argv[i], commands[k].name) == 0)
			return commands[k].run(&c, argc - i, argv + i);
	if (strcmp(argv[i], "version") == 0) {
		puts("warren " WARREN_VERSION);
		return WARREN_EXIT_OK;
	}
	if (strcmp(argv[i], "help") == 0) {
		print_help(stdout);
		return WARREN_EXIT_OK;
	}
	fprintf(stderr, "warren: there is no command \"%s\"\n", argv[i]);
	print_help(stderr);
	return WARREN_EXIT_USAGE;
}
