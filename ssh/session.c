/* SPDX-License-Identifier: Apache-2.0
 *
 * Shells, commands and subsystems as the user (RFC 4254 section 6): PTY or pipes are made here and
 * passed to the worker; the process tree belongs to the monitor, which reports how it ends.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/file.h"
#include "platform/log.h"
#include "ssh/monitor.h"

#define PIPE_BYTES  (1 << 20)
#define PROC_MAX    512 /* of /proc/PID/stat */

static const struct {
	const char *name;
	int number;
} signals[] = {
	{"ABRT", SIGABRT}, {"ALRM", SIGALRM}, {"FPE", SIGFPE},	 {"HUP", SIGHUP},
	{"ILL", SIGILL},   {"INT", SIGINT},   {"KILL", SIGKILL}, {"PIPE", SIGPIPE},
	{"QUIT", SIGQUIT}, {"SEGV", SIGSEGV}, {"TERM", SIGTERM}, {"USR1", SIGUSR1},
	{"USR2", SIGUSR2},
};

static const char *signal_name(int number, char buf[static 32])
{
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (signals[i].number == number)
			return signals[i].name;
	snprintf(buf, 32, "SIG%d@warren", number);
	return buf;
}

/* ------------------------------------------------------------------ the request */

static int read_env(struct reader *r, struct session_wish *wish)
{
	uint32_t count = reader_u32(r);

	if (count > MONITOR_WIRE_ENV_MAX)
		return -EBADMSG;
	for (uint32_t i = 0; i < count; i++) {
		char name[MONITOR_WIRE_ENV_NAME], value[MONITOR_WIRE_ENV_TEXT];

		reader_cstring(r, name, sizeof(name));
		reader_cstring(r, value, sizeof(value));
		if (r->failed)
			return -EBADMSG;
		wish->env[i].name = strdup(name);
		wish->env[i].value = strdup(value);
		wish->env_count = i + 1;
		if (wish->env[i].name == NULL || wish->env[i].value == NULL)
			return -ENOMEM;
	}
	return 0;
}

static int read_wish(struct reader *r, struct session_wish *wish)
{
	const uint8_t *command;
	size_t len;
	int rc;

	wish->channel = reader_u32(r);
	wish->kind = reader_u8(r);
	command = reader_string(r, MONITOR_WIRE_MAX, &len);
	wish->pty = reader_u8(r) == 1;
	reader_cstring(r, wish->term, sizeof(wish->term));
	wish->size.ws_col = (unsigned short)reader_u32(r);
	wish->size.ws_row = (unsigned short)reader_u32(r);
	wish->size.ws_xpixel = (unsigned short)reader_u32(r);
	wish->size.ws_ypixel = (unsigned short)reader_u32(r);
	reader_string(r, 1024, &(size_t){0}); /* terminal modes: see DECISIONS.md */
	rc = read_env(r, wish);
	if (rc < 0)
		return rc;
	wish->agent = reader_u8(r) == 1;
	if (!reader_done(r) || command == NULL || wish->kind > MONITOR_SUBSYSTEM ||
	    memchr(command, '\0', len) != NULL)
		return -EBADMSG;
	wish->command = strndup((const char *)command, len);
	return wish->command != NULL ? 0 : -ENOMEM;
}

static int refuse(struct monitor *m, uint32_t id, const char *message)
{
	uint8_t data[512];
	struct writer w = writer_init(data, sizeof(data));

	monitor_audit(m, "ssh session refused", "reason", message);
	monitor_begin(&w, MONITOR_SESSION, id);
	writer_u8(&w, MONITOR_NO);
	writer_cstring(&w, message);
	return monitor_reply(m, &w, NULL, 0);
}

/* A subsystem of the machine's own configuration is a command. */
static bool own_subsystem(const struct session_wish *wish)
{
	return wish->kind == MONITOR_SUBSYSTEM && strcmp(wish->command, "sftp") != 0;
}

/* Served by warren-sftp-server, confined. A command is one then only when no rule allows commands. */
static bool confined(const struct monitor *m, const struct session_wish *wish)
{
	return m->decision.files_only && (m->decision.caps & POLICY_SSH_SFTP) != 0 &&
	       ((wish->kind == MONITOR_SUBSYSTEM && !own_subsystem(wish)) ||
		(wish->kind == MONITOR_EXEC && (m->decision.caps & POLICY_SSH_EXEC) == 0));
}

