/* SPDX-License-Identifier: Apache-2.0
 *
 * warren-sshd: accepts connections, applies MaxStartups and PerSourceMaxStartups, and starts a
 * monitor for each. Reads no byte of SSH. As with sshd, sessions outlive it.
 */
#include "ssh/sshd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/file.h"
#include "platform/log.h"
#include "platform/secret.h"
#include "platform/unixsock.h"
#include "platform/user.h"
#include "ssh/config/file_limit.h"
#include "ssh/config/oom.h"
#include "ssh/config/startups.h"
#include "ssh/sshd_internal.h"

#define ACCEPTS_PER_TURN 16
#define FIXED_POLLS	 2

struct connection {
	pid_t pid; /* 0: free */
	int sock;
	bool authenticated;
	struct ip_addr source;
	uint32_t id;
	struct endpoint client;
	uint64_t began_ns;
	bool exchanged, displaced; /* its first key exchange is done; it is to end */
	bool ended;		   /* its last audit event came */
};

struct sshd {
	const struct sshd_arguments *arguments;
	struct sshd_force force;
	struct sshd_listeners listeners;
	bool handed, stopping, keeping; /* keeping: only the audit log */
	int signals, log;
	struct sshd_audit *audit;
	uint64_t stamp;
	char broken[512]; /* what is wrong with the files; "": nothing */
	uint32_t last_id;
	size_t count; /* slots that may be in use */
	struct connection connections[SSHD_SESSIONS_MAX];
	struct pollfd polls[FIXED_POLLS + SSHD_LISTEN_MAX + SSHD_SESSIONS_MAX];
};

/* ------------------------------------------------------------------ configuration */

/* Files of authorities and host keys count too. */
static uint64_t stamp_of(const struct sshd *s)
{
	const struct sshd_options *o = &s->force.options;
	const char *watched = s->force.config ? sshd_config_watched(s->force.config) : "";
	uint64_t sum = sshd_config_stamp(s->arguments->path, watched);

	if (o->trusted_ca_keys != NULL)
		sum = sum * 31 + sshd_config_stamp(o->trusted_ca_keys, "");
	for (size_t i = 0; i < o->host_keys.count; i++)
		sum = sum * 31 + sshd_config_stamp(o->host_keys.word[i], "");
	return sum;
}

static void listen_again(struct sshd *s)
{
	struct error err = {0};

	if (!s->handed && sshd_listen_change(&s->force.options, &s->listeners, &err) < 0)
		log_error("the new addresses cannot be listened on; the old ones stay",
			  "error=\"%s\"", error_text(&err));
}

/* The log that the configuration names: another one begins, or goes on, where it changed. */
static int make_audit(struct sshd *s)
{
	const char *folder = s->force.options.audit_log;
	struct sshd_audit *next;

	if (s->audit != NULL && sshd_audit_writes_to(s->audit, folder))
		return 0;
	next = sshd_audit_new(folder);
	if (next == NULL)
		return -ENOMEM;
	sshd_audit_free(s->audit);
	s->audit = next;
	sshd_audit_append(s->audit,
			  "\"event\":\"audit.start\",\"version\":\"" WARREN_VERSION "\"");
	return 0;
}

/* What is wrong leaves everything as it was. */
static void reload(struct sshd *s)
{
	struct sshd_findings findings = {0};
	struct sshd_force new;
	struct error err = {0};
	uint64_t stamp = stamp_of(s);
	bool stable;

	if (sshd_force_load(s->arguments, s->handed ? 0 : SSHD_FORCE_LISTENS, &new, &findings,
			    &err) < 0) {
		if (strcmp(s->broken, error_text(&err)) != 0)
			log_error("the new configuration is wrong; what was in force stays",
				  "error=\"%s\"", error_text(&err));
		snprintf(s->broken, sizeof(s->broken), "%s", error_text(&err));
		return;
	}
	stable = stamp == stamp_of(s); /* not written while it was read */
	sshd_force_done(&s->force);
	s->force = new;
	s->broken[0] = '\0';
	s->stamp = stable ? stamp_of(s) : 0;
	log_set_level((enum log_level)s->force.options.log_level);
	log_info("the new configuration is in force", NULL);
	sshd_findings_log(&findings);
	if (make_audit(s) < 0)
		log_error("no memory for another audit log", NULL);
	listen_again(s);
}

/* ------------------------------------------------------------------ connections */

/* Makes room (startups.h): false when nobody is slow enough. */
static bool displace(struct sshd *s, const struct ip_addr *source, bool same_source)
{
	uint8_t data[256];
	struct writer w = writer_init(data, sizeof(data));
	struct connection *oldest = NULL;
	uint64_t now = clock_monotonic_ns(&clock_system);

	for (size_t i = 0; i < s->count; i++) {
		struct connection *c = &s->connections[i];

		if (c->pid == 0 || c->authenticated || c->exchanged || c->displaced ||
		    now - c->began_ns < STARTUPS_SLOW_NS ||
		    (same_source &&
		     !startups_same_source(&s->force.options.startups, source, &c->source)))
			continue;
		if (oldest == NULL || c->began_ns < oldest->began_ns)
			oldest = c;
	}
	if (oldest == NULL)
		return false;
	oldest->displaced = true;
	writer_u8(&w, SSH_WIRE_END);
	writer_u32(&w, 0);
	writer_cstring(&w, STARTUPS_DISPLACED);
	if (oldest->sock < 0 || unixsock_send(oldest->sock, data, w.len, NULL, 0) < 0)
		kill(oldest->pid, SIGTERM);
	return true;
}

