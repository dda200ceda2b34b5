/* SPDX-License-Identifier: Apache-2.0
 *
 * What the OpenSSH drop-in and `warren ssh` ask for: is this host ours, a certificate for it, its
 * host keys (design section 8, daemon/PROTOCOL.md section 4).
 */
#ifndef WARREN_DAEMON_OPENSSH_H
#define WARREN_DAEMON_OPENSSH_H

#include "daemon/main_core.h"

int openssh_new(struct main_core *m) WARREN_MUST_USE;

void openssh_detect(struct main_core *m, struct ipc_request *r);
void openssh_prepare(struct main_core *m, struct ipc_request *r);
void openssh_hostkey(struct main_core *m, struct ipc_request *r);
void openssh_ca(struct main_core *m, struct ipc_request *r); /* openssh_ca.c */

#endif
