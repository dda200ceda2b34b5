/* SPDX-License-Identifier: Apache-2.0
 *
 * Nonces of mutating requests: taken once. In memory for the answer, in the store so that a restart
 * opens no window; remembered for longer than a signature may be old or early (PROTOCOL.md section
 * 2).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/state_impl.h"
#include "platform/log.h"

#define NONCE_LIFE_S 180
#define NONCE_MAX    (1u << 20)

static size_t nonce_slot(const struct nonce *table, size_t cap, const char *text)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (const char *c = text; *c; c++)
		hash = (hash ^ (unsigned char)*c) * UINT64_C(1099511628211);
	size_t at = (size_t)hash & (cap - 1);
	while (table[at].text[0] && strcmp(table[at].text, text) != 0)
		at = (at + 1) & (cap - 1);
	return at;
}

/* A new table without the expired ones, at most half full. */
int state_nonces_rebuild(struct state *s, int64_t now_s)
{
	size_t alive = 0, cap = 1024;

	for (size_t i = 0; i < s->nonce_cap; i++)
		alive += s->nonces[i].text[0] && s->nonces[i].expires_s > now_s;
	while (cap < alive * 4)
		cap *= 2;
	struct nonce *table = calloc(cap, sizeof(*table));
	if (!table)
		return -ENOMEM;
	for (size_t i = 0; i < s->nonce_cap; i++)
		if (s->nonces[i].text[0] && s->nonces[i].expires_s > now_s)
			table[nonce_slot(table, cap, s->nonces[i].text)] = s->nonces[i];
	free(s->nonces);
	s->nonces = table;
	s->nonce_cap = cap;
	s->nonce_count = alive;
	return 0;
}

static void nonce_stored(void *a, int result)
{
	if (result < 0)
		log_warn("a request's nonce was not stored", "error=%d", result);
	free(a);
}

bool state_nonce(struct state *s, const char *nonce, bool durable)
{
	return state_nonce_until(s, nonce, durable, state_now(s) + NONCE_LIFE_S);
}

bool state_nonce_known(struct state *s, const char *nonce)
{
	return s->nonce_cap && strlen(nonce) < sizeof(s->nonces->text) &&
	       s->nonces[nonce_slot(s->nonces, s->nonce_cap, nonce)].text[0];
}

bool state_nonce_until(struct state *s, const char *nonce, bool durable, int64_t expires_s)
{
	int64_t now_s = state_now(s);

	if (strlen(nonce) >= sizeof(s->nonces->text) || !nonce[0])
		return false;
	if ((s->nonce_count * 2 >= s->nonce_cap || now_s >= s->next_nonce_sweep_s) &&
	    state_nonces_rebuild(s, now_s) < 0)
		return false;
	if (now_s >= s->next_nonce_sweep_s)
		s->next_nonce_sweep_s = now_s + NONCE_LIFE_S;
	size_t at = nonce_slot(s->nonces, s->nonce_cap, nonce);
	if (s->nonces[at].text[0] || s->nonce_count >= NONCE_MAX)
		return false;
	snprintf(s->nonces[at].text, sizeof(s->nonces[at].text), "%s", nonce);
	s->nonces[at].expires_s = expires_s;
	s->nonce_count++;
	if (durable) {
		/* In the store's queue before the change that the request asks for. */
		struct store_nonce_put *a = calloc(1, sizeof(*a));

		if (!a)
			return false;
		memcpy(a->nonce.nonce, s->nonces[at].text, sizeof(a->nonce.nonce));
		a->nonce.expires_s = s->nonces[at].expires_s;
		a->now_s = now_s;
		if (store_nonce_put(s->c->store, a, nonce_stored) < 0) {
			free(a);
			return false;
		}
	}
	return true;
}
