/* SPDX-License-Identifier: Apache-2.0
 *
 * See openssh_fresh.h.
 */
#include "daemon/openssh_fresh.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "platform/clock.h"

/* Short enough that nobody sees a changed policy or a revoked certificate by it. */
#define FRESH_NS (3 * NSEC_PER_SEC)

void openssh_fresh_request(uint8_t ret_request[32], uid_t uid, const char *peer, const char *login,
			   const char *public_key, const char *token)
{
	const char *const texts[] = {peer, login, public_key, token};
	crypto_generichash_state state;
	uint64_t account = uid;

	crypto_generichash_init(&state, NULL, 0, 32);
	crypto_generichash_update(&state, (const uint8_t *)&account, sizeof(account));
	/* With their NULs: where one ends and the next begins counts. */
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		crypto_generichash_update(&state, (const uint8_t *)texts[i], strlen(texts[i]) + 1);
	crypto_generichash_final(&state, ret_request, 32);
	sodium_memzero(&state, sizeof(state));
}

static void forget(struct openssh_fresh_entry *e)
{
	free(e->certificate);
	*e = (struct openssh_fresh_entry){0};
}

const char *openssh_fresh_find(struct openssh_fresh *f, const uint8_t request[32], uint64_t now_ns,
			       int64_t *ret_valid_before)
{
	const char *found = NULL;

	for (size_t i = 0; i < OPENSSH_FRESH_MAX; i++) {
		struct openssh_fresh_entry *e = &f->list[i];

		if (e->certificate == NULL)
			continue;
		if (now_ns - e->made_ns >= FRESH_NS) {
			forget(e);
		} else if (sodium_memcmp(e->request, request, 32) == 0) {
			*ret_valid_before = e->valid_before;
			found = e->certificate;
		}
	}
	return found;
}

void openssh_fresh_keep(struct openssh_fresh *f, const uint8_t request[32], uint64_t now_ns,
			const char *certificate, int64_t valid_before)
{
	struct openssh_fresh_entry *e = &f->list[f->next++ % OPENSSH_FRESH_MAX];

	forget(e);
	e->certificate = strdup(certificate);
	memcpy(e->request, request, 32);
	e->made_ns = now_ns;
	e->valid_before = valid_before;
}

void openssh_fresh_done(struct openssh_fresh *f)
{
	for (size_t i = 0; i < OPENSSH_FRESH_MAX; i++)
		forget(&f->list[i]);
}
