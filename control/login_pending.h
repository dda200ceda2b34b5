/* SPDX-License-Identifier: Apache-2.0
 *
 * Logins of connections that wait for a person (PROTOCOL.md section 7): a bounded table in memory.
 * Clock and randomness are injected; no I/O. Loop thread only.
 */
#ifndef WARREN_CONTROL_LOGIN_PENDING_H
#define WARREN_CONTROL_LOGIN_PENDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/pages.h"
#include "identity/jwt.h"
#include "platform/addr.h"
#include "platform/clock.h"
#include "platform/error.h"

#define LOGIN_PENDING_S	 600
#define LOGIN_ANSWER_S	 60 /* how long an answer is kept, and a grant is good */
#define LOGIN_MAX	 4096
#define LOGIN_MAX_TARGET 64
#define LOGIN_ID_SIZE	 23
#define LOGIN_NAME_SIZE	 64

enum login_state { LOGIN_PENDING, LOGIN_GRANTED, LOGIN_DENIED, LOGIN_EXPIRED };

struct login_pending {
	char id[LOGIN_ID_SIZE];
	char target[24], caller[24]; /* peer ids */
	char login[LOGIN_NAME_SIZE];
	char session[65]; /* hex SHA-256 of the SSH session id */
	struct ip_addr caller_address;
	enum login_state state;
	char message[256]; /* why it was denied */
	char *grant;	   /* signed object, when granted */
	int64_t until_s;

	/* The browser that pressed Continue, and the way to the provider it is on. */
	bool asked;
	unsigned asks; /* counts Continue: an answer that is on its way belongs to one of them */
	uint8_t browser[32];
	uint8_t state_hash[32];
	char verifier[PAGES_TOKEN_SIZE], nonce[PAGES_TOKEN_SIZE];

	/* Who came back. */
	bool known;
	bool renewed; /* the provider was asked for a fresh login already */
	struct jwt_identity identity;
};

struct login_table;
int login_table_new(const struct clock *clock, const struct random_source *random,
		    struct login_table **ret_table) WARREN_MUST_USE;
void login_table_free(struct login_table *t);

struct login_want {
	const char *target, *caller, *login, *session;
	struct ip_addr caller_address;
};
/* -EBUSY: this target, or all, have too many. The entry belongs to the table. */
int login_table_open(struct login_table *t, const struct login_want *want,
		     struct login_pending **ret_entry) WARREN_MUST_USE;
/* NULL: unknown or forgotten. */
struct login_pending *login_table_find(struct login_table *t, const char *id);
void login_table_close(struct login_table *t, struct login_pending *entry);
/* Called every second or so: pending ones that are over become LOGIN_EXPIRED (told by changed,
 * which must not open or close entries), old answers are forgotten. Returns how many are left. */
size_t login_table_sweep(struct login_table *t,
			 void (*changed)(void *ctx, struct login_pending *entry), void *ctx);

/* Continue was pressed: makes verifier, nonce and state for this browser, which is the only one
 * that can finish from now on. Whoever was known is forgotten. */
void login_table_ask(struct login_table *t, struct login_pending *entry,
		     const struct pages_browser *browser, char ret_state[static PAGES_TOKEN_SIZE]);
/* The entry that the provider's answer belongs to, once; NULL: another browser, or no such state.
 */
struct login_pending *login_table_answer(struct login_table *t, const char *state,
					 const struct pages_browser *browser);
/* Is this the browser that may decide? */
bool login_table_owner(const struct login_pending *entry, const struct pages_browser *browser);
/* Takes the identity over. */
void login_table_known(struct login_pending *entry, struct jwt_identity *identity);

void login_table_grant(struct login_table *t, struct login_pending *entry, char *grant_take);
void login_table_deny(struct login_table *t, struct login_pending *entry, const char *message);
const char *login_state_name(enum login_state state);

#endif