/* Is it an SFTP server whose log we can read? */
static bool logged(const struct monitor *m, const struct session_wish *wish)
{
	const char *command = sshd_subsystem_command(&m->options->now, "sftp");

	if (wish->confined)
		return true;
	return wish->kind == MONITOR_SUBSYSTEM && !own_subsystem(wish) && !wish->pty &&
	       m->decision.force_command[0] == '\0' &&
	       (command == NULL || strcmp(command, SESSION_SFTP_SERVER) == 0 ||
		strcmp(command, SSHD_INTERNAL_SFTP) == 0);
}

static uint32_t cap_of(const struct session_wish *wish)
{
	return wish->kind == MONITOR_SHELL ? POLICY_SSH_SHELL
	       : (wish->kind == MONITOR_EXEC && !wish->confined) || own_subsystem(wish)
		       ? POLICY_SSH_EXEC
		       : POLICY_SSH_SFTP;
}

/* What policy and machine say to this kind of session; NULL: allowed. */
static const char *forbidden(const struct monitor *m, const struct session_wish *wish)
{
	uint32_t caps = m->decision.caps;

	if (wish->kind == MONITOR_SUBSYSTEM &&
	    sshd_subsystem_command(&m->options->now, wish->command) == NULL)
		return "there is no such subsystem";
	if (wish->kind == MONITOR_SHELL && (caps & POLICY_SSH_SHELL) == 0)
		return m->decision.files_only
			       ? "this login may only transfer files (sftp, scp)"
			       : "policy does not allow a shell for this login";
	if (wish->confined && (wish->pty || m->decision.force_command[0] != '\0'))
		return "this login may only transfer files (sftp, scp)";
	if (cap_of(wish) == POLICY_SSH_EXEC && (caps & POLICY_SSH_EXEC) == 0)
		return "policy does not allow commands for this login";
	if (cap_of(wish) == POLICY_SSH_SFTP && (caps & POLICY_SSH_SFTP) == 0)
		return "policy does not allow sftp for this login";
	if (wish->pty && !m->decision.pty)
		return "a terminal is not allowed for this login";
	if (cap_of(wish) != POLICY_SSH_SFTP || m->decision.force_command[0] != '\0')
		return NULL;
	if (!m->config.allow_sftp)
		return "sftp is off on this machine (`warren up --enable-ssh-sftp` turns it on)";
	return NULL;
}

/* ------------------------------------------------------------------ terminal, records, start */

/* The terminal belongs to the user and the group that may write to it (user tty 620). */
static int open_terminal(const struct monitor *m, const struct session_wish *wish, int *ret_master,
			 int *ret_slave, char tty[64])
{
	const struct group *group = getgrnam("tty");
	gid_t gid = group != NULL ? group->gr_gid : m->account.gid;

	if (openpty(ret_master, ret_slave, NULL, NULL, &wish->size) < 0)
		return -errno;
	fcntl(*ret_master, F_SETFD, FD_CLOEXEC);
	if (ttyname_r(*ret_slave, tty, 64) != 0)
		return -errno;
	if (geteuid() == 0 && (fchown(*ret_slave, m->account.uid, gid) < 0 ||
			       fchmod(*ret_slave, group != NULL ? 0620 : 0600) < 0))
		return -errno;
	return 0;
}

static void bigger_pipe(int fd)
{
	if (fcntl(fd, F_SETPIPE_SZ, PIPE_BYTES) < 0)
		log_debug("a pipe keeps its default size", NULL);
}

/* mine[3]: what the worker gets; theirs[3]: the child's stdin, stdout, stderr. */
static int open_pipes(int mine[3], int theirs[3])
{
	for (int i = 0; i < 3; i++) {
		int p[2];

		if (pipe2(p, O_CLOEXEC) < 0)
			return -errno;
		bigger_pipe(p[0]);
		mine[i] = p[i == 0 ? 1 : 0];
		theirs[i] = p[i == 0 ? 0 : 1];
	}
	return 0;
}

static void close_three(int fds[3])
{
	for (int i = 0; i < 3; i++)
		file_close(&fds[i]);
}

