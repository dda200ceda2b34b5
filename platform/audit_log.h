/* SPDX-License-Identifier: Apache-2.0
 *
 * The audit log on disk: audit.jsonl (0600) and its older parts audit.jsonl.1 (newest) to .N in one
 * folder, one chain through all (audit_chain.h), and audit.head. For one writer, which holds a lock on
 * the folder, or for several that lock it for each record and open the log anew where audit_log_is_last
 * says no.
 *
 * A record is written at once; it is synced, and the head replaced behind it, at most once a second and
 * at the end: a power cut loses a second at most, and never leaves a head without its record.
 */
#ifndef WARREN_PLATFORM_AUDIT_LOG_H
#define WARREN_PLATFORM_AUDIT_LOG_H

#include <stdint.h>

#include "platform/audit_chain.h"

#define AUDIT_LOG_NAME "audit.jsonl"
#define AUDIT_LOG_HEAD "audit.head"

struct audit_log;

struct audit_log_options {
	uint64_t part_bytes; /* a new part begins when the present one has so many */
	unsigned parts;	     /* older ones that are kept */
};

/* Goes on where the log ends; begins one where there is none. What does not fit (a half-written record
 * after a crash, a log that ends before its head) is put right or left, and said in a record of its own.
 * dirfd is borrowed for the log's life. *ret_note: a sentence for the administrator, "" when all is
 * well. -errno when nothing can be written. */
int audit_log_open(int dirfd, const struct audit_log_options *options, int64_t now_ms,
		   struct audit_log **ret_log, struct error *ret_note) WARREN_MUST_USE;
/* Appends one record. On failure (a full disk) nothing of it is left in the file, and the next record
 * that can be written is preceded by one that says how many are missing. line (may be NULL): the
 * record without its newline, valid until the next call. */
int audit_log_append(struct audit_log *log, int64_t now_ms, const char *members,
		     const char **ret_line) WARREN_MUST_USE;
/* Counts a record that could not even be made. */
void audit_log_lost(struct audit_log *log);
/* Is the log as this writer left it? No: somebody else wrote. */
bool audit_log_is_last(const struct audit_log *log);
/* Are there records that are not synced? */
bool audit_log_dirty(const struct audit_log *log);
int audit_log_sync(struct audit_log *log) WARREN_MUST_USE;
/* Syncs. NULL is fine. */
void audit_log_close(struct audit_log *log);

#endif
