/* SPDX-License-Identifier: Apache-2.0
 *
 * Logouts: whose login each account of this machine has, and logouts that control has to hear of,
 * kept over restarts until it did, because only control ends sessions on other machines.
 */
#ifndef WARREN_DAEMON_LOGOUT_H
#define WARREN_DAEMON_LOGOUT_H

#include <sys/types.h>

#include "daemon/main_core.h"

int logout_new(struct main_core *m) WARREN_MUST_USE;
/* uid has a login of that identity. */
void logout_note(struct main_core *m, uid_t uid, const char *identity);
/* `logout`: forgets the caller's login here and tells control. */
void logout_command(struct main_core *m, struct ipc_request *r);
/* Control can be reached, or somebody wants to log in: what it has not heard is told. */
void logout_flush(struct main_core *m);
/* Whom control's map no longer names on this machine has no login here. */
void logout_map_changed(struct main_core *m);
/* This machine left the network. */
void logout_forget(struct main_core *m);

#endif
