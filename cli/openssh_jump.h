/* SPDX-License-Identifier: Apache-2.0
 *
 * Certificates for logins that never come to our proxy (ssh -J).
 */
#ifndef WARREN_CLI_OPENSSH_JUMP_H
#define WARREN_CLI_OPENSSH_JUMP_H

#include <stddef.h>

#include "cli/cli.h"

/* argv of `openssh detect HOST PORT USER HASH`, whose host is ours. Without a fresh login nothing
 * happens. */
void openssh_jump(const struct cli *c, char **argv);

enum jump { JUMP_NO, JUMP_YES, JUMP_UNKNOWN };
/* From /proc/PID/cmdline; JUMP_UNKNOWN: that is not ssh. */
enum jump openssh_jump_of_arguments(const char *args, size_t len);

#endif
