/* SPDX-License-Identifier: Apache-2.0
 *
 * Records of the audit log: one JSON object a line, chained by hashes. Pure.
 *
 *   {"seq":7,"time":"2026-11-21T12:00:00.123Z",MEMBERS,"prev":"HEX","hash":"HEX"}
 *
 * hash is the SHA-256 of the line's bytes before `,"hash":"`; prev is the hash of record seq - 1 (64
 * zeros before the first). So an edited record does not fit its own hash, and a missing, added or
 * exchanged one does not fit its neighbours. What was cut off at the end shows only in the head: number
 * and hash of the last record, kept in another file.
 */
#ifndef WARREN_PLATFORM_AUDIT_CHAIN_H
#define WARREN_PLATFORM_AUDIT_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/buffer.h"
#include "platform/error.h"

#define AUDIT_CHAIN_HEX	     64
#define AUDIT_CHAIN_LINE_MAX (96 * 1024) /* with its newline */

/* Number and hash of a record. seq 0: before the first. */
struct audit_chain_point {
	uint64_t seq;
	char hash[AUDIT_CHAIN_HEX + 1];
};

void audit_chain_start(struct audit_chain_point *ret_point);
/* The record after `last`, with newline, appended to out; *ret_point is the new one. members: without
 * braces, not empty. now_ms: since 1970. */
int audit_chain_make(const struct audit_chain_point *last, int64_t now_ms, const char *members,
		     struct buffer *out, struct audit_chain_point *ret_point) WARREN_MUST_USE;
/* One line without its newline: is it a record that fits its own hash? -EBADMSG with what is wrong.
 * prev (may be NULL): char[AUDIT_CHAIN_HEX + 1]. */
int audit_chain_read(const char *line, size_t len, struct audit_chain_point *ret_point, char *prev,
		     struct error *err) WARREN_MUST_USE;

/* Reads lines in order and stops at the first that is wrong. */
struct audit_chain_check {
	struct audit_chain_point last; /* of the last good record */
	uint64_t first_seq, records;
	bool begun, want_first;
};
/* from_start: the first record must be number 1. */
void audit_chain_check_init(struct audit_chain_check *c, bool from_start);
/* -EBADMSG with a sentence: edited, missing, out of order, replaced. */
int audit_chain_check_line(struct audit_chain_check *c, const char *line, size_t len,
			   struct error *err) WARREN_MUST_USE;
/* After the last line: does the log reach the head, and has it that very record? seen: the log's own
 * record of that number (its hash), or NULL when it has none. */
int audit_chain_check_head(const struct audit_chain_check *c, const struct audit_chain_point *head,
			   const char *seen, struct error *err) WARREN_MUST_USE;

/* The head's file: `{"v":1,"seq":7,"hash":"HEX","first":1}`. first: the oldest record that is kept. */
int audit_chain_head_put(const struct audit_chain_point *head, uint64_t first,
			 struct buffer *out) WARREN_MUST_USE;
int audit_chain_head_get(const char *text, size_t len, struct audit_chain_point *ret_head,
			 uint64_t *ret_first, struct error *err) WARREN_MUST_USE;

#endif
