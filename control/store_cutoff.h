/* SPDX-License-Identifier: Apache-2.0
 *
 * What is void before its time: cutoffs of identities ("what was issued up to then is void") and
 * serials of certificates, in SQLite. Each function is a job of store_job: it runs on the store's
 * thread with the sqlite3 handle and its own argument, and returns 0 or -errno.
 */
#ifndef WARREN_CONTROL_STORE_CUTOFF_H
#define WARREN_CONTROL_STORE_CUTOFF_H

#include <jansson.h>

#include "control/store.h"

#define STORE_CERT_KEEP_S INT64_C(2592000) /* a month: sessions outlive their certificate */

/* arg: struct store_cutoff_change. unblock: the identity may be served again, what was void stays
 * void; -ENOENT when it was not blocked for that reason. */
struct store_cutoff_change {
	struct store_cutoff cutoff;
	bool unblock;
	int64_t now_s, revision;
};
int store_cutoff_put(void *db, void *arg) WARREN_MUST_USE;
/* The same inside the caller's transaction. */
int store_cutoff_within(void *db, struct store_cutoff_change *a) WARREN_MUST_USE;

/* arg: struct store_cert. */
int store_cert_put(void *db, void *arg) WARREN_MUST_USE;

/* arg: struct store_cert_revoke. cert.serial in, the rest out. -ENOENT: no such certificate;
 * -EALREADY: it was revoked before. */
struct store_cert_revoke {
	struct store_cert cert;
	int64_t now_s, revision;
};
int store_cert_revoke(void *db, void *arg) WARREN_MUST_USE;

struct store_certs {
	char identity[256]; /* "": of everybody */
	int64_t limit, now_s;
	json_t *certs; /* out: newest first; the caller decrefs */
};
int store_certs(void *db, void *arg) WARREN_MUST_USE;

#endif
