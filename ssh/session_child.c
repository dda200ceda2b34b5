/* SPDX-License-Identifier: Apache-2.0
 *
 * The user's process from fork to exec (RFC 4254 section 6): session and terminal, environment as
 * sshd makes it, rights, home, signals. Nothing of the monitor goes on into what is executed:
 * descriptors above 2 are closed, the host key is wiped, exec replaces the rest.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <termios.h>
#include <unistd.h>

#include "platform/file.h"
#include "platform/secret.h"
#include "ssh/monitor.h"

#define PATH_USER "/usr/local/bin:/usr/bin:/bin:/usr/games" /* as Debian's sshd */
#define PATH_ROOT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define ENV_MAX	  192
#define CANNOT	  126 /* as a shell that can't run something */

struct environment {
	char *lines[ENV_MAX];
	size_t count;
};

static void set_env(struct environment *env, const char *name, const char *value)
{
	char *line = NULL;
	size_t len = strlen(name);

	if (asprintf(&line, "%s=%s", name, value) < 0)
		_exit(CANNOT);
	for (size_t i = 0; i < env->count; i++)
		if (strncmp(env->lines[i], line, len + 1) == 0) {
			env->lines[i] = line;
			return;
		}
	if (env->count + 1 < ENV_MAX)
		env->lines[env->count++] = line;
}

static void set_env_of(void *ctx, const char *name, const char *value)
{
	set_env(ctx, name, value);
}

/* SetEnv: over everything else, as sshd. */
static void config_env(struct environment *env, const struct monitor *m)
{
	const struct sshd_words *words = &m->options->now.set_env;

	for (size_t i = 0; i < words->count; i++) {
		const char *equal = strchr(words->word[i], '=');
		char name[256];

		if (equal == NULL || (size_t)(equal - words->word[i]) >= sizeof(name))
			continue;
		snprintf(name, sizeof(name), "%.*s", (int)(equal - words->word[i]), words->word[i]);
		set_env(env, name, equal + 1);
	}
}

static const char *shell_of(const struct monitor *m)
{
	return m->account.shell[0] != '\0' ? m->account.shell : "/bin/sh";
}

static void account_env(struct environment *env, const struct monitor *m)
{
	const struct user_account *a = &m->account;
	const char *tz = getenv("TZ");
	char mail[96];

	set_env(env, "USER", a->name);
	set_env(env, "LOGNAME", a->name);
	set_env(env, "HOME", a->home);
	set_env(env, "PATH", a->uid == 0 ? PATH_ROOT : PATH_USER);
	snprintf(mail, sizeof(mail), "/var/mail/%s", a->name);
	set_env(env, "MAIL", mail);
	set_env(env, "SHELL", shell_of(m));
	if (tz != NULL)
		set_env(env, "TZ", tz);
}

static void connection_env(struct environment *env, const struct monitor *m)
{
	char client[IP_ADDR_STRLEN], server[IP_ADDR_STRLEN], text[160];
	struct ip_addr client_addr, server_addr;

	endpoint_ip(&m->config.client, &client_addr);
	endpoint_ip(&m->config.server, &server_addr);
	ip_addr_format(&client_addr, client);
	ip_addr_format(&server_addr, server);
	snprintf(text, sizeof(text), "%s %u %u", client, endpoint_port(&m->config.client),
		 endpoint_port(&m->config.server));
	set_env(env, "SSH_CLIENT", text);
	snprintf(text, sizeof(text), "%s %u %s %u", client, endpoint_port(&m->config.client),
		 server, endpoint_port(&m->config.server));
	set_env(env, "SSH_CONNECTION", text);
}

static void pam_env(struct environment *env, const struct monitor *m)
{
	char **list = m->pam != NULL ? pam_getenvlist(m->pam) : NULL;

	for (char **p = list; p != NULL && *p != NULL; p++) {
		char *equal = strchr(*p, '=');

		if (equal == NULL)
			continue;
		*equal = '\0';
		set_env(env, *p, equal + 1);
	}
}

/* sftp: where the configuration does not name a program of its own. */
static const char *subsystem_of(const struct monitor *m, const struct session_wish *wish,
				const char *sftp)
{
	const char *command = sshd_subsystem_command(&m->options->now, wish->command);

	if (command == NULL || strcmp(command, SESSION_SFTP_SERVER) == 0 ||
	    strncmp(command, SSHD_INTERNAL_SFTP, strlen(SSHD_INTERNAL_SFTP)) == 0)
		return sftp;
	return command;
}

