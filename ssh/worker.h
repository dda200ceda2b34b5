/* SPDX-License-Identifier: Apache-2.0
 *
 * The worker of one SSH connection (ssh/PROTOCOL.md section 4): speaks SSH and nothing else,
 * without any right. It asks the monitor for everything.
 */
#ifndef WARREN_SSH_WORKER_H
#define WARREN_SSH_WORKER_H

/* `warren-ssh-worker --worker`: descriptors 3 (connection) and 4 (monitor), see monitor_wire.h.
 * Gives up all privileges first. Returns the exit status when the connection is over. place: NULL
 * for one of its own. */
struct place;
int worker_run(const struct place *place);
/* `warren-ssh-worker --verify`: descriptor 4 brings one signature and takes one answer. */
int worker_verify(void);

/* `warren-ssh-worker --token`: descriptor 4 brings one token and takes one answer. */
int worker_token(void);

#endif
