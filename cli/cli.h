/* SPDX-License-Identifier: Apache-2.0
 *
 * The command line `warren`: thin, everything real is in the daemon. One file per group of
 * commands; each command gets its own argv and returns an exit code of design section 9.
 */
#ifndef WARREN_CLI_CLI_H
#define WARREN_CLI_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

#include "daemon/ipc/ipc.h"
#include "platform/error.h"

struct cli {
	char socket[108];  /* the daemon's socket */
	bool json;	   /* --json */
	bool socket_given; /* --socket or WARREN_SOCKET: passed on to what ssh starts */
	const char *self;  /* absolute path of this program */
	struct rlimit core; /* as it was started with */
};

/* Runs the whole command line; returns the exit code. */
int cli_main(int argc, char **argv);

/* Prints "warren: sentence" on stderr (or {"error":…} on stdout with --json); returns code. */
int cli_fail(const struct cli *c, int code, const char *fmt, ...) WARREN_PRINTF(3, 4);
int cli_usage(const char *text); /* prints on stderr, returns WARREN_EXIT_USAGE */
/* One request on a fresh connection. Takes request. 0 and *ret_result, or the exit code after the
 * sentence was printed. */
int cli_request(const struct cli *c, json_t *request_take,
		void (*on_event)(void *ctx, const json_t *event), void *ctx, json_t **ret_result);
/* The same on the broker's socket, which only root may use. */
int cli_request_root(const struct cli *c, json_t *request_take, json_t **ret_result);
/* Prints a JSON value and a newline on stdout. */
void cli_print_json(const json_t *value);
/* Strings of objects from the daemon, with control characters made harmless; "" when missing. */
const char *cli_text(const json_t *object, const char *key, char *buf, size_t cap);
/* --name VALUE or --name=VALUE at argv[*i]: true, and *ret_value (NULL: value missing). */
bool cli_option(char **argv, int *i, const char *name, const char **ret_value);
/* --name, --name=true, --name=false. */
bool cli_switch(const char *arg, const char *name, bool *ret_on);

int cli_up(const struct cli *c, int argc, char **argv);
int cli_down(const struct cli *c, int argc, char **argv);
int cli_login(const struct cli *c, int argc, char **argv);
int cli_logout(const struct cli *c, int argc, char **argv);
int cli_status(const struct cli *c, int argc, char **argv);
int cli_peers(const struct cli *c, int argc, char **argv);
int cli_ping(const struct cli *c, int argc, char **argv);
int cli_why(const struct cli *c, int argc, char **argv);
int cli_sessions(const struct cli *c, int argc, char **argv);
int cli_policy(const struct cli *c, int argc, char **argv);
int cli_audit(const struct cli *c, int argc, char **argv);
int cli_ssh(const struct cli *c, int argc, char **argv);
int cli_ssh_cert(const struct cli *c, int argc, char **argv);
int cli_ssh_token(const struct cli *c, int argc, char **argv);
int cli_ca(const struct cli *c, int argc, char **argv);
int cli_break_glass(const struct cli *c, int argc, char **argv);
int cli_openssh(const struct cli *c, int argc, char **argv);
/* A peer of that name is reached as user@harden. */
int cli_ssh_harden(const struct cli *c, int argc, char **argv);
int cli_sshd(const struct cli *c, int argc, char **argv);
int cli_debug(const struct cli *c, int argc, char **argv);

/* The token in a file, without white space behind it, into secret memory; else the exit code. */
int cli_read_token(const struct cli *c, const char *path, char **ret_token);

#endif
