/* SPDX-License-Identifier: Apache-2.0
 *
 * warren-control: `serve`, and the commands of administrators over the admin socket.
 */
#include <stdio.h>
#include <string.h>

#include "control/cli.h"
#include "platform/error.h"
#include "platform/secret.h"

int main(int argc, char **argv)
{
	if (secret_process_init() < 0) {
		fprintf(stderr, "warren-control: the process cannot be hardened\n");
		return WARREN_EXIT_FAILED;
	}
	if (argc > 1 && strcmp(argv[1], "serve") == 0)
		return cli_serve(argc - 1, argv + 1);
	return cli_run(argc, argv);
}
