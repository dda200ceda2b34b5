/* SPDX-License-Identifier: Apache-2.0
 *
 * The audit log: every way of tampering with the chain is found and named, crashes and full disks
 * leave a log that says so, parts go on one after the other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/audit_log.h"
#include "platform/file.h"

#define NOW_MS	INT64_C(1795262400123) /* 2026-11-21T12:00:00.123Z */
#define RECORDS 9

static char *lines[RECORDS];

static void make_lines(void)
{
	struct audit_chain_point last;
	struct buffer out;
	char members[64];

	audit_chain_start(&last);
	for (int i = 0; i < RECORDS; i++) {
		buffer_init(&out, 4096);
		snprintf(members, sizeof(members), "\"event\":\"test\",\"n\":%d", i);
		assert_int_equal(audit_chain_make(&last, NOW_MS + i, members, &out, &last), 0);
		out.data[out.len - 1] = '\0';
		lines[i] = strdup((char *)out.data);
		buffer_done(&out);
	}
	assert_non_null(strstr(lines[0], "{\"seq\":1,\"time\":\"2026-11-21T12:00:00.123Z\","
					 "\"event\":\"test\",\"n\":0,\"prev\":\"0000"));
}

/* Reads these; the sentence of the first bad one, or NULL. at: its place. */
static const char *check(const char *const *list, size_t count, size_t *at,
			 struct audit_chain_check *c)
{
	static struct error err;

	memset(&err, 0, sizeof(err));
	audit_chain_check_init(c, true);
	for (*at = 0; *at < count; ++*at)
		if (audit_chain_check_line(c, list[*at], strlen(list[*at]), &err) < 0)
			return err.text;
	return NULL;
}

static void refused(const char *const *list, size_t count, size_t where, const char *sentence)
{
	struct audit_chain_check c;
	size_t at;
	const char *said = check(list, count, &at, &c);

	if (said == NULL || at != where || strstr(said, sentence) == NULL)
		fail_msg("at %zu: %s", at, said != NULL ? said : "good");
}

static void test_tampering(void **state)
{
	const char *all[RECORDS + 1];
	struct audit_chain_check c;
	char *copy;
	size_t at;

	(void)state;
	memcpy(all, lines, sizeof(lines));
	assert_null(check(all, RECORDS, &at, &c));
	assert_int_equal(c.records, RECORDS);
	/* Every single byte counts. */
	for (size_t i = 0; i < strlen(lines[4]); i++) {
		copy = strdup(lines[4]);
		copy[i] ^= 1;
		all[4] = copy;
		assert_non_null(check(all, RECORDS, &at, &c));
		assert_int_equal(at, 4);
		free(copy);
	}
	copy = strdup(lines[4]);
	*strstr(copy, "\"n\":4") = ' ';
	all[4] = copy;
	refused(all, RECORDS, 4, "record 5 was edited");
	free(copy);
	/* One is missing, in the middle and at the beginning. */
	memcpy(all, lines, sizeof(lines));
	memmove(&all[4], &all[5], 4 * sizeof(all[0]));
	refused(all, RECORDS - 1, 4, "record 5 is missing before record 6");
	refused(&((const char *const *)lines)[3], 3, 0, "records 1 to 3 are missing");
	/* Exchanged, and there twice. */
	memcpy(all, lines, sizeof(lines));
	all[4] = lines[5];
	all[5] = lines[4];
	refused(all, RECORDS, 4, "record 5 is missing");
	memcpy(all, lines, sizeof(lines));
	memmove(&all[5], &all[4], 5 * sizeof(all[0]));
	refused(all, RECORDS + 1, 5, "out of order or there twice");
	/* What is no record. */
	all[2] = "";
	refused(all, 3, 2, "no record");
	all[2] = "{\"seq\":3}";
	refused(all, 3, 2, "no record");
}

/* A record that was made anew, with a hash that fits. */
static void test_replaced(void **state)
{
	const char *all[RECORDS];
	struct audit_chain_point p;
	char prev[AUDIT_CHAIN_HEX + 1];
	struct buffer out;

	(void)state;
	memcpy(all, lines, sizeof(lines));
	assert_int_equal(audit_chain_read(lines[3], strlen(lines[3]), &p, prev, NULL), 0);
	assert_int_equal(p.seq, 4);
	buffer_init(&out, 4096);
	assert_int_equal(audit_chain_make(&p, NOW_MS, "\"event\":\"harmless\"", &out, &p), 0);
	out.data[out.len - 1] = '\0';
	all[4] = (char *)out.data;
	refused(all, RECORDS, 5, "record 6 does not follow on the record before it");
	buffer_done(&out);
}

