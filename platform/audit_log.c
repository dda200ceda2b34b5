/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing the audit log: append, sync, parts, and what a crash leaves.
 */
#include "platform/audit_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/file.h"

struct audit_log {
	int dirfd, fd;
	struct audit_log_options options;
	struct audit_chain_point last;
	uint64_t bytes, first, lost;
	bool dirty;
	struct buffer line;
};

static void part_name(unsigned number, char out[static 32])
{
	if (number == 0)
		snprintf(out, 32, AUDIT_LOG_NAME);
	else
		snprintf(out, 32, AUDIT_LOG_NAME ".%u", number);
}

/* ------------------------------------------------------------------ what is there */

/* The end of a part: its last whole record, and how many bytes behind it are none. */
struct tail {
	bool exists, good; /* good: ends with a record that fits its hash */
	struct audit_chain_point last;
	uint64_t bytes, torn;
};

static int read_tail(int fd, struct tail *ret_tail)
{
	char *text = malloc(AUDIT_CHAIN_LINE_MAX * 2);
	size_t want, at;
	struct stat st;
	ssize_t n;

	if (text == NULL || fstat(fd, &st) < 0) {
		free(text);
		return text == NULL ? -ENOMEM : -errno;
	}
	ret_tail->exists = true;
	ret_tail->bytes = (uint64_t)st.st_size;
	want = ret_tail->bytes < AUDIT_CHAIN_LINE_MAX * 2 ? (size_t)ret_tail->bytes
							  : AUDIT_CHAIN_LINE_MAX * 2;
	n = pread(fd, text, want, st.st_size - (off_t)want);
	if (n != (ssize_t)want) {
		free(text);
		return n < 0 ? -errno : -EIO;
	}
	for (at = want; at > 0 && text[at - 1] != '\n'; at--)
		ret_tail->torn++;
	if (at > 0) {
		size_t begin = at - 1;

		while (begin > 0 && text[begin - 1] != '\n')
			begin--;
		ret_tail->good = audit_chain_read(text + begin, at - 1 - begin, &ret_tail->last,
						  NULL, NULL) == 0;
	}
	free(text);
	return 0;
}

