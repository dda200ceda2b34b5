/* SPDX-License-Identifier: Apache-2.0
 *
 * RevokedKeys of sshd_config(5): a list of public keys (one a line, as in *.pub files; '#' begins a
 * comment) or a KRL of `ssh-keygen -k` (OpenSSH's PROTOCOL.krl). Read by the verifier, which has no
 * rights. Pure but for the descriptor.
 */
#ifndef WARREN_SSH_REVOKED_H
#define WARREN_SSH_REVOKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/error.h"

#define REVOKED_FILE_MAX (4u << 20)

/* What is asked about. */
struct revoked_query {
	const uint8_t *blob; /* as the client showed it: a key or a certificate */
	size_t blob_len;
	const uint8_t *subject; /* the plain key: of a certificate, whose it is; else blob */
	size_t subject_len;
	bool certificate;
	uint8_t ca[32]; /* certificate: who signed it, its serial and key id */
	uint64_t serial;
	const char *key_id;
};

/* 1: it or its authority is revoked, 0: it is not. -EBADMSG and a sentence when the file cannot be
 * read whole: then nothing in it can be relied on. */
int revoked_judge(const uint8_t *file, size_t len, const struct revoked_query *q,
		  struct error *err) WARREN_MUST_USE;
/* The same for a regular file (borrowed; read from where it stands) and what the client showed. An
 * empty blob asks about the file alone. */
int revoked_judge_fd(int fd, const uint8_t *blob, size_t len, struct error *err) WARREN_MUST_USE;

#endif