static struct session *free_slot(struct monitor *m)
{
	for (size_t i = 0; i < MONITOR_WIRE_SESSIONS; i++)
		if (!m->sessions[i].used)
			return &m->sessions[i];
	return NULL;
}

/* What the child needs until exec. */
struct start {
	int theirs[3]; /* to close */
	int log;       /* the child's end of a transfer's log */
	char tty[64], agent[104], greeting[256];
};

static int open_descriptors(struct monitor *m, const struct session_wish *wish, struct start *st,
			    int mine[3])
{
	if (wish->pty)
		return open_terminal(m, wish, &mine[0], &st->theirs[0], st->tty);
	return open_pipes(mine, st->theirs);
}

static int spawn(struct monitor *m, const struct session_wish *wish, struct session *s, int mine[3])
{
	struct start st = {.theirs = {-1, -1, -1}, .log = -1};
	int r = open_descriptors(m, wish, &st, mine);

	if (r == 0)
		r = session_log_open(s, wish, &st.log);
	if (r == 0 && wish->agent && (m->decision.caps & POLICY_SSH_AGENT) != 0 &&
	    forward_agent_open(m, wish->channel, st.agent, sizeof(st.agent)) < 0)
		log_warn("an agent socket cannot be made", "login=%s", m->login);
	if (r == 0 && wish->pty)
		session_record_last(m, st.tty, st.greeting, sizeof(st.greeting));
	if (wish->kind != MONITOR_SHELL || !m->options->now.print_last_log)
		st.greeting[0] = '\0';
	if (r == 0) {
		s->pid = fork();
		if (s->pid == 0) {
			const bool apart = st.log >= 0 && wish->confined;
			const int fds[3] = {st.theirs[0], st.theirs[wish->pty ? 0 : 1],
					    st.log >= 0 && !apart ? st.log
								  : st.theirs[wish->pty ? 0 : 2]};

			session_child_run(m, wish, fds, apart ? st.log : -1, st.tty, st.agent,
					  st.greeting);
		}
		if (s->pid < 0)
			r = -errno;
	}
	snprintf(s->tty, sizeof(s->tty), "%s", st.tty);
	if (r == 0 && st.log >= 0 && !wish->confined) {
		session_log_pass(s, st.theirs[2]);
		st.theirs[2] = -1;
	}
	file_close(&st.log);
	close_three(st.theirs);
	return r;
}

static int reply_started(struct monitor *m, uint32_t id, const struct session_wish *wish,
			 int mine[3])
{
	uint8_t data[64];
	struct writer w = writer_init(data, sizeof(data));
	int r;

	monitor_begin(&w, MONITOR_SESSION, id);
	writer_u8(&w, MONITOR_YES);
	writer_cstring(&w, "");
	r = monitor_reply(m, &w, mine, wish->pty ? 1 : 3);
	close_three(mine);
	return r;
}

static void audit_started(struct monitor *m, const struct session *s,
			  const struct session_wish *wish, const char *kind)
{
	const struct ssh_audit_field fields[] = {
		{SSH_AUDIT_CHANNEL, NULL, s->channel},
		{SSH_AUDIT_KIND, wish->confined ? "files" : kind, 0},
		{SSH_AUDIT_COMMAND, wish->command, 0},
		{SSH_AUDIT_DETAIL, m->decision.force_command, 0},
		{SSH_AUDIT_TTY, s->tty, 0},
		{SSH_AUDIT_PID, NULL, (uint64_t)s->pid},
	};

	monitor_event(m, SSH_AUDIT_SESSION, fields, 6);
}

/* The connection is over before the process: what becomes of that is not seen. */
static void audit_left(struct monitor *m, const struct session *s)
{
	const struct ssh_audit_field fields[] = {
		{SSH_AUDIT_CODE, "connection-over", 0},
		{SSH_AUDIT_CHANNEL, NULL, s->channel},
		{SSH_AUDIT_DURATION_MS, NULL, (monitor_now_ns() - s->began_ns) / NSEC_PER_MSEC},
	};

	monitor_event(m, SSH_AUDIT_SESSION_END, fields, 3);
}

