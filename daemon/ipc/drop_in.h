/* SPDX-License-Identifier: Apache-2.0
 *
 * What ssh reads of us (DECISIONS 33 and 67): the block that the drop-in for stock OpenSSH and the
 * broker's file of names are made of, and where that file is. Pure.
 */
#ifndef WARREN_DAEMON_IPC_DROP_IN_H
#define WARREN_DAEMON_IPC_DROP_IN_H

#include <stddef.h>

#include "platform/buffer.h"
#include "platform/error.h"

#define DROP_IN_NAMES_CAP 64

/* Appends one Match block: hosts for which the program `warren` at `self` says that they are ours.
 * hosts: a pattern list of ssh_config(5), "" for all. */
int drop_in_block(struct buffer *out, const char *self, const char *hosts) WARREN_MUST_USE;

/* The file with the names of the machines that the daemon at this socket knows: in a folder that
 * root alone writes, wherever the socket is. */
void drop_in_names_path(const char *socket_path, char out[static DROP_IN_NAMES_CAP]);

#endif
