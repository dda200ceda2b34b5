/* SPDX-License-Identifier: Apache-2.0
 *
 * The audit log of a server without a mesh (AuditLog): the same chained files as warrend's
 * (platform/audit_log.h) in a folder of their own, and a copy of each record in the system's log. The
 * listener, one that was started anew while sessions go on, and servers behind inetd may write to one
 * folder: each locks it for each record. What cannot be written ends no connection (decision 31).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/audit_log.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/journal.h"
#include "platform/log.h"
#include "platform/unixsock.h"
#include "ssh/sshd_internal.h"
#include "ssh/wire/ssh_wire_audit.h"

#define EVENT_MAX      (64 * 1024)
#define PART_BYTES     (UINT64_C(16) << 20)
#define PARTS	       16
#define FOLDER_MAX     256
#define WIRE_HEADER    5 /* type and id */
#define SYNC_NS	       NSEC_PER_SEC
#define LOCK_MS	       500 /* others hold it for one record */
#define PRIORITY_ERROR 3
#define PRIORITY_INFO  6

struct sshd_audit {
	struct journal *journal;
	char folder[FOLDER_MAX]; /* empty: none */
	int dir;	  /* -1: not open */
	struct audit_log *log;
	uint64_t sync_ns, lost; /* records while there was no log */
	struct log_limit limit;
};

static int64_t now_ms(void)
{
	return (int64_t)(clock_realtime_ns(&clock_system) / NSEC_PER_MSEC);
}

static uint64_t now_ns(void)
{
	return clock_monotonic_ns(&clock_system);
}

/* ------------------------------------------------------------------ the folder */

/* Made when it is missing; nobody else may write to it. */
static int open_folder(const char *path, int *ret_fd, struct error *err)
{
	struct stat st;
	int fd;

	if (path[0] != '/' || strlen(path) >= FOLDER_MAX)
		return error_set(err, -EINVAL, "AuditLog %.80s is no absolute path of a folder",
				 path);
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return error_set(err, -errno, "AuditLog %s cannot be made: %s", path,
				 strerror(errno));
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, -errno, "AuditLog %s cannot be opened: %s", path,
				 strerror(errno));
	if (fstat(fd, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & 022) != 0) {
		close(fd);
		return error_set(err, -EPERM,
				 "AuditLog %s is not good enough: the folder must belong to this "
				 "account, and nobody else may write to it",
				 path);
	}
	*ret_fd = fd;
	return 0;
}

/* Not there: could it be made? */
static int check_parent(const char *folder, struct error *err)
{
	const char *slash = strrchr(folder, '/');
	char parent[FOLDER_MAX + 1];

	snprintf(parent, sizeof(parent), "%.*s/", slash != NULL ? (int)(slash - folder) : 0,
		 folder);
	if (access(parent, W_OK | X_OK) < 0)
		return error_set(err, -errno, "AuditLog %s cannot be made: %s", folder,
				 strerror(errno));
	return 0;
}

int sshd_audit_check(const char *folder, bool make, struct error *err)
{
	struct stat st;
	int fd = -1, r;

	if (!make && folder[0] == '/' && strlen(folder) < FOLDER_MAX && stat(folder, &st) < 0 &&
	    errno == ENOENT)
		return check_parent(folder, err);
	r = open_folder(folder, &fd, err);
	file_close(&fd);
	return r;
}

static int lock(int fd)
{
	for (int i = 0; i < LOCK_MS; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return 0;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		usleep(1000);
	}
	return -ETIMEDOUT;
}

/* Locked: the log as it is now. */
static int refresh(struct sshd_audit *a)
{
	const struct audit_log_options options = {.part_bytes = PART_BYTES, .parts = PARTS};
	struct error note = {0};
	int r;

	if (a->log != NULL && audit_log_is_last(a->log))
		return 0;
	audit_log_close(a->log);
	a->log = NULL;
	r = audit_log_open(a->dir, &options, now_ms(), &a->log, &note);
	if (r < 0)
		a->log = NULL;
	for (; r == 0 && a->lost > 0; a->lost--)
		audit_log_lost(a->log);
	if (note.code < 0)
		log_error(error_text(&note), NULL);
	return r;
}

/* ------------------------------------------------------------------ writing */

static int write_record(struct sshd_audit *a, const char *members, const char **ret_line)
{
	int r = a->dir < 0 ? open_folder(a->folder, &a->dir, NULL) : 0;

	if (r == 0)
		r = lock(a->dir);
	if (r < 0) {
		a->lost++;
		return r;
	}
	r = refresh(a);
	if (r < 0)
		a->lost++;
	else
		r = audit_log_append(a->log, now_ms(), members, ret_line);
	if (r == 0 && a->sync_ns == 0)
		a->sync_ns = now_ns() + SYNC_NS;
	flock(a->dir, LOCK_UN);
	return r;
}

/* The value of "event", which comes first. */
static void event_of(const char *members, char out[static 48])
{
	const char *at = strchr(members, ':');
	size_t n = at != NULL && at[1] == '"' ? strcspn(at + 2, "\"") : 0;

	n = n < 47 ? n : 47;
	if (n > 0)
		memcpy(out, at + 2, n);
	out[n] = '\0';
}