static void audit_ended(struct monitor *m, const struct session *s, int status, const char *signal)
{
	const struct ssh_audit_field fields[] = {
		{SSH_AUDIT_CHANNEL, NULL, s->channel},
		{SSH_AUDIT_DURATION_MS, NULL, (monitor_now_ns() - s->began_ns) / NSEC_PER_MSEC},
		{SSH_AUDIT_SIGNAL, signal, 0},
		{SSH_AUDIT_STATUS, NULL, WIFEXITED(status) ? (uint64_t)WEXITSTATUS(status) : 0},
	};

	monitor_event(m, SSH_AUDIT_SESSION_END, fields, WIFEXITED(status) ? 4 : 3);
}

static int start_wish(struct monitor *m, uint32_t id, struct session_wish *wish)
{
	static const char *const kinds[] = {"shell", "exec", "subsystem"};
	struct session *s = free_slot(m);
	const char *why;
	int mine[3] = {-1, -1, -1};
	const bool first = !m->pam_session_open;
	char what[400];
	int r;

	if (session_runs(m, wish->channel))
		return monitor_violation(m, "channel-twice", "session");
	if (m->no_more_sessions && m->sessions_left == 0)
		return monitor_violation(m, "no-more-sessions", "session");
	if (wish->agent && !m->agent_permitted)
		return monitor_violation(m, "forward-denied", "agent");
	wish->confined = confined(m, wish);
	wish->logged = logged(m, wish);
	why = forbidden(m, wish);
	if (s == NULL || m->session_count >= m->options->now.max_sessions)
		return refuse(m, id, "too many sessions on this connection");
	if (why != NULL)
		return refuse(m, id, why);
	if (account_open_session(m, wish->kind != MONITOR_SHELL) < 0)
		return refuse(m, id, "PAM refuses a session on this machine");
	r = spawn(m, wish, s, mine);
	if (r < 0) {
		session_log_close(m, s);
		close_three(mine);
		return refuse(m, id, strerror(-r));
	}
	s->used = true;
	s->channel = wish->channel;
	s->pty = wish->pty;
	s->cap = cap_of(wish);
	s->confined = wish->confined;
	m->session_count++;
	if (m->no_more_sessions)
		m->sessions_left--;
	monitor_state_changed(m);
	if (s->pty)
		session_record(m, s->tty, s->pid, true);
	s->began_ns = monitor_now_ns();
	snprintf(what, sizeof(what), "%s%s%.300s", kinds[wish->kind],
		 wish->command[0] != '\0' ? " " : "", wish->command);
	monitor_audit_log(m, "ssh session", "what", what);
	audit_started(m, s, wish, kinds[wish->kind]);
	r = reply_started(m, id, wish, mine);
	if (first)
		m->trim_due = true; /* after PAM; a session may be idle for days from here */
	return r;
}

int session_start(struct monitor *m, uint32_t id, struct reader *r)
{
	struct session_wish wish = {0};
	int ret = read_wish(r, &wish);

	if (ret == 0)
		ret = start_wish(m, id, &wish);
	free(wish.command);
	for (size_t i = 0; i < wish.env_count; i++) {
		free(wish.env[i].name);
		free(wish.env[i].value);
	}
	return ret;
}

int session_no_more(struct monitor *m, uint32_t id, struct reader *r)
{
	(void)id;
	m->sessions_left = reader_u32(r);
	m->no_more_sessions = true;
	return reader_done(r) ? 0 : -EBADMSG;
}

/* ------------------------------------------------------------------ while it runs, and its end */

static struct session *by_channel(struct monitor *m, uint32_t channel)
{
	for (size_t i = 0; i < MONITOR_WIRE_SESSIONS; i++)
		if (m->sessions[i].used && m->sessions[i].channel == channel)
			return &m->sessions[i];
	return NULL;
}

static int reply_result(struct monitor *m, uint8_t type, uint32_t id, bool good)
{
	uint8_t data[16];
	struct writer w = writer_init(data, sizeof(data));

	monitor_begin(&w, type, id);
	writer_u8(&w, good ? MONITOR_YES : MONITOR_NO);
	return monitor_reply(m, &w, NULL, 0);
}

