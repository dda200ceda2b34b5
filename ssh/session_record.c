/* SPDX-License-Identifier: Apache-2.0
 *
 * Who is on which terminal: utmp, wtmp and lastlog (utmp(5), lastlog(8)), as sshd writes them.
 * Files that do not exist stay away.
 */
#include <fcntl.h>
#include <lastlog.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <utmpx.h>

#include "platform/file.h"
#include "ssh/monitor.h"

#define WTMP	"/var/log/wtmp"
#define LASTLOG "/var/log/lastlog"

static const char *line_of(const char *tty)
{
	return strncmp(tty, "/dev/", 5) == 0 ? tty + 5 : tty;
}

static void client_text(const struct monitor *m, char out[static IP_ADDR_STRLEN],
			struct ip_addr *ret_ip)
{
	endpoint_ip(&m->config.client, ret_ip);
	ip_addr_format(ret_ip, out);
}

void session_record(const struct monitor *m, const char *tty, pid_t pid, bool begin)
{
	struct utmpx ut = {.ut_type = begin ? USER_PROCESS : DEAD_PROCESS, .ut_pid = pid};
	const char *line = line_of(tty);
	size_t len = strlen(line), skip = len > sizeof(ut.ut_id) ? len - sizeof(ut.ut_id) : 0;
	char host[IP_ADDR_STRLEN];
	struct ip_addr client;

	if (geteuid() != 0)
		return;
	ut.ut_tv.tv_sec = (typeof(ut.ut_tv.tv_sec))monitor_now_s();
	memcpy(ut.ut_line, line, len < sizeof(ut.ut_line) ? len : sizeof(ut.ut_line) - 1);
	memcpy(ut.ut_id, line + skip, len - skip);
	client_text(m, host, &client);
	memcpy(ut.ut_addr_v6, client.bytes, sizeof(ut.ut_addr_v6));
	if (begin) {
		memcpy(ut.ut_user, m->account.name, strnlen(m->account.name, sizeof(ut.ut_user)));
		memcpy(ut.ut_host, host, strlen(host));
	}
	setutxent();
	pututxline(&ut);
	endutxent();
	if (!begin) { /* as sshd writes it: there only the line counts */
		memset(ut.ut_id, 0, sizeof(ut.ut_id));
		memset(ut.ut_addr_v6, 0, sizeof(ut.ut_addr_v6));
	}
	updwtmpx(WTMP, &ut);
}

void session_record_last(const struct monitor *m, const char *tty, char *ret_text, size_t cap)
{
	off_t at = (off_t)m->account.uid * (off_t)sizeof(struct lastlog);
	struct lastlog entry = {0};
	char host[IP_ADDR_STRLEN], when_text[32];
	struct ip_addr client;
	time_t when;
	int fd;

	ret_text[0] = '\0';
	fd = geteuid() == 0 ? open(LASTLOG, O_RDWR | O_CLOEXEC | O_NOFOLLOW) : -1;
	if (fd < 0)
		return;
	if (pread(fd, &entry, sizeof(entry), at) == (ssize_t)sizeof(entry) && entry.ll_time != 0) {
		when = (time_t)entry.ll_time;
		if (ctime_r(&when, when_text) != NULL) {
			when_text[strcspn(when_text, "\n")] = '\0';
			snprintf(ret_text, cap, "Last login: %s from %.*s\n", when_text,
				 (int)sizeof(entry.ll_host), entry.ll_host);
		}
	}
	memset(&entry, 0, sizeof(entry));
	client_text(m, host, &client);
	entry.ll_time = (typeof(entry.ll_time))monitor_now_s();
	snprintf(entry.ll_line, sizeof(entry.ll_line), "%s", line_of(tty));
	snprintf(entry.ll_host, sizeof(entry.ll_host), "%s", host);
	if (pwrite(fd, &entry, sizeof(entry), at) < 0)
		log_debug("the last login is not recorded", NULL);
	file_close(&fd);
}
