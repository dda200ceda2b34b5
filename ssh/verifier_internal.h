/* SPDX-License-Identifier: Apache-2.0
 *
 * What both sides of the verifier's socket share (ssh/PROTOCOL.md section 5).
 */
#ifndef WARREN_SSH_VERIFIER_INTERNAL_H
#define WARREN_SSH_VERIFIER_INTERNAL_H

#include "platform/addr.h"
#include "platform/buffer.h"
#include "ssh/verifier.h"

#define VERIFIER_CONFIG	 0 /* first message: what to believe */
#define VERIFIER_RESOLVE 32

/* u8 family, address[16] */
void verifier_put_addr(struct writer *w, const struct ip_addr *addr);
void verifier_get_addr(struct reader *r, struct ip_addr *ret_addr);
struct place;
/* In the process of its own: serves fd until it is closed. place: as for verifier_start. */
_Noreturn void verifier_child_run(int fd, const struct place *place);

#endif
