/* SPDX-License-Identifier: Apache-2.0
 *
 * aead.h without its work, so that tests/bench/tunnel can tell what the path costs besides crypto.
 * In the place of aead.c and aead_mb.c in warren-wg-nocrypto only, which is never installed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tunnel/aead.h"

struct aead_engine {
	int none;
};

int aead_engine_new(const char *name, struct aead_engine **ret_engine)
{
	(void)name;
	*ret_engine = calloc(1, sizeof(**ret_engine));
	return *ret_engine ? 0 : -ENOMEM;
}

void aead_engine_free(struct aead_engine *e)
{
	free(e);
}

const char *aead_engine_name(const struct aead_engine *e)
{
	(void)e;
	return "none";
}

int aead_init(struct aead *a, const uint8_t key[static AEAD_KEY_BYTES])
{
	(void)key;
	memset(a, 0, sizeof(*a));
	return 0;
}

void aead_done(struct aead *a)
{
	(void)a;
}

void aead_seal_many(struct aead_engine *e, struct aead *a, struct aead_job *jobs, size_t count)
{
	(void)e;
	(void)a;
	for (size_t i = 0; i < count; i++)
		memset(jobs[i].data + jobs[i].len, 0, AEAD_TAG_BYTES);
}

void aead_open_many(struct aead_engine *e, struct aead *a, struct aead_job *jobs, size_t count)
{
	(void)e;
	(void)a;
	for (size_t i = 0; i < count; i++)
		jobs[i].ok = true;
}
