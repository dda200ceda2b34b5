/* SPDX-License-Identifier: Apache-2.0
 *
 * An audit log that somebody wrote (`warren audit verify`) and its head: what is taken for a record
 * fits its hash, and what was written is taken again.
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "platform/audit_chain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

static void read_lines(const char *text, size_t size)
{
	struct audit_chain_check c;
	struct audit_chain_point p;
	char prev[AUDIT_CHAIN_HEX + 1];
	uint64_t last = 0;

	audit_chain_check_init(&c, size % 2 == 0);
	while (size > 0) {
		const char *end = memchr(text, '\n', size);
		size_t len = end != NULL ? (size_t)(end - text) : size;

		if (audit_chain_read(text, len, &p, prev, NULL) == 0)
			REQUIRE(p.seq > 0 && strlen(p.hash) == AUDIT_CHAIN_HEX);
		if (audit_chain_check_line(&c, text, len, NULL) < 0)
			return;
		REQUIRE(c.last.seq > last);
		last = c.last.seq;
		len += end != NULL;
		text += len;
		size -= len;
	}
}

/* Any text as the value of a member, after escaping what JSON wants escaped. */
static void write_and_read(const uint8_t *data, size_t size)
{
	struct audit_chain_point start, p, again;
	struct buffer members, line;
	char prev[AUDIT_CHAIN_HEX + 1];

	audit_chain_start(&start);
	start.seq = size;
	buffer_init(&members, 65536);
	buffer_init(&line, 65536 * 2);
	REQUIRE(buffer_printf(&members, "\"event\":\"") == 0);
	for (size_t i = 0; i < size; i++)
		REQUIRE(buffer_printf(&members, "\\u%04x", data[i] ? data[i] : 1) == 0);
	REQUIRE(buffer_append(&members, "\"", 1) == 0);
	REQUIRE(audit_chain_make(&start, 1, buffer_cstring(&members), &line, &p) == 0);
	REQUIRE(audit_chain_read((const char *)line.data, line.len - 1, &again, prev, NULL) == 0);
	REQUIRE(again.seq == p.seq && strcmp(again.hash, p.hash) == 0);
	buffer_done(&members);
	buffer_done(&line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct audit_chain_point head;
	uint64_t first;

	if (sodium_init() < 0 || size > 8192)
		return 0;
	read_lines((const char *)data, size);
	if (audit_chain_head_get((const char *)data, size, &head, &first, NULL) == 0)
		REQUIRE(strlen(head.hash) == AUDIT_CHAIN_HEX);
	write_and_read(data, size);
	return 0;
}
