/* SPDX-License-Identifier: Apache-2.0
 *
 * The embedded provider's users and families of refresh tokens, in SQLite. Each function is a job
 * of store_job: it runs on the store's thread with the sqlite3 handle and its own argument, and
 * returns 0 or -errno. Nobody else writes these tables.
 */
#ifndef WARREN_CONTROL_STORE_ISSUER_H
#define WARREN_CONTROL_STORE_ISSUER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "control/issuer_password.h"
#include "control/store_cutoff.h"
#include "platform/error.h"

#define STORE_ISSUER_FAMILIES 64 /* per user: the oldest goes */
#define STORE_ISSUER_USERS    100000

struct store_issuer_user {
	char email[256];
	char subject[40];
	char name[128];
	char groups[8192]; /* JSON array of strings */
	char password[ISSUER_PASSWORD_HASH];
	bool disabled;
	int64_t created_s;
};

/* Creates the tables. arg: NULL. */
int store_issuer_init(void *db, void *arg) WARREN_MUST_USE;

/* arg: struct store_issuer_user with email set; the rest is filled in. -ENOENT. */
int store_issuer_get(void *db, void *arg) WARREN_MUST_USE;

struct store_issuer_put {
	/* email, subject (of a new user) and created_s always; other fields as the flags say. */
	struct store_issuer_user user;
	bool set_name, set_groups, set_password, set_disabled;
	/* With set_disabled: what it ends or allows again, stored in the same transaction. */
	struct store_cutoff_change cut;
	bool created; /* out */
};
/* Creates the user or changes what is set. A new password or disabling ends the refresh tokens.
 * -EINVAL: a new user without a password. */
int store_issuer_put(void *db, void *arg) WARREN_MUST_USE;

/* arg: struct store_issuer_delete with user.email and cut set. -ENOENT. */
struct store_issuer_delete {
	struct store_issuer_user user;
	struct store_cutoff_change cut;
};
int store_issuer_delete(void *db, void *arg) WARREN_MUST_USE;

struct store_issuer_list {
	json_t *users; /* out: array of {email, name, groups, disabled, created}; the caller decrefs
			*/
};
int store_issuer_list(void *db, void *arg) WARREN_MUST_USE;

enum store_issuer_grant {
	STORE_ISSUER_LOGIN,  /* a person's login: starts a family when offline */
	STORE_ISSUER_ROTATE, /* a refresh token was presented */
};
struct store_issuer_tokens {
	enum store_issuer_grant grant;
	bool offline;
	char family[33];       /* LOGIN: of the new family; ROTATE: presented */
	uint8_t presented[32]; /* ROTATE: hash of the presented secret */
	uint8_t fresh[32];     /* hash of the secret that is given out now */
	char client[32];       /* ROTATE: must be the family's */
	int64_t now_s, expires_s;
	/* LOGIN in, ROTATE out: */
	unsigned scopes;
	int64_t auth_time_s;
	struct store_issuer_user user; /* LOGIN: email set; all filled in */
};
/* -ENOENT: no such user or family; -EACCES: disabled, over or revoked; -EEXIST: the token was used
 * before, and its family is revoked now. */
int store_issuer_tokens(void *db, void *arg) WARREN_MUST_USE;

/* arg: struct store_issuer_revoke. -ENOENT when there was none. */
struct store_issuer_revoke {
	char family[33];
};
int store_issuer_revoke(void *db, void *arg) WARREN_MUST_USE;

#endif
