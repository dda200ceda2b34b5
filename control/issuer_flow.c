/* SPDX-License-Identifier: Apache-2.0
 *
 * Sessions, interactions and authorization codes. Fixed tables, searched from end to end: they are
 * small, and a lookup is by the hash of a secret. Device codes are in issuer_device.c.
 */
#include "control/issuer_flow.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/issuer_flow_internal.h"
#include "platform/encode.h"
#include "platform/secret.h"

int issuer_flow_new(const struct clock *clock, const struct random_source *random,
		    struct issuer_flow **ret_flow)
{
	struct issuer_flow *f = calloc(1, sizeof(*f));
	if (f == NULL)
		return -ENOMEM;
	f->clock = clock;
	f->random = random;
	*ret_flow = f;
	return 0;
}

void issuer_flow_free(struct issuer_flow *f)
{
	if (f == NULL)
		return;
	secret_wipe(f, sizeof(*f));
	free(f);
}

int64_t issuer_flow_now(const struct issuer_flow *f)
{
	return clock_realtime_s(f->clock);
}

/* ---- sessions */

void issuer_flow_session_open(struct issuer_flow *f, const struct issuer_person *person,
			      char ret_cookie[static PAGES_TOKEN_SIZE])
{
	struct flow_session *s = &f->sessions[0];
	for (size_t i = 0; i < FLOW_SESSIONS; i++) {
		if (f->sessions[i].until_s < s->until_s)
			s = &f->sessions[i];
	}
	pages_token(f->random, ret_cookie);
	pages_hash(ret_cookie, s->hash);
	s->person = *person;
	s->until_s = issuer_flow_now(f) + ISSUER_SESSION_S;
}

static struct flow_session *session_of(struct issuer_flow *f, const char *cookie)
{
	uint8_t hash[32];
	int64_t now = issuer_flow_now(f);
	pages_hash(cookie, hash);
	for (size_t i = 0; i < FLOW_SESSIONS; i++) {
		struct flow_session *s = &f->sessions[i];
		if (s->until_s > now && secret_equal(s->hash, hash, sizeof(hash)))
			return s;
	}
	return NULL;
}

bool issuer_flow_session(struct issuer_flow *f, const char *cookie,
			 struct issuer_person *ret_person)
{
	struct flow_session *s = session_of(f, cookie);
	if (s == NULL)
		return false;
	*ret_person = s->person;
	return true;
}

void issuer_flow_session_close(struct issuer_flow *f, const char *cookie)
{
	struct flow_session *s = session_of(f, cookie);
	if (s != NULL)
		secret_wipe(s, sizeof(*s));
}

void issuer_flow_forget(struct issuer_flow *f, const char *email)
{
	for (size_t i = 0; i < FLOW_SESSIONS; i++) {
		if (strcmp(f->sessions[i].person.email, email) == 0)
			secret_wipe(&f->sessions[i], sizeof(f->sessions[i]));
	}
	for (size_t i = 0; i < FLOW_CODES; i++) {
		if (strcmp(f->codes[i].person.email, email) == 0)
			secret_wipe(&f->codes[i], sizeof(f->codes[i]));
	}
	for (size_t i = 0; i < FLOW_DEVICES; i++) {
		if (strcmp(f->devices[i].person.email, email) == 0)
			secret_wipe(&f->devices[i], sizeof(f->devices[i]));
	}
}

/* ---- interactions */

/* The place for a new one of this source: a free one, else the oldest of the source when it has its
 * share, else the oldest of all. */
static struct flow_interaction *interaction_place(struct issuer_flow *f, const char *source)
{
	struct flow_interaction *oldest = &f->interactions[0], *own = NULL;
	size_t count = 0;
	int64_t now = issuer_flow_now(f);
	for (size_t i = 0; i < FLOW_INTERACTIONS; i++) {
		struct flow_interaction *it = &f->interactions[i];
		if (it->until_s < oldest->until_s)
			oldest = it;
		if (it->until_s <= now || strcmp(it->source, source) != 0)
			continue;
		count++;
		if (own == NULL || it->until_s < own->until_s)
			own = it;
	}
	return count >= FLOW_PER_SOURCE ? own : oldest;
}

