/* SPDX-License-Identifier: Apache-2.0
 *
 * Audit events on the wire: what comes out as JSON, and what a monitor can't say.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "platform/json.h"
#include "ssh/wire/ssh_wire_audit.h"

static uint8_t data[16384];

static json_t *read_event(const struct writer *w, bool *ended)
{
	struct reader r = reader_init(data, w->len);
	struct endpoint client;
	struct buffer text;
	json_t *value;

	assert_int_equal(endpoint_parse("100.64.0.1:40000", &client), 0);
	buffer_init(&text, 65536);
	assert_int_equal(buffer_append(&text, "{", 1), 0);
	if (ssh_wire_audit_json(&r, 7, &client, &text, ended) < 0) {
		buffer_done(&text);
		return NULL;
	}
	assert_int_equal(buffer_append(&text, "}", 1), 0);
	for (size_t i = 0; i < text.len; i++)
		assert_true(text.data[i] >= 0x20 && text.data[i] != 0x7f);
	value = json_load_strict((const char *)text.data, text.len, 65536, NULL);
	assert_non_null(value);
	buffer_done(&text);
	return value;
}

static const char *get(const json_t *value, const char *key)
{
	const char *text = json_string_value(json_object_get(value, key));

	return text != NULL ? text : "-";
}

static void test_event(void **state)
{
	static char huge[5000];
	const struct ssh_audit_field fields[] = {
		{SSH_AUDIT_OP, "close", 0},	     {SSH_AUDIT_PATH, "/a \"b\"\n\\\x7f\xff\xc3\xbc", 0},
		{SSH_AUDIT_PATH2, "", 0},	     {SSH_AUDIT_DETAIL, huge, 0},
		{SSH_AUDIT_READ, NULL, 1ULL << 40}, {SSH_AUDIT_WRITTEN, NULL, UINT64_MAX},
	};
	const struct ssh_audit a = {SSH_AUDIT_SFTP, "alice@example.com", "first", "deploy", fields, 6};
	struct writer w = writer_init(data, sizeof(data));
	bool ended = true;
	json_t *value;

	(void)state;
	memset(huge, 'x', sizeof(huge) - 1);
	ssh_wire_audit_put(&w, &a);
	assert_false(w.failed);
	value = read_event(&w, &ended);
	assert_non_null(value);
	assert_false(ended);
	assert_string_equal(get(value, "event"), "ssh.sftp");
	assert_int_equal(json_integer_value(json_object_get(value, "connection")), 7);
	assert_string_equal(get(value, "client"), "100.64.0.1:40000");
	assert_string_equal(get(value, "identity"), "alice@example.com");
	assert_string_equal(get(value, "peer"), "first");
	assert_string_equal(get(value, "login"), "deploy");
	/* A byte that is no text is shown as Latin-1 would. */
	assert_string_equal(get(value, "path"), "/a \"b\"\n\\\x7f\xc3\xbf\xc3\xbc");
	assert_null(json_object_get(value, "new_path"));
	assert_int_equal(strlen(get(value, "detail")), SSH_AUDIT_TEXT_MAX);
	assert_int_equal(json_integer_value(json_object_get(value, "bytes_read")), 1LL << 40);
	assert_int_equal(json_integer_value(json_object_get(value, "bytes_written")), INT64_MAX);
	json_decref(value);
}

static void test_names(void **state)
{
	(void)state;
	for (uint8_t event = 1; event < SSH_AUDIT_EVENTS; event++) {
		const struct ssh_audit a = {.event = event};
		struct writer w = writer_init(data, sizeof(data));
		bool ended;
		json_t *value;

		ssh_wire_audit_put(&w, &a);
		value = read_event(&w, &ended);
		assert_non_null(value);
		assert_memory_equal(get(value, "event"), "ssh.", 4);
		assert_int_equal(ended, event == SSH_AUDIT_END);
		assert_null(json_object_get(value, "identity"));
		json_decref(value);
	}
	for (uint8_t key = 1; key < SSH_AUDIT_KEYS; key++) {
		const struct ssh_audit_field field = {key, NULL, 1};
		const struct ssh_audit a = {.event = 1, .fields = &field, .count = 1};
		struct writer w = writer_init(data, sizeof(data));
		json_t *value;

		ssh_wire_audit_put(&w, &a);
		value = read_event(&w, NULL);
		assert_non_null(value);
		assert_int_equal(json_object_size(value), 4);
		json_decref(value);
	}
}

/* No key twice: `connection`, `client` and the rest are the keeper's to say. */
static void test_lies(void **state)
{
	struct ssh_audit_field fields[SSH_AUDIT_FIELDS + 1];
	struct ssh_audit a = {.event = SSH_AUDIT_EVENTS};
	struct writer w = writer_init(data, sizeof(data));

	(void)state;
	ssh_wire_audit_put(&w, &a);
	assert_null(read_event(&w, NULL)); /* no such event */
	fields[0] = fields[1] = (struct ssh_audit_field){SSH_AUDIT_PATH, "x", 0};
	a = (struct ssh_audit){.event = SSH_AUDIT_SFTP, .fields = fields, .count = 2};
	w = writer_init(data, sizeof(data));
	ssh_wire_audit_put(&w, &a);
	assert_null(read_event(&w, NULL)); /* twice */
	fields[0].key = SSH_AUDIT_KEYS;
	a.count = 1;
	w = writer_init(data, sizeof(data));
	ssh_wire_audit_put(&w, &a);
	assert_null(read_event(&w, NULL)); /* no such key */
	for (size_t i = 0; i <= SSH_AUDIT_FIELDS; i++)
		fields[i] = (struct ssh_audit_field){(uint8_t)(i + 1), "x", 0};
	a.count = SSH_AUDIT_FIELDS + 1;
	w = writer_init(data, sizeof(data));
	ssh_wire_audit_put(&w, &a);
	assert_null(read_event(&w, NULL)); /* too many */
	a.count = 3;
	w = writer_init(data, sizeof(data));
	ssh_wire_audit_put(&w, &a);
	for (size_t len = w.len; len-- > 0;) { /* cut anywhere */
		w.len = len;
		assert_null(read_event(&w, NULL));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_event),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_lies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