bool session_runs(const struct monitor *m, uint32_t channel)
{
	for (size_t i = 0; i < MONITOR_WIRE_SESSIONS; i++)
		if (m->sessions[i].used && m->sessions[i].channel == channel)
			return true;
	return false;
}

int session_signal(struct monitor *m, uint32_t id, struct reader *r)
{
	uint32_t channel = reader_u32(r);
	struct session *s;
	char name[32];
	bool good = false;

	reader_cstring(r, name, sizeof(name));
	if (!reader_done(r))
		return -EBADMSG;
	s = by_channel(m, channel);
	for (size_t i = 0; s != NULL && i < sizeof(signals) / sizeof(signals[0]); i++)
		if (strcmp(signals[i].name, name) == 0)
			good = kill(-s->pid, signals[i].number) == 0;
	return reply_result(m, MONITOR_SIGNAL, id, good);
}

int session_close(struct monitor *m, uint32_t id, struct reader *r)
{
	uint32_t channel = reader_u32(r);
	uint64_t received = reader_u64(r), sent = reader_u64(r);
	struct session *s;

	if (!reader_done(r))
		return -EBADMSG;
	s = by_channel(m, channel);
	if (s != NULL)
		kill(-s->pid, SIGHUP);
	forward_closed(m, channel, received, sent);
	return reply_result(m, MONITOR_CLOSE, id, true);
}

void session_reaped(struct monitor *m, pid_t pid, int status)
{
	uint8_t data[128];
	struct writer w = writer_init(data, sizeof(data));
	struct session *s = NULL;
	char name[32];

	for (size_t i = 0; i < MONITOR_WIRE_SESSIONS; i++)
		if (m->sessions[i].used && m->sessions[i].pid == pid)
			s = &m->sessions[i];
	if (s == NULL)
		return; /* a helper of forward.c */
	monitor_begin(&w, MONITOR_EXIT, 0);
	writer_u32(&w, s->channel);
	writer_u8(&w, WIFSIGNALED(status) ? 1 : 0);
	writer_u32(&w, WIFEXITED(status) ? (uint32_t)WEXITSTATUS(status) : 0);
	writer_cstring(&w, WIFSIGNALED(status) ? signal_name(WTERMSIG(status), name) : "");
	writer_u8(&w, WIFSIGNALED(status) && WCOREDUMP(status) ? 1 : 0);
	if (monitor_reply(m, &w, NULL, 0) < 0)
		log_debug("the worker is gone already", NULL);
	if (s->pty)
		session_record(m, s->tty, pid, false);
	session_log_close(m, s);
	audit_ended(m, s, status,
		    WIFSIGNALED(status) ? signal_name(WTERMSIG(status), name) : "");
	s->used = false;
	m->session_count--;
	monitor_state_changed(m);
}

void session_signal_all(struct monitor *m, int signal)
{
	for (size_t i = 0; i < MONITOR_WIRE_SESSIONS; i++)
		if (m->sessions[i].used)
			kill(-m->sessions[i].pid, signal);
}

/* Field 6 of /proc/PID/stat, behind the name in parentheses (proc(5)); 0: the process is gone. */
static pid_t session_of(int proc, const char *pid)
{
	char path[64], text[PROC_MAX], *at, *end;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%.32s/stat", pid);
	fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	at = strrchr(text, ')');
	for (int field = 2; at != NULL && field < 6; field++)
		at = strchr(at + 1, ' ');
	return at != NULL ? (pid_t)strtol(at + 1, &end, 10) : 0;
}

void session_signal_tree(pid_t sid, int signal)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;

	kill(-sid, signal);
	while (proc != NULL && (entry = readdir(proc)) != NULL) {
		long pid = strtol(entry->d_name, NULL, 10);

		if (pid > 1 && session_of(dirfd(proc), entry->d_name) == sid)
			kill((pid_t)pid, signal);
	}
	if (proc != NULL)
		closedir(proc);
}

void session_forget_all(struct monitor *m)
{
	for (size_t i = 0; i < MONITOR_WIRE_SESSIONS; i++) {
		struct session *s = &m->sessions[i];

		if (s->used && s->pty)
			session_record(m, s->tty, s->pid, false);
		if (s->used) {
			session_log_close(m, s);
			audit_left(m, s);
		}
		s->used = false;
	}
	m->session_count = 0;
}