void issuer_flow_interaction_open(struct issuer_flow *f, const struct issuer_interaction *what,
				  const struct pages_browser *browser,
				  const struct endpoint *source,
				  char ret_id[static ISSUER_INTERACTION_ID_SIZE])
{
	uint8_t raw[16];
	char key[FLOW_SOURCE_SIZE];
	struct flow_interaction *it;

	issuer_throttle_source("i", source, key, sizeof(key));
	it = interaction_place(f, key);
	memset(it, 0, sizeof(*it));
	random_bytes(f->random, raw, sizeof(raw));
	encode_base64url(it->id, raw, sizeof(raw));
	memcpy(it->browser, browser->hash, sizeof(it->browser));
	snprintf(it->source, sizeof(it->source), "%s", key);
	it->what = *what;
	it->until_s = issuer_flow_now(f) + ISSUER_INTERACTION_S;
	memcpy(ret_id, it->id, sizeof(it->id));
}

const struct issuer_interaction *issuer_flow_interaction(struct issuer_flow *f, const char *id,
							 const struct pages_browser *browser)
{
	int64_t now = issuer_flow_now(f);
	for (size_t i = 0; i < FLOW_INTERACTIONS; i++) {
		struct flow_interaction *it = &f->interactions[i];
		if (it->until_s > now && strcmp(it->id, id) == 0 &&
		    secret_equal(it->browser, browser->hash, sizeof(it->browser)))
			return &it->what;
	}
	return NULL;
}

void issuer_flow_interaction_close(struct issuer_flow *f, const char *id)
{
	for (size_t i = 0; i < FLOW_INTERACTIONS; i++) {
		if (f->interactions[i].until_s != 0 && strcmp(f->interactions[i].id, id) == 0)
			memset(&f->interactions[i], 0, sizeof(f->interactions[i]));
	}
}

/* ---- authorization codes */

void issuer_flow_code_open(struct issuer_flow *f, const struct issuer_request *request,
			   const struct issuer_person *person,
			   char ret_code[static PAGES_TOKEN_SIZE])
{
	struct flow_code *c = &f->codes[0];
	for (size_t i = 0; i < FLOW_CODES; i++) {
		if (f->codes[i].until_s < c->until_s)
			c = &f->codes[i];
	}
	memset(c, 0, sizeof(*c));
	pages_token(f->random, ret_code);
	pages_hash(ret_code, c->hash);
	c->request = *request;
	c->person = *person;
	c->until_s = issuer_flow_now(f) + ISSUER_CODE_S;
}

enum issuer_code issuer_flow_code_take(struct issuer_flow *f, const char *code,
				       const char *client_id, const char *redirect_uri,
				       const char *verifier, struct issuer_request *ret_request,
				       struct issuer_person *ret_person,
				       char family[static ISSUER_FAMILY_SIZE])
{
	uint8_t hash[32];
	int64_t now = issuer_flow_now(f);
	struct flow_code *c = NULL;

	pages_hash(code, hash);
	for (size_t i = 0; i < FLOW_CODES && c == NULL; i++) {
		if (f->codes[i].until_s > now && secret_equal(f->codes[i].hash, hash, sizeof(hash)))
			c = &f->codes[i];
	}
	if (c == NULL)
		return ISSUER_CODE_BAD;
	if (c->taken) {
		memcpy(family, c->family, ISSUER_FAMILY_SIZE);
		return ISSUER_CODE_REUSED;
	}
	/* One try: whoever has the code without the verifier gets no second guess. */
	c->taken = true;
	if (strcmp(c->request.client->id, client_id) != 0 ||
	    strcmp(c->request.redirect_uri, redirect_uri) != 0 ||
	    !issuer_oauth_verifier_ok(c->request.challenge, verifier))
		return ISSUER_CODE_BAD;
	memcpy(c->family, family, ISSUER_FAMILY_SIZE);
	/* Long enough to notice a second use of it. */
	c->until_s = now + ISSUER_CODE_S;
	*ret_request = c->request;
	*ret_person = c->person;
	return ISSUER_CODE_OK;
}