static void test_head(void **state)
{
	struct audit_chain_point head, again;
	struct audit_chain_check c;
	struct error err = {0};
	struct buffer text;
	uint64_t first;
	size_t at;

	(void)state;
	assert_null(check((const char *const *)lines, RECORDS, &at, &c));
	head = c.last;
	assert_int_equal(audit_chain_check_head(&c, &head, head.hash, &err), 0);
	/* The log goes on behind the head. */
	assert_null(check((const char *const *)lines, RECORDS, &at, &c));
	head.seq = 3;
	assert_int_equal(audit_chain_check_head(&c, &head, head.hash, &err), 0);
	assert_true(audit_chain_check_head(&c, &head, c.last.hash, &err) == 0);
	again = head;
	again.hash[0] = again.hash[0] == '0' ? '1' : '0';
	assert_true(audit_chain_check_head(&c, &head, again.hash, &err) < 0);
	assert_non_null(strstr(err.text, "record 3 is another one"));
	/* Cut off at the end. */
	assert_null(check((const char *const *)lines, RECORDS - 2, &at, &c));
	head.seq = RECORDS;
	assert_true(audit_chain_check_head(&c, &head, NULL, &err) < 0);
	assert_non_null(strstr(err.text, "cut off: it ends with record 7, and record 9 was written"));
	buffer_init(&text, 1024);
	assert_int_equal(audit_chain_head_put(&head, 2, &text), 0);
	assert_int_equal(audit_chain_head_get((char *)text.data, text.len, &again, &first, &err), 0);
	assert_true(again.seq == RECORDS && first == 2 && strcmp(again.hash, head.hash) == 0);
	text.data[10] = 'x';
	assert_int_equal(audit_chain_head_get((char *)text.data, text.len, &again, &first, &err),
			 -EBADMSG);
	buffer_done(&text);
}

/* ------------------------------------------------------------------ on disk */

static char folder[] = "/tmp/test_audit.XXXXXX";
static int dirfd_;

static struct audit_log *open_log(uint64_t part_bytes, const char *note)
{
	const struct audit_log_options options = {.part_bytes = part_bytes, .parts = 3};
	struct audit_log *log = NULL;
	struct error said = {0};

	assert_int_equal(audit_log_open(dirfd_, &options, NOW_MS, &log, &said), 0);
	if (note[0] == '\0' ? said.code != 0 : strstr(said.text, note) == NULL)
		fail_msg("note: %s", said.text);
	return log;
}

static void write_records(struct audit_log *log, int count)
{
	for (int i = 0; i < count; i++)
		assert_int_equal(audit_log_append(log, NOW_MS, "\"event\":\"test\"", NULL), 0);
}

static void read_part(const char *name, struct buffer *out)
{
	buffer_init(out, 1 << 22);
	assert_int_equal(file_read_at(dirfd_, name, out), 0);
	assert_non_null(buffer_cstring(out));
}

/* Checks the parts in order; the number of records, or fails. */
static uint64_t records(const char *const *names, size_t count, bool from_start)
{
	struct audit_chain_check c;
	struct error err = {0};

	audit_chain_check_init(&c, from_start);
	for (size_t i = 0; i < count; i++) {
		struct buffer text;

		read_part(names[i], &text);
		for (char *line = (char *)text.data, *end; (end = strchr(line, '\n')) != NULL;
		     line = end + 1)
			if (audit_chain_check_line(&c, line, (size_t)(end - line), &err) < 0)
				fail_msg("%s: %s", names[i], err.text);
		buffer_done(&text);
	}
	return c.records;
}

static int clean(void **state)
{
	static const char *const names[] = {AUDIT_LOG_NAME,	 AUDIT_LOG_NAME ".1",
					    AUDIT_LOG_NAME ".2", AUDIT_LOG_NAME ".3",
					    AUDIT_LOG_NAME ".4", AUDIT_LOG_HEAD};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlinkat(dirfd_, names[i], 0);
	return 0;
}

