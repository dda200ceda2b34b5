/* SPDX-License-Identifier: Apache-2.0
 *
 * Audit events of an SSH connection on their way from its monitor to whoever keeps the log (broker):
 * u8 event, string identity, string peer, string login, u8 count, count × (u8 key, u8 number, u64 or
 * string). The number of the connection and the caller's address are not in it: the keeper knows them.
 */
#ifndef WARREN_SSH_WIRE_SSH_WIRE_AUDIT_H
#define WARREN_SSH_WIRE_SSH_WIRE_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/addr.h"
#include "platform/buffer.h"
#include "platform/error.h"

#define SSH_AUDIT_FIELDS   16
#define SSH_AUDIT_TEXT_MAX 2048 /* bytes of one text; longer ones are cut */

/* Numbers are the wire's; names (ssh_wire_audit_event) are for people and scripts, and stay. */
enum ssh_audit_event {
	SSH_AUDIT_CONNECTION = 1,
	SSH_AUDIT_LOGIN = 2,
	SSH_AUDIT_LOGIN_REFUSED = 3,
	SSH_AUDIT_SESSION = 4,
	SSH_AUDIT_SESSION_REFUSED = 5,
	SSH_AUDIT_SESSION_END = 6,
	SSH_AUDIT_SFTP = 7,
	SSH_AUDIT_FORWARD = 8,
	SSH_AUDIT_FORWARD_REFUSED = 9,
	SSH_AUDIT_FORWARD_END = 10,
	SSH_AUDIT_LISTEN = 11,
	SSH_AUDIT_LISTEN_REFUSED = 12,
	SSH_AUDIT_ENDING = 13,	  /* we end it */
	SSH_AUDIT_VIOLATION = 14, /* the worker broke the rules */
	SSH_AUDIT_END = 15,
	SSH_AUDIT_NOTE = 16,
	SSH_AUDIT_EVENTS,
};

enum ssh_audit_key {
	SSH_AUDIT_CODE = 1, /* a stable word */
	SSH_AUDIT_REASON = 2, /* a sentence */
	SSH_AUDIT_METHOD = 3,
	SSH_AUDIT_CHANNEL = 4,
	SSH_AUDIT_KIND = 5, /* shell, exec, subsystem, files */
	SSH_AUDIT_COMMAND = 6,
	SSH_AUDIT_OP = 7,
	SSH_AUDIT_PATH = 8,
	SSH_AUDIT_PATH2 = 9,
	SSH_AUDIT_DETAIL = 10,
	SSH_AUDIT_READ = 11,
	SSH_AUDIT_WRITTEN = 12,
	SSH_AUDIT_TO = 13,
	SSH_AUDIT_ON = 14,
	SSH_AUDIT_STATUS = 15,
	SSH_AUDIT_SIGNAL = 16,
	SSH_AUDIT_DURATION_MS = 17,
	SSH_AUDIT_RECEIVED = 18,
	SSH_AUDIT_SENT = 19,
	SSH_AUDIT_NETWORK = 20,
	SSH_AUDIT_TTY = 21,
	SSH_AUDIT_PID = 22,
	SSH_AUDIT_FROM = 23, /* who connected to a listener */
	SSH_AUDIT_KEYS,
};

struct ssh_audit_field {
	uint8_t key;
	const char *text; /* NULL: number */
	uint64_t number;
};

struct ssh_audit {
	uint8_t event;
	const char *identity, *peer, *login; /* "" for what is not known yet */
	const struct ssh_audit_field *fields;
	size_t count;
};

/* Texts are cut to SSH_AUDIT_TEXT_MAX bytes; empty ones are left out. */
void ssh_wire_audit_put(struct writer *w, const struct ssh_audit *a);
/* Reads the event behind type and id and appends the members of a JSON object to out:
 * `"event":"ssh.login","connection":7,…`. -EBADMSG for what is no event. ret_ended (may be NULL):
 * it was the connection's last. */
int ssh_wire_audit_json(struct reader *r, uint32_t connection, const struct endpoint *client,
			struct buffer *out, bool *ret_ended) WARREN_MUST_USE;
/* `"text"` with everything but printable ASCII and valid UTF-8 escaped. */
int ssh_wire_audit_text(struct buffer *out, const void *text, size_t len) WARREN_MUST_USE;

#endif
