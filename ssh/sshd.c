/* SPDX-License-Identifier: Apache-2.0
 *
 * The listener of warren-sshd.
 */
#include "ssh/sshd.h"

#include <stdio.h>

int sshd_run(const struct sshd_arguments *a)
{
	(void)a;
	fputs("warren-sshd: only -t and -T work in this version\n", stderr);
	return WARREN_EXIT_FAILED;
}
