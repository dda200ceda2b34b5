/* SPDX-License-Identifier: Apache-2.0
 *
 * The signer: a child process that alone holds the control server's keys, behind a fixed table of
 * requests (control.h lists what can be asked). Framing on the socket pair, both directions:
 *
 *     u32 length of what follows | u8 request, or status (0, else errno) | fields
 *
 * Fields are SSH strings (u32 length, bytes) and big-endian integers, as signer_child.c's table
 * says.
 */
#ifndef WARREN_CONTROL_SIGNER_H
#define WARREN_CONTROL_SIGNER_H

#include <stdbool.h>

#include "platform/buffer.h"
#include "platform/error.h"

struct signer;

#define SIGNER_MAX_FRAME (9u << 20)

enum signer_request {
	SIGNER_INIT = 1,  /* network, issuer; once, first */
	SIGNER_PUBLIC,	  /* -> signing[32], issuer[32], enroll[32] */
	SIGNER_OBJECT,	  /* type, payload (JSON) -> text */
	SIGNER_JWT,	  /* claims (JSON), typ -> token */
	SIGNER_CERT,	  /* target, u32 generation, certificate fields -> blob, ca[32] */
	SIGNER_CA_PUBLIC, /* target, u32 generation -> ca[32] */
	SIGNER_PROOF,	  /* public[32], identity[32], proof[32] */
	SIGNER_REQUESTS,
};

/* Forks the child; call it before threads and before privileges are given up. key_dir (0700, ours)
 * is made when it is missing, and keys in it when there are none. The child reads them, then
 * becomes nobody where it can, with little more than read and write left to it. */
int signer_new(const char *key_dir, struct signer **ret_signer, struct error *err) WARREN_MUST_USE;
/* Names what the child signs for; required before anything but signer_public. */
int signer_init(struct signer *s, const char *network, const char *issuer) WARREN_MUST_USE;
/* The child is gone or no longer in step: the program must end. */
bool signer_broken(const struct signer *s);
void signer_free(struct signer *s); /* ends the child */

/* The child's whole life on its end of the pair; never returns. */
__attribute__((noreturn)) void signer_child_main(int fd, const char *key_dir);

#endif
