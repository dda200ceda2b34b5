/* SPDX-License-Identifier: Apache-2.0
 *
 * The names without a dot that ssh has to ask about: SSH_NAMES of daemon/PROTOCOL.md from main to
 * the broker, and the file that the broker makes of it. Root's ssh reads that file and main is not
 * believed: nothing but names comes from main. Pure.
 */
#ifndef WARREN_DAEMON_SSH_NAMES_H
#define WARREN_DAEMON_SSH_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "platform/buffer.h"

#define SSH_NAMES_MAX	2000  /* more: ssh asks about every name */
#define SSH_NAMES_BYTES 49152 /* of all names together */

/* One label of lower-case letters, digits and inner hyphens: no pattern, nothing that ssh reads as
 * more than a name. */
bool ssh_names_valid(const char *name, size_t len);

/* Sorts the list, leaves out what is not valid and what is there twice, and writes the fields. */
void ssh_names_put(struct writer *w, const char **names, size_t count);

/* Reads the fields and appends the text for ssh, whose blocks ask the program at `cli`; nothing for
 * no names. -EBADMSG: not what ssh_names_put writes. */
int ssh_names_text(struct reader *r, const char *cli, struct buffer *out) WARREN_MUST_USE;

#endif
