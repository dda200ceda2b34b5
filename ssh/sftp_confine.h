/* SPDX-License-Identifier: Apache-2.0
 *
 * Behind the walls of sftp_root.c a second one: Landlock for the folder, seccomp for the calls. No
 * other program, no socket, no other file, also for code that somebody smuggled in.
 */
#ifndef WARREN_SSH_SFTP_CONFINE_H
#define WARREN_SSH_SFTP_CONFINE_H

#include <stdbool.h>

#include "platform/error.h"
#include "ssh/sftp_root.h"

/* For good. root is confined and open. -errno with a sentence when seccomp is not to be had; a kernel
 * without Landlock (before 5.19) is no error: *ret_landlock says which it was. */
int sftp_confine(const struct sftp_root *root, bool *ret_landlock, struct error *err) WARREN_MUST_USE;

#endif