static void test_restart(void **state)
{
	static const char *const one[] = {AUDIT_LOG_NAME};
	struct audit_log *log = open_log(1 << 20, "");
	struct stat st;

	(void)state;
	write_records(log, 3);
	assert_true(audit_log_dirty(log));
	assert_int_equal(audit_log_sync(log), 0);
	assert_false(audit_log_dirty(log));
	audit_log_close(log);
	log = open_log(1 << 20, "");
	write_records(log, 2);
	audit_log_close(log);
	assert_int_equal(records(one, 1, true), 5);
	assert_int_equal(fstatat(dirfd_, AUDIT_LOG_NAME, &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void test_parts(void **state)
{
	static const char *const kept[] = {AUDIT_LOG_NAME ".3", AUDIT_LOG_NAME ".2",
					   AUDIT_LOG_NAME ".1", AUDIT_LOG_NAME};
	struct audit_log *log = open_log(1000, "");
	struct audit_chain_point head;
	struct buffer text;
	uint64_t first;

	(void)state;
	for (int i = 0; i < 6; i++) { /* also across restarts, at every place of a part */
		write_records(log, 5);
		audit_log_close(log);
		log = open_log(1000, "");
	}
	audit_log_close(log);
	assert_true(records(kept, 4, false) >= 12);
	assert_int_equal(faccessat(dirfd_, AUDIT_LOG_NAME ".4", F_OK, 0), -1);
	read_part(AUDIT_LOG_HEAD, &text);
	assert_int_equal(audit_chain_head_get((char *)text.data, text.len, &head, &first, NULL), 0);
	assert_int_equal(head.seq, 30);
	assert_int_equal(head.seq - first + 1, records(kept, 4, false));
	buffer_done(&text);
}

static void cut(const char *name, int bytes)
{
	int fd = openat(dirfd_, name, O_RDWR);
	struct stat st;

	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	assert_int_equal(ftruncate(fd, st.st_size - bytes), 0);
	close(fd);
}

/* The last record was half written when the machine stopped; the head is older. */
static void test_crash(void **state)
{
	static const char *const one[] = {AUDIT_LOG_NAME};
	struct audit_log *log = open_log(1 << 20, "");
	struct buffer head, text;

	(void)state;
	write_records(log, 3);
	assert_int_equal(audit_log_sync(log), 0);
	read_part(AUDIT_LOG_HEAD, &head);
	write_records(log, 2);
	audit_log_close(log);
	assert_int_equal(file_write_atomic_at(dirfd_, AUDIT_LOG_HEAD, head.data, head.len, 0600), 0);
	buffer_done(&head);
	cut(AUDIT_LOG_NAME, 30);
	log = open_log(1 << 20, "in the middle of a record");
	write_records(log, 1);
	audit_log_close(log);
	assert_int_equal(records(one, 1, true), 6); /* 4 that were whole, the note, one */
	read_part(AUDIT_LOG_NAME, &text);
	assert_non_null(strstr((char *)text.data, "\"event\":\"audit.recovered\",\"torn_bytes\""));
	buffer_done(&text);
}

/* Somebody cut off what the head knows: never put right in silence. */
static void test_cut_off(void **state)
{
	struct audit_log *log = open_log(1 << 20, "");
	struct audit_chain_check c;
	struct error err = {0};
	struct buffer text;
	char *line, *end;
	int r = 0;

	(void)state;
	write_records(log, 5);
	audit_log_close(log);
	cut(AUDIT_LOG_NAME, 300);
	log = open_log(1 << 20, "not as it was left");
	write_records(log, 1);
	audit_log_close(log);
	read_part(AUDIT_LOG_NAME, &text);
	audit_chain_check_init(&c, true);
	for (line = (char *)text.data; r == 0 && (end = strchr(line, '\n')) != NULL; line = end + 1)
		r = audit_chain_check_line(&c, line, (size_t)(end - line), &err);
	assert_true(r < 0);
	assert_non_null(strstr((char *)text.data, "audit.broken"));
	buffer_done(&text);
	/* The whole file away: the next record is not number 1. */
	unlinkat(dirfd_, AUDIT_LOG_NAME, 0);
	log = open_log(1 << 20, "not as it was left");
	audit_log_close(log);
	read_part(AUDIT_LOG_NAME, &text);
	assert_non_null(strstr((char *)text.data, "{\"seq\":8,"));
	buffer_done(&text);
	/* The head away. */
	unlinkat(dirfd_, AUDIT_LOG_HEAD, 0);
	log = open_log(1 << 20, "had no audit.head");
	audit_log_close(log);
}

/* A disk that is full: the chain stays whole, and says what it lacks. */
static void test_full(void **state)
{
	static const char *const one[] = {AUDIT_LOG_NAME};
	struct rlimit limit, small;
	struct audit_log *log = open_log(1 << 20, "");
	struct buffer text;
	struct stat st;

	(void)state;
	write_records(log, 2);
	assert_int_equal(fstatat(dirfd_, AUDIT_LOG_NAME, &st, 0), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	signal(SIGXFSZ, SIG_IGN);
	small = limit;
	small.rlim_cur = (rlim_t)st.st_size + 100; /* half a record */
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(audit_log_append(log, NOW_MS, "\"event\":\"test\"", NULL), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(records(one, 1, true), 2);
	write_records(log, 1);
	audit_log_close(log);
	assert_int_equal(records(one, 1, true), 4);
	read_part(AUDIT_LOG_NAME, &text);
	assert_non_null(strstr((char *)text.data, "\"event\":\"audit.lost\",\"records\":3"));
	buffer_done(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tampering),
		cmocka_unit_test(test_replaced),
		cmocka_unit_test(test_head),
		cmocka_unit_test_setup_teardown(test_restart, clean, clean),
		cmocka_unit_test_setup_teardown(test_parts, clean, clean),
		cmocka_unit_test_setup_teardown(test_crash, clean, clean),
		cmocka_unit_test_setup_teardown(test_cut_off, clean, clean),
		cmocka_unit_test_setup_teardown(test_full, clean, clean),
	};
	int rc;

	if (sodium_init() < 0 || mkdtemp(folder) == NULL)
		return 1;
	dirfd_ = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	make_lines();
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	for (int i = 0; i < RECORDS; i++)
		free(lines[i]);
	close(dirfd_);
	rmdir(folder);
	return rc;
}
