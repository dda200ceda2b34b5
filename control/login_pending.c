/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of logins that wait: entries are found by an id of 128 random bits (the URL), or by the
 * hash of the state that went to the provider.
 */
#include "control/login_pending.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/encode.h"
#include "platform/secret.h"

struct login_table {
	const struct clock *clock;
	const struct random_source *random;
	struct login_pending *entries[LOGIN_MAX];
	size_t count;
};

int login_table_new(const struct clock *clock, const struct random_source *random,
		    struct login_table **ret_table)
{
	struct login_table *t = calloc(1, sizeof(*t));
	if (t == NULL)
		return -ENOMEM;
	t->clock = clock;
	t->random = random;
	*ret_table = t;
	return 0;
}

static void entry_free(struct login_pending *e)
{
	if (e->grant != NULL)
		secret_wipe(e->grant, strlen(e->grant));
	free(e->grant);
	jwt_identity_done(&e->identity);
	secret_wipe(e, sizeof(*e));
	free(e);
}

void login_table_free(struct login_table *t)
{
	if (t == NULL)
		return;
	for (size_t i = 0; i < t->count; i++)
		entry_free(t->entries[i]);
	free(t);
}

int login_table_open(struct login_table *t, const struct login_want *want,
		     struct login_pending **ret_entry)
{
	uint8_t raw[16];
	size_t same = 0;
	for (size_t i = 0; i < t->count; i++)
		same += strcmp(t->entries[i]->target, want->target) == 0 &&
			t->entries[i]->state == LOGIN_PENDING;
	if (t->count == LOGIN_MAX || same >= LOGIN_MAX_TARGET)
		return -EBUSY;
	struct login_pending *e = calloc(1, sizeof(*e));
	if (e == NULL)
		return -ENOMEM;
	random_bytes(t->random, raw, sizeof(raw));
	encode_base64url(e->id, raw, sizeof(raw));
	snprintf(e->target, sizeof(e->target), "%s", want->target);
	snprintf(e->caller, sizeof(e->caller), "%s", want->caller);
	snprintf(e->login, sizeof(e->login), "%s", want->login);
	snprintf(e->session, sizeof(e->session), "%s", want->session);
	e->caller_address = want->caller_address;
	e->until_s = clock_realtime_s(t->clock) + LOGIN_PENDING_S;
	t->entries[t->count++] = e;
	*ret_entry = e;
	return 0;
}

struct login_pending *login_table_find(struct login_table *t, const char *id)
{
	for (size_t i = 0; i < t->count; i++) {
		if (strcmp(t->entries[i]->id, id) == 0)
			return t->entries[i];
	}
	return NULL;
}

static void remove_at(struct login_table *t, size_t i)
{
	entry_free(t->entries[i]);
	t->entries[i] = t->entries[--t->count];
	t->entries[t->count] = NULL;
}

void login_table_close(struct login_table *t, struct login_pending *entry)
{
	for (size_t i = 0; i < t->count; i++) {
		if (t->entries[i] == entry) {
			remove_at(t, i);
			return;
		}
	}
}

static void end(struct login_table *t, struct login_pending *e, enum login_state state)
{
	e->state = state;
	e->until_s = clock_realtime_s(t->clock) + LOGIN_ANSWER_S;
	e->asked = false;
	secret_wipe(e->verifier, sizeof(e->verifier));
	secret_wipe(e->state_hash, sizeof(e->state_hash));
}

size_t login_table_sweep(struct login_table *t,
			 void (*changed)(void *ctx, struct login_pending *entry), void *ctx)
{
	int64_t now = clock_realtime_s(t->clock);
	for (size_t i = t->count; i-- > 0;) {
		struct login_pending *e = t->entries[i];
		if (e->until_s > now)
			continue;
		if (e->state == LOGIN_PENDING) {
			end(t, e, LOGIN_EXPIRED);
			snprintf(e->message, sizeof(e->message),
				 "nobody logged in for ten minutes");
			changed(ctx, e);
		} else {
			remove_at(t, i);
		}
	}
	return t->count;
}

void login_table_ask(struct login_table *t, struct login_pending *entry,
		     const struct pages_browser *browser, char ret_state[static PAGES_TOKEN_SIZE])
{
	jwt_identity_done(&entry->identity);
	memset(&entry->identity, 0, sizeof(entry->identity));
	entry->known = false;
	entry->asked = true;
	entry->asks++;
	memcpy(entry->browser, browser->hash, sizeof(entry->browser));
	pages_token(t->random, entry->verifier);
	pages_token(t->random, entry->nonce);
	pages_token(t->random, ret_state);
	pages_hash(ret_state, entry->state_hash);
}

bool login_table_owner(const struct login_pending *entry, const struct pages_browser *browser)
{
	return entry->asked && secret_equal(entry->browser, browser->hash, sizeof(entry->browser));
}

struct login_pending *login_table_answer(struct login_table *t, const char *state,
					 const struct pages_browser *browser)
{
	uint8_t hash[32];
	pages_hash(state, hash);
	for (size_t i = 0; i < t->count; i++) {
		struct login_pending *e = t->entries[i];
		if (e->state != LOGIN_PENDING || e->known ||
		    !secret_equal(e->state_hash, hash, sizeof(hash)) ||
		    !login_table_owner(e, browser))
			continue;
		secret_wipe(e->state_hash, sizeof(e->state_hash));
		return e;
	}
	return NULL;
}

void login_table_known(struct login_pending *entry, struct jwt_identity *identity)
{
	jwt_identity_done(&entry->identity);
	entry->identity = *identity;
	memset(identity, 0, sizeof(*identity));
	entry->known = true;
}

void login_table_grant(struct login_table *t, struct login_pending *entry, char *grant_take)
{
	end(t, entry, LOGIN_GRANTED);
	entry->grant = grant_take;
}

void login_table_deny(struct login_table *t, struct login_pending *entry, const char *message)
{
	end(t, entry, LOGIN_DENIED);
	snprintf(entry->message, sizeof(entry->message), "%s", message);
}

const char *login_state_name(enum login_state state)
{
	static const char *const names[] = {"pending", "granted", "denied", "expired"};
	return names[state];
}