static void tell_journal(struct sshd_audit *a, int priority, const char *line, const char *members)
{
	char event[48];
	const struct journal_field field = {"WARREN_EVENT", event};
	struct buffer text;

	event_of(members, event);
	buffer_init(&text, EVENT_MAX + 2);
	if (line == NULL && buffer_printf(&text, "{%s}", members) == 0)
		line = buffer_cstring(&text);
	if (line == NULL || journal_send(a->journal, priority, line, &field, 1) < 0)
		log_debug("the system's log does not take audit records", NULL);
	buffer_done(&text);
}

void sshd_audit_append(struct sshd_audit *a, const char *members)
{
	const char *line = NULL;
	int r = a->folder[0] != '\0' ? write_record(a, members, &line) : 0;

	if (r < 0 && log_limit_allow(&a->limit, now_ns()))
		log_error("an audit record cannot be written: the log has a gap until it can",
			  "folder=%s error=%s", a->folder, strerror(-r));
	tell_journal(a, r < 0 ? PRIORITY_ERROR : PRIORITY_INFO, line, members);
}

static void take_event(struct sshd_audit *a, uint32_t id, const struct endpoint *client,
		       struct reader *event, bool *ended)
{
	struct buffer text;
	bool last = false;

	buffer_init(&text, EVENT_MAX);
	if (ssh_wire_audit_json(event, id, client, &text, &last) < 0 ||
	    buffer_cstring(&text) == NULL)
		log_error("an audit event of a monitor does not parse", "connection=%u", id);
	else
		sshd_audit_append(a, buffer_cstring(&text));
	*ended = *ended || last;
	buffer_done(&text);
}

int sshd_audit_hear(struct sshd_audit *a, int sock, uint32_t id, const struct endpoint *client,
		    uint8_t *ret_type, bool *ended)
{
	static uint8_t data[EVENT_MAX];
	ssize_t n = unixsock_recv(sock, data, sizeof(data), NULL, NULL, MSG_DONTWAIT);

	if (n == -EAGAIN || n == -EINTR)
		return 0;
	if (n <= 0)
		return -EPIPE;
	*ret_type = data[0];
	if (n > WIRE_HEADER && data[0] == SSH_WIRE_AUDIT) {
		struct reader r = reader_init(data + WIRE_HEADER, (size_t)n - WIRE_HEADER);

		take_event(a, id, client, &r, ended);
	}
	return 1;
}

void sshd_audit_died(struct sshd_audit *a, uint32_t id, const struct endpoint *client)
{
	char address[ENDPOINT_STRLEN], members[400];

	snprintf(members, sizeof(members),
		 "\"event\":\"ssh.end\",\"connection\":%u,\"client\":\"%s\",\"code\":\"died\","
		 "\"reason\":\"the session's process ended before its time\"",
		 id, endpoint_format(client, address));
	sshd_audit_append(a, members);
}

void sshd_audit_turned_away(struct sshd_audit *a, const struct endpoint *client, const char *line)
{
	char address[ENDPOINT_STRLEN], members[512];

	snprintf(members, sizeof(members),
		 "\"event\":\"ssh.refused\",\"client\":\"%s\",\"code\":\"%s\",\"reason\":\"%.*s\"",
		 endpoint_format(client, address),
		 strstr(line, "MaxStartups") != NULL ? "max-startups" : "limit",
		 (int)strcspn(line, "\r\n\"\\"), line);
	sshd_audit_append(a, members);
}

/* ------------------------------------------------------------------ beginning, clock, end */

struct sshd_audit *sshd_audit_new(const char *folder)
{
	struct sshd_audit *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return NULL;
	a->dir = -1;
	a->limit = (struct log_limit){.interval_ns = 10 * NSEC_PER_SEC, .burst = 3};
	a->journal = journal_new("warren-audit");
	if (folder != NULL)
		snprintf(a->folder, sizeof(a->folder), "%s", folder);
	return a;
}

bool sshd_audit_writes_to(const struct sshd_audit *a, const char *folder)
{
	return strcmp(a->folder, folder != NULL ? folder : "") == 0;
}

/* The head is written behind what is synced; a newer one of another writer is no worse. */
static void sync_now(struct sshd_audit *a)
{
	int r = a->log != NULL ? lock(a->dir) : 0;

	a->sync_ns = 0;
	if (a->log == NULL || r < 0)
		return;
	r = refresh(a);
	if (r == 0)
		r = audit_log_sync(a->log);
	flock(a->dir, LOCK_UN);
	if (r < 0)
		log_error("the audit log cannot be synced", "error=%s", strerror(-r));
}

int sshd_audit_tick(struct sshd_audit *a)
{
	uint64_t now = now_ns();

	if (a->sync_ns == 0)
		return -1;
	if (now >= a->sync_ns) {
		sync_now(a);
		return -1;
	}
	return (int)((a->sync_ns - now) / NSEC_PER_MSEC) + 1;
}

void sshd_audit_settle(struct sshd_audit *a)
{
	sync_now(a);
	audit_log_close(a->log);
	a->log = NULL;
	file_close(&a->dir);
}

void sshd_audit_free(struct sshd_audit *a)
{
	if (a == NULL)
		return;
	sshd_audit_settle(a);
	journal_free(a->journal);
	free(a);
}