static const char *refusal(struct sshd *s, const struct ip_addr *source)
{
	const char *no;
	const struct sshd_startups *limits = &s->force.options.startups;
	unsigned all = 0, of_source = 0;
	size_t used = 0;

	for (size_t i = 0; i < s->count; i++) {
		const struct connection *c = &s->connections[i];

		used += c->pid != 0;
		if (c->pid == 0 || c->authenticated || c->displaced)
			continue;
		all++;
		of_source += startups_same_source(limits, source, &c->source);
	}
	if (used == SSHD_SESSIONS_MAX)
		return "Too many SSH sessions on this machine.\r\n";
	no = startups_refusal(limits, all, of_source, randombytes_uniform(100));
	return no != NULL && displace(s, source, startups_of_source(limits, of_source)) ? NULL : no;
}

static struct connection *free_slot(struct sshd *s)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->connections[i].pid == 0)
			return &s->connections[i];
	return s->count < SSHD_SESSIONS_MAX ? &s->connections[s->count++] : NULL;
}

static void serve(struct sshd *s, int fd, const struct endpoint *client)
{
	char text[ENDPOINT_STRLEN];
	struct connection c = {.sock = -1};
	struct connection *slot;
	const char *no;
	int rc;

	endpoint_ip(client, &c.source);
	no = refusal(s, &c.source);
	if (no != NULL) {
		log_info("turned an SSH connection away", "from=%s reason=%.*s",
			 endpoint_format(client, text), (int)strcspn(no, "\r"), no);
		sshd_audit_turned_away(s->audit, client, no);
		startups_turn_away(fd, no);
		return;
	}
	if (startups_expect_an_end(fd, s->force.options.tcp_keep_alive) < 0)
		log_debug("a connection may outlive its peer", NULL);
	rc = sshd_spawn(&s->force, ++s->last_id, fd, &c.sock, &c.pid);
	c.id = s->last_id;
	c.client = *client;
	c.began_ns = clock_monotonic_ns(&clock_system);
	slot = rc == 0 ? free_slot(s) : NULL;
	if (slot != NULL)
		*slot = c;
	if (rc < 0)
		log_error("cannot serve an SSH connection", "error=\"%s\"", strerror(-rc));
	close(fd);
}

static void accept_some(struct sshd *s, int listener)
{
	/* What is wrong may stand in a file that is not known before all is right. */
	if (s->broken[0] != '\0' || stamp_of(s) != s->stamp)
		reload(s);
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		struct sockaddr_storage name;
		socklen_t len = sizeof(name);
		int fd = accept4(listener, (struct sockaddr *)&name, &len, SOCK_CLOEXEC);
		struct endpoint client;

		if (fd < 0)
			return;
		endpoint_from_sockaddr((struct sockaddr *)&name, len, &client);
		serve(s, fd, &client);
	}
}

static void over(struct sshd *s, struct connection *c)
{
	if (c->sock < 0)
		return;
	file_close(&c->sock);
	if (!c->ended)
		sshd_audit_died(s->audit, c->id, &c->client);
}

/* Who logged in no longer counts; state is for `warren status`, which has no part here. false: there was nothing. */
static bool hear(struct sshd *s, struct connection *c)
{
	uint8_t type = 0;
	int r = c->sock < 0 ? 0
			    : sshd_audit_hear(s->audit, c->sock, c->id, &c->client, &type,
					      &c->ended);

	if (type == SSH_WIRE_AUTHENTICATED)
		c->authenticated = true;
	if (type == SSH_WIRE_KEYS)
		c->exchanged = true;
	if (r < 0)
		over(s, c);
	return r > 0;
}

static void reap(struct sshd *s)
{
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
		for (size_t i = 0; i < s->count; i++) {
			struct connection *c = &s->connections[i];

			if (c->pid != pid)
				continue;
			while (hear(s, c)) /* its last words */
				;
			over(s, c);
			c->pid = 0;
		}
}

