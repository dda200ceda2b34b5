/* SPDX-License-Identifier: Apache-2.0
 *
 * Argon2id with 64 MiB and three passes (RFC 9106 section 4, second choice, one lane).
 */
#include "control/issuer_password.h"

#include <assert.h>
#include <errno.h>

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/secret.h"

#define PASSES	     3
#define MEMORY_BYTES (64u << 20)
#define AT_ONCE	     8

static_assert(ISSUER_PASSWORD_HASH >= crypto_pwhash_argon2id_STRBYTES, "hash has room");

int issuer_password_hash(const char *password, char ret_hash[static ISSUER_PASSWORD_HASH])
{
	memset(ret_hash, 0, ISSUER_PASSWORD_HASH);
	if (crypto_pwhash_argon2id_str(ret_hash, password, strlen(password), PASSES,
				       MEMORY_BYTES) != 0)
		return -ENOMEM;
	return 0;
}

bool issuer_password_verify(const char *hash, const char *password)
{
	char spent[ISSUER_PASSWORD_HASH];
	if (hash == NULL || hash[0] == 0) {
		int r = issuer_password_hash(password, spent);
		secret_wipe(spent, sizeof(spent));
		(void)r;
		return false;
	}
	return crypto_pwhash_argon2id_str_verify(hash, password, strlen(password)) == 0;
}

struct work {
	uv_work_t request;
	struct issuer_password_pool *pool;
	char *password;
	char hash[ISSUER_PASSWORD_HASH];
	bool verify, right;
	int result;
	void (*hashed)(void *ctx, int result, const char *hash);
	void (*verified)(void *ctx, bool right);
	void *ctx;
};

static void work_run(uv_work_t *request)
{
	struct work *w = request->data;
	if (w->verify)
		w->right = issuer_password_verify(w->hash, w->password);
	else
		w->result = issuer_password_hash(w->password, w->hash);
}

static void work_free(struct work *w)
{
	secret_free(w->password);
	secret_wipe(w->hash, sizeof(w->hash));
	free(w);
}

static void work_done(uv_work_t *request, int status)
{
	struct work *w = request->data;
	w->pool->running--;
	if (w->verify)
		w->verified(w->ctx, status == 0 && w->right);
	else
		w->hashed(w->ctx, status != 0 ? -ECANCELED : w->result, w->hash);
	work_free(w);
}

static int work_start(struct issuer_password_pool *pool, struct work *w, const char *password)
{
	w->pool = pool;
	w->request.data = w;
	w->password = secret_strdup(password);
	if (w->password == NULL) {
		work_free(w);
		return -ENOMEM;
	}
	int r = uv_queue_work(pool->loop, &w->request, work_run, work_done);
	if (r != 0) {
		work_free(w);
		return r;
	}
	pool->running++;
	return 0;
}

static int work_new(const struct issuer_password_pool *pool, struct work **ret_work)
{
	if (pool->running >= AT_ONCE)
		return -EBUSY;
	*ret_work = calloc(1, sizeof(**ret_work));
	return *ret_work == NULL ? -ENOMEM : 0;
}

int issuer_password_hash_start(struct issuer_password_pool *pool, const char *password,
			       void (*done)(void *ctx, int result, const char *hash), void *ctx)
{
	struct work *w;
	int r = work_new(pool, &w);
	if (r != 0)
		return r;
	w->hashed = done;
	w->ctx = ctx;
	return work_start(pool, w, password);
}

int issuer_password_verify_start(struct issuer_password_pool *pool, const char *hash,
				 const char *password, void (*done)(void *ctx, bool right),
				 void *ctx)
{
	struct work *w;
	int r = work_new(pool, &w);
	if (r != 0)
		return r;
	w->verify = true;
	if (hash != NULL)
		snprintf(w->hash, sizeof(w->hash), "%s", hash);
	w->verified = done;
	w->ctx = ctx;
	return work_start(pool, w, password);
}
