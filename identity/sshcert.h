/* SPDX-License-Identifier: Apache-2.0
 *
 * OpenSSH user certificates (PROTOCOL.certkeys): made for an Ed25519 CA, read and checked strictly.
 * Subject keys may be ed25519, ecdsa-sha2-nistp256/384/521, rsa and the two sk- types.
 */
#ifndef WARREN_IDENTITY_SSHCERT_H
#define WARREN_IDENTITY_SSHCERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/addr.h"
#include "platform/buffer.h"
#include "platform/error.h"

#define SSHCERT_MAX_PRINCIPALS 32
#define SSHCERT_MAX_SOURCES    16
#define SSHCERT_MAX_BLOB       8192

/* No certificate of the control server lives longer. */
#define SSHCERT_MAX_LIFE_S 86400

/* Certificates begin that long before they were issued, for clocks that go slow. */
#define SSHCERT_BACKDATED_S 60

enum sshcert_ext {
	SSHCERT_PERMIT_PTY = 1 << 0,
	SSHCERT_PERMIT_PORT_FORWARDING = 1 << 1,
	SSHCERT_PERMIT_AGENT_FORWARDING = 1 << 2,
	SSHCERT_PERMIT_X11_FORWARDING = 1 << 3,
	SSHCERT_PERMIT_USER_RC = 1 << 4,
};

struct sshcert {
	char key_type[64];     /* of the subject, without -cert-v01@openssh.com */
	uint8_t subject[4096]; /* plain public key blob of the subject (RFC 4253 section 6.6) */
	size_t subject_len;
	uint64_t serial;
	uint32_t type; /* 1 user, 2 host */
	char key_id[512];
	char principals[SSHCERT_MAX_PRINCIPALS][64];
	size_t principal_count;
	int64_t valid_after_s, valid_before_s;
	struct ip_prefix sources[SSHCERT_MAX_SOURCES];
	size_t source_count; /* 0: no source-address option */
	bool has_source_address;
	char force_command[1024]; /* empty: none */
	uint32_t extensions; /* SSHCERT_PERMIT_*; unknown extensions are ignored as OpenSSH does */
	bool unknown_critical; /* a critical option that is not one of the two above */
	char unknown_critical_name[64];
	uint8_t ca[32]; /* Ed25519 public key that signed it */
};

/* Builds a user certificate over a subject's public key blob. sign() signs with the CA key whose
 * public half is cert->ca. Appends the certificate blob. nonce[32] is random. */
int sshcert_make(const struct sshcert *cert, const uint8_t nonce[32],
		 int (*sign)(void *ctx, const void *data, size_t len, uint8_t ret_sig[64]),
		 void *ctx, struct buffer *ret_blob) WARREN_MUST_USE;
/* Parses a certificate blob and verifies the CA's signature over it (Ed25519 CAs only). Checks
 * form, order and trailing bytes; judges nothing else. */
int sshcert_parse(const uint8_t *blob, size_t len, struct sshcert *ret_cert,
		  struct error *err) WARREN_MUST_USE;

struct sshcert_expect {
	const uint8_t (*cas)[32]; /* trusted CA keys of this target */
	size_t ca_count;
	const char *login;     /* must be a principal */
	struct ip_addr source; /* must match source-address, which is required when need_source */
	bool need_source;
	int64_t now_s;
	const uint64_t *revoked; /* sorted serials */
	size_t revoked_count;
};
/* Everything OpenSSH's server would check and more; -EACCES and a sentence that names the failing
 * property ("certificate has expired", "… was made for another machine's CA", …). */
int sshcert_check(const struct sshcert *cert, const struct sshcert_expect *expect,
		  struct error *err) WARREN_MUST_USE;
/* "ssh-ed25519-cert-v01@openssh.com AAAA… comment" <-> blob. */
int sshcert_text(const uint8_t *blob, size_t len, const char *comment,
		 struct buffer *out) WARREN_MUST_USE;
/* Decodes "TYPE BASE64 [comment]" of a public key or certificate into its blob; the type inside the
 * blob must equal TYPE. */
int sshcert_text_decode(const char *text, uint8_t *out, size_t cap, size_t *ret_len,
			char type[64]) WARREN_MUST_USE;

#endif
