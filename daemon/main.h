/* SPDX-License-Identifier: Apache-2.0
 *
 * The unprivileged process of warrend: control client, path machine, logins, command socket.
 */
#ifndef WARREN_DAEMON_MAIN_H
#define WARREN_DAEMON_MAIN_H

#include "platform/error.h"

/* Runs until the broker goes or SIGTERM, on the descriptors of daemon/wire.h. Returns the exit
 * status. The caller has dropped privileges, entered the sandbox, and called log_init and
 * secret_process_init. */
int daemon_main_run(void);

/* ---- main_sandbox.c: seccomp, from here to the end. */
int main_sandbox_enter(struct error *err) WARREN_MUST_USE;

#endif