/* PermitUserEnvironment: not where somebody else says what runs, which LD_PRELOAD would undo. */
static void user_env(struct environment *env, const struct monitor *m,
		     const struct session_wish *wish)
{
	const struct sshd_options *o = &m->options->now;

	if (o->user_environment == NULL || wish->confined || m->decision.force_command[0] != '\0')
		return;
	for (size_t i = 0; m->key != NULL && i < m->key->env_count; i++)
		session_env_line(m->key->env[i], o, set_env_of, env);
	session_env_file(m->account.home, o, set_env_of, env);
}

static void make_env(struct environment *env, const struct monitor *m,
		     const struct session_wish *wish, const char *tty, const char *agent)
{
	for (size_t i = 0; i < wish->env_count; i++)
		if (sshd_env_accepted(&m->options->now, wish->env[i].name))
			set_env(env, wish->env[i].name, wish->env[i].value);
	account_env(env, m);
	user_env(env, m, wish);
	connection_env(env, m);
	if (wish->pty) {
		set_env(env, "SSH_TTY", tty);
		if (wish->term[0] != '\0') /* else the shell chooses, as under sshd */
			set_env(env, "TERM", wish->term);
	}
	if (m->decision.force_command[0] != '\0' && wish->kind != MONITOR_SHELL)
		set_env(env, "SSH_ORIGINAL_COMMAND",
			wish->kind == MONITOR_EXEC ? wish->command : subsystem_of(m, wish, SESSION_SFTP_SERVER));
	pam_env(env, m);
	config_env(env, m);
	if (agent[0] != '\0')
		set_env(env, "SSH_AUTH_SOCK", agent);
	env->lines[env->count] = NULL;
}

/* libssh hides the client's terminal modes (DECISIONS.md). Whether a key erases a character or a byte
 * is what people would notice: almost every terminal is UTF-8 now, unless the locale says another. */
static void set_utf8(const struct environment *env)
{
	static const char *const names[] = {"LC_ALL=", "LC_CTYPE=", "LANG="};
	const char *charset = NULL, *value = NULL;
	struct termios modes;

	for (size_t n = 0; n < sizeof(names) / sizeof(names[0]) && value == NULL; n++)
		for (size_t i = 0; i < env->count; i++)
			if (strncmp(env->lines[i], names[n], strlen(names[n])) == 0 &&
			    env->lines[i][strlen(names[n])] != '\0')
				value = env->lines[i] + strlen(names[n]);
	if (value != NULL)
		charset = strchr(value, '.');
	if (charset != NULL && strncasecmp(charset, ".utf8", 5) != 0 &&
	    strncasecmp(charset, ".utf-8", 6) != 0)
		return;
	if (tcgetattr(STDIN_FILENO, &modes) < 0)
		return;
	modes.c_iflag |= IUTF8;
	if (tcsetattr(STDIN_FILENO, TCSANOW, &modes) < 0)
		errno = 0;
}

/* Without audit in the kernel, or when pam_loginuid was faster, there is nothing to do. */
static void write_loginuid(uid_t uid)
{
	char text[16];
	int fd = open("/proc/self/loginuid", O_WRONLY | O_CLOEXEC);
	int len = snprintf(text, sizeof(text), "%u", uid);

	if (fd >= 0 && len > 0 && write(fd, text, (size_t)len) < 0)
		errno = 0;
	file_close(&fd);
}

