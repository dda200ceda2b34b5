/* SPDX-License-Identifier: Apache-2.0
 *
 * Packets: OpenSSL EVP with a context kept per key (only the nonce changes), and intel-ipsec-mb
 * where it is there and pays.
 */
#include "tunnel/aead.h"

#include <assert.h>
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

#include "platform/secret.h"
#include "tunnel/aead_mb.h"
#include "tunnel/bytes.h"

#define NONCE_BYTES 12

struct aead_engine {
	struct aead_mb *mb; /* NULL: EVP alone */
};

int aead_engine_new(const char *name, struct aead_engine **ret_engine)
{
	struct aead_engine *e = calloc(1, sizeof(*e));
	int r = 0;

	if (!e)
		return -ENOMEM;
	if (!name || strcmp(name, "ipsec-mb") == 0)
		r = aead_mb_new(&e->mb);
	else if (strcmp(name, "evp") != 0)
		r = -ENOTSUP;
	if (r < 0 && name) {
		free(e);
		return r;
	}
	*ret_engine = e;
	return 0;
}

void aead_engine_free(struct aead_engine *e)
{
	if (!e)
		return;
	aead_mb_free(e->mb);
	free(e);
}

const char *aead_engine_name(const struct aead_engine *e)
{
	return e->mb ? "ipsec-mb" : "evp";
}

int aead_init(struct aead *a, const uint8_t key[static AEAD_KEY_BYTES], bool seal)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

	if (!ctx)
		return -ENOMEM;
	if (EVP_CipherInit_ex(ctx, EVP_chacha20_poly1305(), NULL, key, NULL, seal ? 1 : 0) != 1) {
		EVP_CIPHER_CTX_free(ctx);
		return -ENOTSUP;
	}
	a->evp = ctx;
	memcpy(a->key, key, AEAD_KEY_BYTES);
	return 0;
}

void aead_done(struct aead *a)
{
	EVP_CIPHER_CTX_free(a->evp);
	secret_wipe(a, sizeof(*a));
}

static void set_nonce(EVP_CIPHER_CTX *ctx, uint64_t counter)
{
	uint8_t nonce[NONCE_BYTES] = {0};

	bytes_put_le64(nonce + 4, counter);
	if (EVP_CipherInit_ex(ctx, NULL, NULL, NULL, nonce, -1) != 1)
		abort();
}

/* A failed seal must never let plaintext out. tag: its parameter, pointed at each packet's place.
 */
static void evp_seal(EVP_CIPHER_CTX *ctx, OSSL_PARAM tag[2], const struct aead_job *job)
{
	uint8_t *end = job->data + job->len;
	int out = 0;

	assert(job->len <= INT32_MAX);
	set_nonce(ctx, job->counter);
	tag->data = end;
	if ((job->len && EVP_EncryptUpdate(ctx, job->data, &out, job->data, (int)job->len) != 1) ||
	    EVP_EncryptFinal_ex(ctx, end, &out) != 1 || EVP_CIPHER_CTX_get_params(ctx, tag) != 1)
		abort();
}

static bool evp_open(EVP_CIPHER_CTX *ctx, OSSL_PARAM tag[2], const struct aead_job *job)
{
	uint32_t len = job->len - AEAD_TAG_BYTES;
	uint8_t *end = job->data + len;
	int out = 0;

	assert(job->len >= AEAD_TAG_BYTES && len <= INT32_MAX);
	set_nonce(ctx, job->counter);
	tag->data = end;
	return EVP_CIPHER_CTX_set_params(ctx, tag) == 1 &&
	       (!len || EVP_DecryptUpdate(ctx, job->data, &out, job->data, (int)len) == 1) &&
	       EVP_DecryptFinal_ex(ctx, end, &out) == 1;
}

/* The jobs from one end of the batch on that go the same way. */
static size_t run_of(const struct aead_engine *e, const struct aead_job *jobs, size_t count,
		     bool *ret_mb)
{
	size_t n = 1;

	*ret_mb = e->mb && aead_mb_pays(e->mb, jobs[0].len);
	while (n < count && (e->mb && aead_mb_pays(e->mb, jobs[n].len)) == *ret_mb)
		n++;
	return n;
}

void aead_seal_many(struct aead_engine *e, struct aead *a, struct aead_job *jobs, size_t count)
{
	OSSL_PARAM tag[2] = {
		OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, NULL, AEAD_TAG_BYTES),
		OSSL_PARAM_END};

	while (count) {
		bool mb;
		size_t n = run_of(e, jobs, count, &mb);

		if (mb)
			aead_mb_run(e->mb, a->key, jobs, n, true);
		for (size_t i = 0; !mb && i < n; i++)
			evp_seal(a->evp, tag, &jobs[i]);
		jobs += n;
		count -= n;
	}
}

void aead_open_many(struct aead_engine *e, struct aead *a, struct aead_job *jobs, size_t count)
{
	OSSL_PARAM tag[2] = {
		OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, NULL, AEAD_TAG_BYTES),
		OSSL_PARAM_END};

	while (count) {
		bool mb;
		size_t n = run_of(e, jobs, count, &mb);

		if (mb)
			aead_mb_run(e->mb, a->key, jobs, n, false);
		for (size_t i = 0; !mb && i < n; i++)
			jobs[i].ok = evp_open(a->evp, tag, &jobs[i]);
		jobs += n;
		count -= n;
	}
}
