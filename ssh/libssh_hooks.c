/* SPDX-License-Identifier: Apache-2.0
 *
 * EVP_DigestSign and EVP_DigestVerify of the worker: see the header. The state is global because
 * the interposed functions get no context of ours.
 */
#include "ssh/libssh_hooks.h"

#include <dlfcn.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "platform/secret.h"

#define PROOFS 4 /* requests that one packet burst may hold before the first is answered */

typedef int (*digest_sign_fn)(EVP_MD_CTX *, unsigned char *, size_t *, const unsigned char *,
			      size_t);
typedef int (*digest_verify_fn)(EVP_MD_CTX *, const unsigned char *, size_t, const unsigned char *,
				size_t);

static struct {
	digest_sign_fn real_sign;
	digest_verify_fn real_verify;
	libssh_hooks_sign_fn sign;
	void *sign_ctx;
	struct libssh_hooks_proof *proofs; /* [PROOFS]; NULL: not armed */
	size_t next;
} hooks;

/* Before main, because dlsym may open files and nothing may later. */
__attribute__((constructor)) static void find_real_functions(void)
{
	void *sign = dlsym(RTLD_NEXT, "EVP_DigestSign");
	void *verify = dlsym(RTLD_NEXT, "EVP_DigestVerify");

	/* ISO C has no conversion from an object pointer to a function pointer; POSIX has. */
	memcpy(&hooks.real_sign, &sign, sizeof(sign));
	memcpy(&hooks.real_verify, &verify, sizeof(verify));
}

/* Is this the stand-in for the host key? */
static bool is_stand_in(EVP_MD_CTX *ctx)
{
	static const uint8_t zero[32];
	EVP_PKEY_CTX *pctx = EVP_MD_CTX_get_pkey_ctx(ctx);
	EVP_PKEY *key = pctx ? EVP_PKEY_CTX_get0_pkey(pctx) : NULL;
	uint8_t seed[32];
	size_t len = sizeof(seed);
	bool same;

	if (!key || EVP_PKEY_get_id(key) != EVP_PKEY_ED25519 ||
	    EVP_PKEY_get_raw_private_key(key, seed, &len) != 1 || len != sizeof(seed))
		return false;
	same = secret_equal(seed, zero, sizeof(seed));
	secret_wipe(seed, sizeof(seed));
	return same;
}

__attribute__((visibility("default"))) int EVP_DigestSign(EVP_MD_CTX *ctx, unsigned char *sigret,
							  size_t *siglen, const unsigned char *tbs,
							  size_t tbslen)
{
	if (!hooks.sign || !is_stand_in(ctx))
		return hooks.real_sign ? hooks.real_sign(ctx, sigret, siglen, tbs, tbslen) : 0;
	if (!siglen)
		return 0;
	if (sigret && (*siglen < 64 || hooks.sign(hooks.sign_ctx, tbs, tbslen, sigret) < 0))
		return 0;
	*siglen = 64;
	return 1;
}

__attribute__((visibility("default"))) int EVP_DigestVerify(EVP_MD_CTX *ctx,
							    const unsigned char *sigret,
							    size_t siglen, const unsigned char *tbs,
							    size_t tbslen)
{
	struct libssh_hooks_proof *proof;

	if (!hooks.proofs)
		return hooks.real_verify ? hooks.real_verify(ctx, sigret, siglen, tbs, tbslen) : 0;
	if (siglen > LIBSSH_HOOKS_SIGNATURE_MAX || tbslen > LIBSSH_HOOKS_DATA_MAX)
		return 0;
	proof = &hooks.proofs[hooks.next++ % PROOFS];
	proof->signature_len = siglen;
	proof->data_len = tbslen;
	if (siglen > 0)
		memcpy(proof->signature, sigret, siglen);
	if (tbslen > 0)
		memcpy(proof->data, tbs, tbslen);
	return 1;
}

void libssh_hooks_arm_sign(libssh_hooks_sign_fn sign, void *ctx)
{
	hooks.sign = sign;
	hooks.sign_ctx = ctx;
}

int libssh_hooks_arm_verify(void)
{
	if (!hooks.proofs)
		hooks.proofs = calloc(PROOFS, sizeof(*hooks.proofs));
	hooks.next = 0;
	return hooks.proofs ? 0 : -ENOMEM;
}

const struct libssh_hooks_proof *libssh_hooks_find(const uint8_t *blob, size_t len)
{
	if (!hooks.proofs || len == 0)
		return NULL;
	for (size_t back = 1; back <= PROOFS && back <= hooks.next; back++) {
		const struct libssh_hooks_proof *p = &hooks.proofs[(hooks.next - back) % PROOFS];

		if (memmem(p->data, p->data_len, blob, len))
			return p;
	}
	return NULL;
}

void libssh_hooks_disarm_verify(void)
{
	free(hooks.proofs);
	hooks.proofs = NULL;
}