static void reset_signals(void)
{
	sigset_t none;

	for (int n = 1; n < NSIG; n++)
		signal(n, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void go_home(const struct monitor *m)
{
	const char *home = m->account.home;

	if (home[0] != '\0' && chdir(home) == 0)
		return;
	dprintf(STDERR_FILENO, "Could not chdir to home directory %s: %s\n", home, strerror(errno));
	if (chdir("/") < 0)
		_exit(CANNOT);
}

static void print_motd(void)
{
	struct buffer text;

	buffer_init(&text, 65536);
	if (file_read("/etc/motd", &text) == 0 &&
	    file_write_all(STDOUT_FILENO, text.data, text.len) < 0)
		_exit(CANNOT);
	buffer_done(&text);
}

/* What PAM says, also without a terminal; on one the last login and the message of the day. Not to
 * who asked for quiet. In sshd's order. */
static void greet(const struct monitor *m, bool terminal, const char *greeting)
{
	if (access(".hushlogin", F_OK) == 0)
		return;
	if (file_write_all(STDOUT_FILENO, m->pam_text.data, m->pam_text.len) < 0 ||
	    file_write_all(STDOUT_FILENO, greeting, strlen(greeting)) < 0)
		_exit(CANNOT);
	if (terminal && m->options->now.print_motd)
		print_motd();
}

/* Our own program and no shell: nobody's startup files, nobody's PATH. */
static _Noreturn void execute_confined(const struct monitor *m, const struct session_wish *wish,
				       const char *program, char **env)
{
	const char *argv[] = {MONITOR_SFTP_PROGRAM, "--root", m->account.home, "--hide-dots",
			      "--log", SESSION_LOG_FD_TEXT, NULL, NULL, NULL};

	if (wish->kind == MONITOR_EXEC) {
		argv[6] = "--command";
		argv[7] = wish->command;
	}
	execve(program, (char *const *)(uintptr_t)argv, env);
	dprintf(STDERR_FILENO, "%s: %s\n", program, strerror(errno));
	_exit(CANNOT);
}

static _Noreturn void execute(const struct monitor *m, const struct session_wish *wish,
			      const char *sftp, char **env)
{
	const char *shell = shell_of(m), *slash = strrchr(shell, '/');
	const char *base = slash != NULL ? slash + 1 : shell;
	const char *command =
		wish->kind == MONITOR_SUBSYSTEM ? subsystem_of(m, wish, sftp) : wish->command;
	bool forced = m->decision.force_command[0] != '\0';
	char name[sizeof(m->account.shell) + 2];

	if (forced)
		command = m->decision.force_command;
	if (wish->kind == MONITOR_SHELL && !forced) {
		char *const argv[] = {name, NULL};

		snprintf(name, sizeof(name), "-%s", base);
		execve(shell, argv, env);
	} else {
		char *const argv[] = {strdup(base), strdup("-c"), strdup(command), NULL};

		execve(shell, argv, env);
	}
	dprintf(STDERR_FILENO, "%s: %s\n", shell, strerror(errno));
	_exit(1); /* as sshd does */
}

/* The file server's program and command line. */
static void find_sftp(const struct session_wish *wish, char program[static MONITOR_PATH_MAX],
		      char *sftp, size_t cap)
{
	if (monitor_program_path(MONITOR_SFTP_PROGRAM, program) < 0 && wish->confined)
		_exit(CANNOT);
	/* OpenSSH's where it is installed, else our own, which says the same on its log. */
	if (access(SESSION_SFTP_SERVER, X_OK) == 0)
		snprintf(sftp, cap, SESSION_SFTP_SERVER " -e -l INFO");
	else
		snprintf(sftp, cap, "%s --log 2", program);
}

_Noreturn void session_child_run(struct monitor *m, const struct session_wish *wish,
				 const int fds[3], int log, const char *tty, const char *agent,
				 const char *greeting)
{
	static struct environment env;
	char program[MONITOR_PATH_MAX] = "", sftp[MONITOR_PATH_MAX + 16] = "";

	if (wish->kind == MONITOR_SUBSYSTEM || wish->confined)
		find_sftp(wish, program, sftp, sizeof(sftp));
	if (m->host_secret != NULL)
		secret_wipe(m->host_secret, crypto_sign_SECRETKEYBYTES); /* this process's copy */
	if (setsid() < 0 || (wish->pty && ioctl(fds[0], TIOCSCTTY, 0) < 0))
		_exit(CANNOT);
	if (dup2(fds[0], 0) < 0 || dup2(fds[1], 1) < 0 || dup2(fds[2], 2) < 0)
		_exit(CANNOT);
	write_loginuid(m->account.uid);
	account_limits(m);
	if (log >= 0 && dup2(log, SESSION_LOG_FD) < 0)
		_exit(CANNOT);
	close_range(log >= 0 ? SESSION_LOG_FD + 1 : 3, ~0U, 0);
	account_become(m);
	make_env(&env, m, wish, tty, agent); /* reads a file of the user's */
	if (wish->pty)
		set_utf8(&env);
	go_home(m);
	/* A forced command's output is the command's alone. */
	if (wish->kind == MONITOR_SHELL && m->decision.force_command[0] == '\0')
		greet(m, wish->pty, greeting);
	reset_signals();
	if (wish->confined)
		execute_confined(m, wish, program, env.lines);
	session_rc_run(m, wish, shell_of(m), env.lines);
	execute(m, wish, sftp, env.lines);
}
