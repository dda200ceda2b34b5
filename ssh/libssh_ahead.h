/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads ahead for libssh, which takes 4 KiB from its socket at a time and polls between (0.10): two
 * system calls for each. libssh calls recv and poll through the dynamic linker; the program's own
 * definitions come first and serve the connection from one large read. Every other descriptor is
 * the C library's. Single-threaded, one connection for a process.
 */
#ifndef WARREN_SSH_LIBSSH_AHEAD_H
#define WARREN_SSH_LIBSSH_AHEAD_H

#include <stdbool.h>
#include <stddef.h>

#include "platform/error.h"

#define LIBSSH_AHEAD_BYTES 131072u

/* fd (borrowed) is read ahead from now on. */
int libssh_ahead_start(int fd) WARREN_MUST_USE;
void libssh_ahead_stop(void);
/* Bytes were read that libssh has not taken: poll(2) would not tell of them. */
bool libssh_ahead_waiting(void);
/* Calls this (NULL: nobody) whenever libssh takes bytes, with how many one read of the socket brought. */
void libssh_ahead_tell(void (*taken)(size_t came));
/* While it is on nothing comes in: neither what was read ahead nor what the socket has. */
void libssh_ahead_pause(bool on);

#endif
