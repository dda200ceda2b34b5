/* SPDX-License-Identifier: Apache-2.0
 *
 * Records for the system's log: journald's native protocol (systemd.journal-fields(7), "Native Journal
 * Protocol") where it listens, else syslog's datagrams (RFC 3164). Never waits.
 */
#ifndef WARREN_PLATFORM_JOURNAL_H
#define WARREN_PLATFORM_JOURNAL_H

#include <stddef.h>

#include "platform/error.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"
#define JOURNAL_SYSLOG "/dev/log"

struct journal;

/* name: SYSLOG_IDENTIFIER, kept by reference. NULL without memory. Without a listener every message is
 * dropped, and the next one tries again. */
struct journal *journal_new(const char *name);
void journal_free(struct journal *j);

struct journal_field {
	const char *name; /* "WARREN_EVENT" */
	const char *value;
};
/* message: one line. priority: syslog's 0 to 7. -errno when nobody took it. */
int journal_send(struct journal *j, int priority, const char *message,
		 const struct journal_field *fields, size_t count) WARREN_MUST_USE;

#endif