static int open_part(int dirfd, unsigned number, int flags)
{
	char name[32];
	int fd;

	part_name(number, name);
	fd = openat(dirfd, name, flags | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

/* The last record of the older part: the present one is empty just after a turn. */
static void tail_of_older(int dirfd, struct tail *tail)
{
	struct tail older = {0};
	int fd = open_part(dirfd, 1, O_RDONLY);

	if (fd < 0)
		return;
	if (read_tail(fd, &older) == 0 && older.good) {
		tail->good = true;
		tail->last = older.last;
	}
	close(fd);
}

static int read_head(int dirfd, struct audit_chain_point *head, uint64_t *first, struct error *err)
{
	struct buffer text;
	int r;

	audit_chain_start(head);
	*first = 0;
	buffer_init(&text, 1024);
	r = file_read_at(dirfd, AUDIT_LOG_HEAD, &text);
	if (r == 0)
		r = audit_chain_head_get((const char *)text.data, text.len, head, first, err);
	buffer_done(&text);
	return r;
}

/* Where to go on; what is not as it should be becomes members of a record (not_well "" for none). */
static int resume(struct audit_log *log, char not_well[static 256], struct error *ret_note)
{
	struct audit_chain_point head;
	struct tail tail = {0};
	struct error err = {0};
	int r = read_tail(log->fd, &tail), head_rc;

	if (r < 0)
		return r;
	head_rc = read_head(log->dirfd, &head, &log->first, &err);
	if (tail.bytes == tail.torn)
		tail_of_older(log->dirfd, &tail);
	log->bytes = tail.bytes;
	if (tail.good)
		log->last = tail.last;
	else
		audit_chain_start(&log->last);
	if (tail.torn > 0 && (tail.good || tail.bytes == tail.torn) &&
	    log->last.seq >= head.seq) {
		if (ftruncate(log->fd, (off_t)(tail.bytes - tail.torn)) < 0)
			return -errno;
		log->bytes -= tail.torn;
		snprintf(not_well, 256, "\"event\":\"audit.recovered\",\"torn_bytes\":%llu",
			 (unsigned long long)tail.torn);
		error_set(ret_note, -EIO,
			  "the audit log ended in the middle of a record, as after a crash: %llu bytes "
			  "were removed",
			  (unsigned long long)tail.torn);
		return 0;
	}
	if (head_rc == -ENOENT && log->last.seq > 0 && tail.good && tail.torn == 0) {
		snprintf(not_well, 256,
			 "\"event\":\"audit.recovered\",\"reason\":\"there was no head\"");
		error_set(ret_note, -ENOENT,
			  "the audit log had no " AUDIT_LOG_HEAD ": whether its end was cut off "
			  "before now cannot be known");
		return 0;
	}
	if ((head_rc == 0 || head_rc == -ENOENT) && log->last.seq >= head.seq && tail.torn == 0 &&
	    (tail.good || tail.bytes == 0))
		return 0;
	if (tail.torn > 0) { /* nothing is removed where something is wrong */
		r = file_write_all(log->fd, "\n", 1);
		log->bytes += r == 0;
	}
	if (head.seq > log->last.seq)
		log->last = head;
	snprintf(not_well, 256,
		 "\"event\":\"audit.broken\",\"reason\":\"%s\"",
		 head_rc == -EBADMSG ? "the head cannot be read"
		 : tail.good	     ? "the log ends before its head"
				     : "the log ends with something else than a record");
	error_set(ret_note, -EBADMSG,
		  "the audit log is not as it was left: run `warren audit verify`");
	return r;
}

int audit_log_open(int dirfd, const struct audit_log_options *options, int64_t now_ms,
		   struct audit_log **ret_log, struct error *ret_note)
{
	struct audit_log *log = calloc(1, sizeof(*log));
	char not_well[256] = "";
	int r;

	if (log == NULL)
		return -ENOMEM;
	log->dirfd = dirfd;
	log->options = *options;
	buffer_init(&log->line, AUDIT_CHAIN_LINE_MAX * 2);
	log->fd = open_part(dirfd, 0, O_RDWR | O_CREAT | O_APPEND);
	r = log->fd < 0 ? log->fd : fchmod(log->fd, 0600) < 0 ? -errno : 0;
	if (r == 0)
		r = resume(log, not_well, ret_note);
	if (r == 0 && not_well[0] != '\0')
		r = audit_log_append(log, now_ms, not_well, NULL);
	if (r < 0) {
		audit_log_close(log);
		return r;
	}
	*ret_log = log;
	return 0;
}

/* ------------------------------------------------------------------ writing */

/* audit.jsonl becomes .1 and so on; the oldest goes. */
static int turn_parts(struct audit_log *log)
{
	char from[32], to[32];
	int fd, r = audit_log_sync(log);

	if (r < 0)
		return r;
	for (unsigned i = log->options.parts; i > 0; i--) {
		part_name(i - 1, from);
		part_name(i, to);
		if (renameat(log->dirfd, from, log->dirfd, to) < 0 && errno != ENOENT)
			return -errno;
	}
	fd = open_part(log->dirfd, 0, O_RDWR | O_CREAT | O_APPEND | O_TRUNC);
	if (fd < 0)
		return fd;
	file_close(&log->fd);
	log->fd = fd;
	log->bytes = 0;
	log->first = 0; /* found anew with the next head */
	return fsync(log->dirfd) < 0 ? -errno : 0;
}

/* All of line or nothing. */
static int write_line(struct audit_log *log, const struct audit_chain_point *point)
{
	int r = file_write_all(log->fd, log->line.data, log->line.len);

	if (r < 0) {
		if (ftruncate(log->fd, (off_t)log->bytes) < 0)
			return -EIO; /* the next start puts it right */
		return r;
	}
	log->bytes += log->line.len;
	log->last = *point;
	log->dirty = true;
	return 0;
}

static int write_record(struct audit_log *log, int64_t now_ms, const char *members)
{
	struct audit_chain_point point;
	int r;

	buffer_reset(&log->line);
	r = audit_chain_make(&log->last, now_ms, members, &log->line, &point);
	return r == 0 ? write_line(log, &point) : r;
}

static int write_lost(struct audit_log *log, int64_t now_ms)
{
	char members[96];
	int r;

	if (log->lost == 0)
		return 0;
	snprintf(members, sizeof(members), "\"event\":\"audit.lost\",\"records\":%llu",
		 (unsigned long long)log->lost);
	r = write_record(log, now_ms, members);
	if (r == 0)
		log->lost = 0;
	return r;
}

void audit_log_lost(struct audit_log *log)
{
	log->lost++;
}

int audit_log_append(struct audit_log *log, int64_t now_ms, const char *members,
		     const char **ret_line)
{
	int r = log->bytes >= log->options.part_bytes && log->bytes > 0 ? turn_parts(log) : 0;

	if (r == 0)
		r = write_lost(log, now_ms);
	if (r == 0)
		r = write_record(log, now_ms, members);
	if (r < 0) {
		log->lost++;
		return r;
	}
	log->line.data[log->line.len - 1] = '\0';
	if (ret_line != NULL)
		*ret_line = (const char *)log->line.data;
	return 0;
}

bool audit_log_is_last(const struct audit_log *log)
{
	struct stat mine, there;

	return fstat(log->fd, &mine) == 0 && (uint64_t)mine.st_size == log->bytes &&
	       fstatat(log->dirfd, AUDIT_LOG_NAME, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
	       mine.st_dev == there.st_dev && mine.st_ino == there.st_ino;
}

bool audit_log_dirty(const struct audit_log *log)
{
	return log->dirty;
}

/* The oldest record that is kept: the first line of the oldest part. */
static void find_first(struct audit_log *log)
{
	char *text = malloc(AUDIT_CHAIN_LINE_MAX);

	for (unsigned i = log->options.parts + 1; text != NULL && i > 0 && log->first == 0; i--) {
		struct audit_chain_point p;
		int fd = open_part(log->dirfd, i - 1, O_RDONLY);
		ssize_t n = fd >= 0 ? pread(fd, text, AUDIT_CHAIN_LINE_MAX, 0) : 0;
		const char *end = n > 0 ? memchr(text, '\n', (size_t)n) : NULL;

		if (end != NULL && audit_chain_read(text, (size_t)(end - text), &p, NULL, NULL) == 0)
			log->first = p.seq;
		if (fd >= 0)
			close(fd);
	}
	free(text);
}

int audit_log_sync(struct audit_log *log)
{
	struct buffer head;
	int r;

	if (!log->dirty)
		return 0;
	if (fdatasync(log->fd) < 0)
		return -errno;
	if (log->first == 0)
		find_first(log);
	buffer_init(&head, 1024);
	r = audit_chain_head_put(&log->last, log->first, &head);
	if (r == 0)
		r = file_write_atomic_at(log->dirfd, AUDIT_LOG_HEAD, head.data, head.len, 0600);
	buffer_done(&head);
	log->dirty = r < 0;
	return r;
}

void audit_log_close(struct audit_log *log)
{
	if (log == NULL)
		return;
	/* A head of ours behind another writer's records would be older than theirs. */
	if (log->fd >= 0 && audit_log_is_last(log) && audit_log_sync(log) < 0)
		log->dirty = true; /* the head stays behind, which is no harm */
	file_close(&log->fd);
	buffer_done(&log->line);
	free(log);
}