static void on_signal(struct sshd *s)
{
	struct signalfd_siginfo info;

	while (read(s->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			reap(s);
		else if (info.ssi_signo != SIGHUP)
			s->stopping = true;
		else if (!s->keeping)
			reload(s);
	}
}

/* ------------------------------------------------------------------ loop */

static int turn(struct sshd *s)
{
	struct pollfd *p = s->polls;
	size_t n = FIXED_POLLS, listeners = s->listeners.count, count = s->count;

	p[0] = (struct pollfd){.fd = s->signals, .events = POLLIN};
	p[1] = (struct pollfd){.fd = s->log, .events = POLLIN};
	for (size_t i = 0; i < listeners; i++)
		p[n++] = (struct pollfd){.fd = s->listeners.fds[i], .events = POLLIN};
	for (size_t i = 0; i < count; i++) {
		const struct connection *c = &s->connections[i];

		p[n++] = (struct pollfd){.fd = c->pid != 0 ? c->sock : -1, .events = POLLIN};
	}
	if (poll(p, n, sshd_audit_tick(s->audit)) < 0)
		return errno == EINTR ? 0 : -errno;
	if (p[1].revents != 0 && !sshd_daemon_log(s->log, s->force.options.syslog_facility))
		file_close(&s->log);
	for (size_t i = 0; i < count; i++)
		if (p[FIXED_POLLS + listeners + i].revents != 0 && s->connections[i].sock >= 0)
			hear(s, &s->connections[i]);
	if (p[0].revents != 0)
		on_signal(s);
	for (size_t i = 0; i < listeners && i < s->listeners.count; i++)
		if (p[FIXED_POLLS + i].revents != 0 &&
		    s->listeners.fds[i] == p[FIXED_POLLS + i].fd)
			accept_some(s, s->listeners.fds[i]);
	return 0;
}

static int watch_signals(struct sshd *s)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->signals < 0 ? -errno : 0;
}

/* Without root there is one account, whoever asks. */
static void say_who(void)
{
	struct user_account account;

	if (geteuid() != 0 && user_lookup_uid(geteuid(), &account) == 0)
		log_warn("this server runs without root: only its own account can log in, and "
			 "without PAM, records and a uid apart for what parses SSH",
			 "account=%s", account.name);
}

static int start(struct sshd *s, struct error *err)
{
	struct sshd_findings findings = {0};
	int rc = sshd_force_load(s->arguments, 0, &s->force, &findings, err);

	if (rc < 0)
		return rc;
	log_set_level((enum log_level)s->force.options.log_level);
	sshd_findings_log(&findings);
	say_who();
	s->stamp = stamp_of(s);
	rc = sshd_listen_handed(&s->listeners, err);
	s->handed = s->listeners.count > 0;
	if (rc == 0 && !s->handed)
		rc = sshd_listen_open(&s->force.options, &s->listeners, err);
	if (rc == 0 && !s->arguments->foreground)
		rc = sshd_daemon_detach(&s->log, err);
	if (rc == 0)
		rc = watch_signals(s);
	if (rc == 0 && make_audit(s) < 0)
		rc = error_set(err, -ENOMEM, "no memory");
	return rc;
}

static bool heard(const struct sshd *s)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->connections[i].sock >= 0 && s->connections[i].pid != 0)
			return true;
	return false;
}

/* Sessions outlive the listener, and what they do still belongs into the audit log: a process of its
 * own keeps that until the last is over, or until it is told to end as well. */
static void keep_hearing(struct sshd *s)
{
	if (!heard(s))
		return;
	sshd_audit_settle(s->audit);
	if (fork() != 0)
		return;
	s->keeping = true;
	secret_wipe(&s->force.key, sizeof(s->force.key));
	s->stopping = false;
	while (heard(s) && !s->stopping)
		if (turn(s) < 0)
			break;
	sshd_audit_free(s->audit);
	_exit(0);
}

static int inetd(const struct sshd_arguments *a)
{
	static struct sshd_force force;
	struct sshd_findings findings = {0};
	struct sshd_audit *audit = NULL;
	struct error err = {0};
	int rc = sshd_force_load(a, 0, &force, &findings, &err);

	if (rc == 0)
		audit = sshd_audit_new(force.options.audit_log);
	if (rc == 0)
		rc = audit != NULL ? sshd_spawn_here(&force, audit) : -ENOMEM;
	log_error("the connection on standard input cannot be served", "error=\"%s\"",
		  err.code != 0 ? error_text(&err) : strerror(-rc));
	return WARREN_EXIT_FAILED;
}

int sshd_run(const struct sshd_arguments *a)
{
	struct sshd *s;
	struct error err = {0};
	int rc;

	if (secret_process_init() < 0)
		return WARREN_EXIT_FAILED;
	if (a->inetd)
		return inetd(a);
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return WARREN_EXIT_FAILED;
	s->arguments = a;
	s->signals = s->log = -1;
	rc = start(s, &err);
	if (rc < 0) {
		fprintf(stderr, "warren-sshd: %s\n",
			err.code != 0 ? error_text(&err) : strerror(-rc));
		free(s);
		return WARREN_EXIT_FAILED;
	}
	oom_protect();
	file_limit_raise();
	sshd_daemon_pid_file(s->force.options.pid_file, true);
	sshd_daemon_notify("READY=1");
	while (rc == 0 && !s->stopping)
		rc = turn(s);
	sshd_audit_append(s->audit, "\"event\":\"audit.stop\"");
	sshd_daemon_notify("STOPPING=1");
	sshd_daemon_pid_file(s->force.options.pid_file, false);
	sshd_listen_close(&s->listeners);
	keep_hearing(s);
	sshd_audit_free(s->audit);
	sshd_force_done(&s->force);
	free(s);
	return rc < 0 ? WARREN_EXIT_FAILED : WARREN_EXIT_OK;
}
