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
	const char *limit;
	char *const *args; /* behind the command's words */
	int arg_count;
};

struct cli_command {
	const char *words[2]; /* second NULL: none */
	int args;	      /* how many it takes */
	const char *options;  /* letters of the options it takes beside --socket and --json */
	const char *usage;
	int (*run)(const struct cli *cli);
};
extern const struct cli_command cli_commands[];
extern const size_t cli_command_count;

#endif
