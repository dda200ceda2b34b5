/* SPDX-License-Identifier: Apache-2.0
 *
 * Shells, commands and subsystems as the user (RFC 4254 section 6): PTY or pipes are made here and passed
 * to the worker; the process tree belongs to the monitor, which reports how it ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pty.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <utmpx.h>

#include "platform/file.h"
#include "platform/log.h"
#include "platform/secret.h"
#include "ssh/monitor.h"

#define PATH_USER    "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"
#define PATH_ROOT    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define SFTP_SERVER  "/usr/lib/openssh/sftp-server"
#define PIPE_BYTES   (1 << 20)
#define ENV_MAX      128
#define COMMAND_MAX  32768

/* A parsed SESSION request. */
struct wish {
	uint32_t channel;
	uint8_t kind;
	char *command;
	bool pty, agent;
	char term[64];
	struct winsize size;
	size_t env_count;
	struct {
		char name[64], value[512];
	} env[MONITOR_WIRE_ENV_MAX];
};

static const struct {
	const char *name;
	int number;
} signals[] = {
	{"ABRT", SIGABRT}, {"ALRM", SIGALRM}, {"FPE", SIGFPE},   {"HUP", SIGHUP},   {"ILL", SIGILL},
	{"INT", SIGINT},   {"KILL", SIGKILL}, {"PIPE", SIGPIPE}, {"QUIT", SIGQUIT}, {"SEGV", SIGSEGV},
	{"TERM", SIGTERM}, {"USR1", SIGUSR1}, {"USR2", SIGUSR2},
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

static int read_env(struct reader *r, struct wish *wish)
{
	uint32_t count = reader_u32(r);

	if (count > MONITOR_WIRE_ENV_MAX)
		return -EBADMSG;
	for (uint32_t i = 0; i < count; i++) {
		reader_cstring(r, wish->env[i].name, sizeof(wish->env[i].name));
		reader_cstring(r, wish->env[i].value, sizeof(wish->env[i].value));
	}
	wish->env_count = count;
	return 0;
}

static int read_wish(struct reader *r, struct wish *wish)
{
	const uint8_t *command;
	size_t len;

	memset(wish, 0, sizeof(*wish));
	wish->channel = reader_u32(r);
	wish->kind = reader_u8(r);
	command = reader_string(r, COMMAND_MAX, &len);
	wish->pty = reader_u8(r) == 1;
	reader_cstring(r, wish->term, sizeof(wish->term));
	wish->size.ws_col = (unsigned short)reader_u32(r);
	wish->size.ws_row = (unsigned short)reader_u32(r);
	wish->size.ws_xpixel = (unsigned short)reader_u32(r);
	wish->size.ws_ypixel = (unsigned short)reader_u32(r);
	reader_string(r, 1024, &(size_t){0}); /* terminal modes: see DECISIONS.md */
	if (read_env(r, wish) < 0)
		return -EBADMSG;
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

/* What policy and machine say to this kind of session; NULL: allowed. */
static const char *forbidden(const struct monitor *m, const struct wish *wish)
{
	uint32_t caps = m->decision.caps;
	bool forced = m->decision.force_command[0] != '\0';

	if (wish->pty && !m->decision.pty)
		return "a terminal is not allowed for this login";
	if (forced)
		return NULL;
	if (wish->kind == MONITOR_SHELL && (caps & POLICY_SSH_SHELL) == 0)
		return "policy does not allow a shell for this login";
	if (wish->kind == MONITOR_EXEC && (caps & POLICY_SSH_EXEC) == 0)
		return "policy does not allow commands for this login";
	if (wish->kind != MONITOR_SUBSYSTEM)
		return NULL;
	if (strcmp(wish->command, "sftp") != 0)
		return "there is no such subsystem";
	if ((caps & POLICY_SSH_SFTP) == 0)
		return "policy does not allow sftp for this login";
	if (!m->config.allow_sftp)
		return "sftp is off on this machine (`warren up --enable-ssh-sftp` turns it on)";
	if (access(SFTP_SERVER, X_OK) != 0)
		return "sftp needs " SFTP_SERVER ": install openssh-sftp-server";
	return NULL;
}

/* ------------------------------------------------------------------ the child */

struct child {
	struct monitor *m;
	const struct wish *wish;
	char tty[64], agent_path[104];
	int in, out, err; /* already open: PTY slave three times, or pipe ends */
	char *env[ENV_MAX];
	size_t env_count;
};

static void set_env(struct child *c, const char *name, const char *value)
{
	char *line = NULL;
	size_t len = strlen(name);

	if (asprintf(&line, "%s=%s", name, value) < 0)
		_exit(126);
	for (size_t i = 0; i < c->env_count; i++)
		if (strncmp(c->env[i], line, len + 1) == 0) {
			c->env[i] = line;
			return;
		}
	if (c->env_count + 1 < ENV_MAX)
		c->env[c->env_count++] = line;
}

/* As Debian's sshd: AcceptEnv LANG LC_*, and COLORTERM. */
static bool env_accepted(const char *name)
{
	return strcmp(name, "LANG") == 0 || strncmp(name, "LC_", 3) == 0 ||
	       strcmp(name, "COLORTERM") == 0;
}

static void make_env(struct child *c)
{
	const struct monitor *m = c->m;
	const struct user_account *a = &m->account;
	char client[IP_ADDR_STRLEN], server[IP_ADDR_STRLEN], text[160];
	struct ip_addr client_addr, server_addr;
	char **pam_env = m->pam != NULL ? pam_getenvlist(m->pam) : NULL;

	set_env(c, "USER", a->name);
	set_env(c, "LOGNAME", a->name);
	set_env(c, "HOME", a->home);
	set_env(c, "PATH", a->uid == 0 ? PATH_ROOT : PATH_USER);
	snprintf(text, sizeof(text), "/var/mail/%s", a->name);
	set_env(c, "MAIL", text);
	set_env(c, "SHELL", a->shell[0] != '\0' ? a->shell : "/bin/sh");
	for (size_t i = 0; i < c->wish->env_count; i++)
		if (env_accepted(c->wish->env[i].name))
			set_env(c, c->wish->env[i].name, c->wish->env[i].value);
	for (char **p = pam_env; p != NULL && *p != NULL; p++) {
		char *equal = strchr(*p, '=');

		if (equal == NULL)
			continue;
		*equal = '\0';
		set_env(c, *p, equal + 1);
	}
	endpoint_ip(&m->config.client, &client_addr);
	endpoint_ip(&m->config.server, &server_addr);
	ip_addr_format(&client_addr, client);
	ip_addr_format(&server_addr, server);
	snprintf(text, sizeof(text), "%s %u %u", client, endpoint_port(&m->config.client),
		 endpoint_port(&m->config.server));
	set_env(c, "SSH_CLIENT", text);
	snprintf(text, sizeof(text), "%s %u %s %u", client, endpoint_port(&m->config.client), server,
		 endpoint_port(&m->config.server));
	set_env(c, "SSH_CONNECTION", text);
	if (c->wish->pty) {
		set_env(c, "SSH_TTY", c->tty);
		set_env(c, "TERM", c->wish->term[0] != '\0' ? c->wish->term : "dumb");
	}
	if (c->agent_path[0] != '\0')
		set_env(c, "SSH_AUTH_SOCK", c->agent_path);
	if (m->decision.force_command[0] != '\0' && c->wish->kind == MONITOR_EXEC)
		set_env(c, "SSH_ORIGINAL_COMMAND", c->wish->command);
	c->env[c->env_count] = NULL;
}

static void write_loginuid(uid_t uid)
{
	char text[16];
	int fd = open("/proc/self/loginuid", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	snprintf(text, sizeof(text), "%u", uid);
	if (write(fd, text, strlen(text)) < 0)
		log_debug("the audit login id is not set", NULL);
	close(fd);
}

static void reset_signals(void)
{
	sigset_t none;

	for (int n = 1; n < NSIG; n++)
		signal(n, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void exec_command(struct child *c)
{
	const struct monitor *m = c->m;
	const char *shell = m->account.shell[0] != '\0' ? m->account.shell : "/bin/sh";
	const char *base = strrchr(shell, '/') != NULL ? strrchr(shell, '/') + 1 : shell;
	const char *command = c->wish->kind == MONITOR_SUBSYSTEM ? SFTP_SERVER : c->wish->command;
	char name[sizeof(m->account.shell) + 2];

	if (m->decision.force_command[0] != '\0')
		command = m->decision.force_command;
	if (c->wish->kind == MONITOR_SHELL && m->decision.force_command[0] == '\0') {
		snprintf(name, sizeof(name), "-%s", base);
		char *const argv[] = {name, NULL};

		execve(shell, argv, c->env);
	} else {
		char *const argv[] = {strdup(base), strdup("-c"), strdup(command), NULL};

		execve(shell, argv, c->env);
	}
	dprintf(STDERR_FILENO, "%s: %s\n", shell, strerror(errno));
	_exit(126);
}

static _Noreturn void run_child(struct child *c)
{
	struct monitor *m = c->m;

	secret_wipe(m->host_secret, crypto_sign_SECRETKEYBYTES); /* this process's copy */
	if (setsid() < 0)
		_exit(126);
	if (c->wish->pty && ioctl(c->in, TIOCSCTTY, 0) < 0)
		_exit(126);
	if (dup2(c->in, 0) < 0 || dup2(c->out, 1) < 0 || dup2(c->err, 2) < 0)
		_exit(126);
	make_env(c);
	write_loginuid(m->account.uid);
	close_range(3, ~0U, 0);
	umask(022);
	account_become(&m->account);
	if (m->account.home[0] == '\0' || chdir(m->account.home) < 0) {
		if (c->wish->kind == MONITOR_SHELL)
			dprintf(STDERR_FILENO, "Could not chdir to home directory %s: %s\r\n",
				m->account.home, strerror(errno));
		if (chdir("/") < 0)
			_exit(126);
	}
	if (c->wish->kind == MONITOR_SHELL && c->wish->pty && m->pam_text.len > 0 &&
	    access(".hushlogin", F_OK) != 0 &&
	    file_write_all(STDOUT_FILENO, m->pam_text.data, m->pam_text.len) < 0)
		_exit(126);
	reset_signals();
	exec_command(c);
}

/* ------------------------------------------------------------------ terminal, records, start */

/* The terminal belongs to the user and the group that may write to it (user tty 620). */
static int open_terminal(const struct monitor *m, const struct wish *wish, int *ret_master,
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

static void record_terminal(const struct monitor *m, const char *tty, pid_t pid, bool begin)
{
	struct utmpx ut = {.ut_type = begin ? USER_PROCESS : DEAD_PROCESS, .ut_pid = pid};
	const char *line = strncmp(tty, "/dev/", 5) == 0 ? tty + 5 : tty;
	size_t len = strlen(line);
	struct ip_addr client;
	char host[IP_ADDR_STRLEN];
	struct timespec now;

	if (geteuid() != 0)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	ut.ut_tv.tv_sec = (typeof(ut.ut_tv.tv_sec))now.tv_sec;
	snprintf(ut.ut_line, sizeof(ut.ut_line), "%s", line);
	memcpy(ut.ut_id, len > sizeof(ut.ut_id) ? line + len - sizeof(ut.ut_id) : line,
	       len > sizeof(ut.ut_id) ? sizeof(ut.ut_id) : len);
	if (begin) {
		endpoint_ip(&m->config.client, &client);
		ip_addr_format(&client, host);
		snprintf(ut.ut_user, sizeof(ut.ut_user), "%.31s", m->account.name);
		snprintf(ut.ut_host, sizeof(ut.ut_host), "%s", host);
	}
	setutxent();
	pututxline(&ut);
	endutxent();
	updwtmpx("/var/log/wtmp", &ut);
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

static struct session *free_slot(struct monitor *m, uint32_t channel)
{
	struct session *slot = NULL;

	for (size_t i = 0; i < MONITOR_WIRE_SESSIONS; i++) {
		if (m->sessions[i].used && m->sessions[i].channel == channel)
			return NULL;
		if (!m->sessions[i].used && slot == NULL)
			slot = &m->sessions[i];
	}
	return slot;
}

static int spawn(struct monitor *m, const struct wish *wish, struct session *s, int mine[3])
{
	struct child *c = calloc(1, sizeof(*c));
	int theirs[3] = {-1, -1, -1};
	int r;

	if (c == NULL)
		return -ENOMEM;
	c->m = m;
	c->wish = wish;
	if (wish->pty) {
		r = open_terminal(m, wish, &mine[0], &theirs[0], c->tty);
		c->in = c->out = c->err = theirs[0];
	} else {
		r = open_pipes(mine, theirs);
		c->in = theirs[0];
		c->out = theirs[1];
		c->err = theirs[2];
	}
	if (r == 0 && wish->agent && (m->decision.caps & POLICY_SSH_AGENT) != 0 &&
	    forward_agent_open(m, wish->channel, c->agent_path, sizeof(c->agent_path)) < 0)
		log_warn("an agent socket cannot be made", "login=%s", m->login);
	if (r == 0) {
		s->pid = fork();
		if (s->pid == 0)
			run_child(c);
		if (s->pid < 0)
			r = -errno;
	}
	snprintf(s->tty, sizeof(s->tty), "%s", c->tty);
	close_three(theirs);
	free(c);
	return r;
}

static int reply_started(struct monitor *m, uint32_t id, const struct wish *wish, int mine[3])
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

static int start_wish(struct monitor *m, uint32_t id, const struct wish *wish)
{
	static const char *const kinds[] = {"shell", "exec", "subsystem"};
	struct session *s = free_slot(m, wish->channel);
	const char *why = forbidden(m, wish);
	int mine[3] = {-1, -1, -1};
	char what[400];
	int r;

	if (s == NULL || m->session_count >= m->config.max_sessions)
		return refuse(m, id, "too many sessions on this connection");
	if (why != NULL)
		return refuse(m, id, why);
	if (account_open_session(m) < 0)
		return refuse(m, id, "PAM refuses a session on this machine");
	r = spawn(m, wish, s, mine);
	if (r < 0) {
		close_three(mine);
		return refuse(m, id, strerror(-r));
	}
	s->used = true;
	s->channel = wish->channel;
	s->pty = wish->pty;
	m->session_count++;
	monitor_state_changed(m);
	if (s->pty)
		record_terminal(m, s->tty, s->pid, true);
	snprintf(what, sizeof(what), "%s%s%.300s", kinds[wish->kind], wish->command[0] != '\0' ? " " : "",
		 wish->command);
	monitor_audit(m, "ssh session", "what", what);
	return reply_started(m, id, wish, mine);
}

int session_start(struct monitor *m, uint32_t id, struct reader *r)
{
	struct wish *wish = calloc(1, sizeof(*wish));
	int ret = wish != NULL ? read_wish(r, wish) : -ENOMEM;

	if (ret == 0)
		ret = start_wish(m, id, wish);
	if (wish != NULL)
		free(wish->command);
	free(wish);
	return ret;
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
	struct session *s;

	if (!reader_done(r))
		return -EBADMSG;
	s = by_channel(m, channel);
	if (s != NULL)
		kill(-s->pid, SIGHUP);
	forward_close_agent(m, channel);
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
		record_terminal(m, s->tty, pid, false);
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
