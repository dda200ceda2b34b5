/* SPDX-License-Identifier: Apache-2.0
 *
 * The command line of warren-control. Each returns an exit code of platform/error.h.
 */
#ifndef WARREN_CONTROL_CLI_H
#define WARREN_CONTROL_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "platform/buffer.h"

int cli_serve(int argc, char **argv);
int cli_run(int argc, char **argv);

/* ---- between cli.c and cli_commands.c */

struct cli {
	const char *socket;
	bool json;
	/* of commands */
	const char *name, *groups, *password_file;
	bool reusable, ephemeral, password_stdin;
	int64_t uses, expires_s;
	const char *limit, *identity, *at;
	char *const *args; /* behind the command's words */
	int arg_count;
};

struct cli_command {
	const char *words[2]; /* second NULL: none */
	int args;	      /* how many it takes; -1: the command looks itself */
	const char *options;  /* letters of the options it takes beside --socket and --json */
	const char *usage;
	int (*run)(const struct cli *cli);
};
/* ---- what the files of commands share (cli_commands.c) */
/* Runs one request without or (body is taken) with a JSON body. On success *ret_json is the answer
 * (NULL: empty); otherwise the sentence is on stderr and the exit code is returned. */
int cli_send(const struct cli *cli, const char *method, const char *path, json_t *body,
	     json_t **ret_json);
/* The same; the answer is printed with --json. */
int cli_plain(const struct cli *cli, const char *method, const char *path, json_t *body);
int cli_list(const struct cli *cli, const char *path, const char *key,
	     void (*line)(const json_t *row));
/* prefix + percent-encoded name */
void cli_path(char *out, size_t cap, const char *prefix, const char *name);
const char *cli_text(const json_t *row, const char *key);
void cli_time(const json_t *row, const char *key, const char *zero, char out[32]);

/* ---- cli_cutoff.c */
int cli_user_disable(const struct cli *cli);
int cli_user_enable(const struct cli *cli);
int cli_identity_block(const struct cli *cli);
int cli_identity_unblock(const struct cli *cli);
int cli_identity_list(const struct cli *cli);
int cli_cert_list(const struct cli *cli);
int cli_cert_revoke(const struct cli *cli);

extern const struct cli_command cli_commands[];
extern const size_t cli_command_count;

#endif
