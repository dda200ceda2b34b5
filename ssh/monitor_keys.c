/* SPDX-License-Identifier: Apache-2.0
 *
 * Logins by a key of the account's authorized_keys: a short-lived process becomes the account,
 * reads its files and says which restrictions the key's line has (ssh/PROTOCOL.md section 6). The
 * monitor reads neither file nor key. Policy was asked before: who it does not let in this way
 * learns nothing about files.
 */
#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/encode.h"
#include "platform/secret.h"
#include "platform/unixsock.h"
#include "ssh/authorized_keys_file.h"
#include "ssh/monitor.h"

#define POLICY_SSH_CAPS                                                                            \
	(POLICY_SSH_SHELL | POLICY_SSH_EXEC | POLICY_SSH_SFTP | POLICY_SSH_FORWARD |               \
	 POLICY_SSH_REMOTE_FORWARD | POLICY_SSH_AGENT)
#define ANSWER_MAX (60 * 1024)

enum grant_flag {
	GRANT_PORT = 1 << 0,
	GRANT_AGENT = 1 << 1,
	GRANT_PTY = 1 << 2,
	GRANT_COMMAND = 1 << 3,
	GRANT_OPEN = 1 << 4,
	GRANT_LISTEN = 1 << 5,
	GRANT_AUTHORITY = 1 << 6,
	GRANT_USER_RC = 1 << 7,
};

static void put_permits(struct writer *w, const struct authorized_keys_permit *list, size_t count)
{
	writer_u8(w, (uint8_t)count);
	for (size_t i = 0; i < count; i++) {
		writer_cstring(w, list[i].host);
		writer_u16(w, list[i].port);
	}
}

static void put_grant(struct writer *w, const struct authorized_keys_grant *g)
{
	unsigned flags = 0;

	flags |= g->port_forwarding ? GRANT_PORT : 0U;
	flags |= g->agent_forwarding ? GRANT_AGENT : 0U;
	flags |= g->pty ? GRANT_PTY : 0U;
	flags |= g->has_command ? GRANT_COMMAND : 0U;
	flags |= g->limits_open ? GRANT_OPEN : 0U;
	flags |= g->limits_listen ? GRANT_LISTEN : 0U;
	flags |= g->authority ? GRANT_AUTHORITY : 0U;
	flags |= g->user_rc ? GRANT_USER_RC : 0U;
	writer_u8(w, (uint8_t)flags);
	writer_u32(w, g->line);
	writer_cstring(w, g->command);
	put_permits(w, g->open, g->open_count);
	put_permits(w, g->listen, g->listen_count);
	writer_u8(w, (uint8_t)g->env_count);
	for (size_t i = 0; i < g->env_count; i++)
		writer_cstring(w, g->env[i]);
}

static size_t get_permits(struct reader *r, struct authorized_keys_permit *list)
{
	size_t count = reader_u8(r);

	if (count > AUTHORIZED_KEYS_PERMITS_MAX)
		r->failed = true;
	for (size_t i = 0; i < count && !r->failed; i++) {
		reader_cstring(r, list[i].host, sizeof(list[i].host));
		list[i].port = reader_u16(r);
	}
	return r->failed ? 0 : count;
}

static void get_grant(struct reader *r, struct authorized_keys_grant *g)
{
	uint8_t flags = reader_u8(r);

	g->port_forwarding = flags & GRANT_PORT;
	g->agent_forwarding = flags & GRANT_AGENT;
	g->pty = flags & GRANT_PTY;
	g->has_command = flags & GRANT_COMMAND;
	g->limits_open = flags & GRANT_OPEN;
	g->limits_listen = flags & GRANT_LISTEN;
	g->authority = flags & GRANT_AUTHORITY;
	g->user_rc = flags & GRANT_USER_RC;
	g->line = reader_u32(r);
	reader_cstring(r, g->command, sizeof(g->command));
	g->open_count = get_permits(r, g->open);
	g->listen_count = get_permits(r, g->listen);
	g->env_count = reader_u8(r);
	if (g->env_count > AUTHORIZED_KEYS_ENV_MAX)
		r->failed = true;
	for (size_t i = 0; i < g->env_count && !r->failed; i++)
		reader_cstring(r, g->env[i], sizeof(g->env[i]));
}

/* In the helper, as the account. */
static int find(const struct monitor *m, const uint8_t *blob, size_t len, const char *client_name,
		struct authorized_keys_grant *g, struct error *err)
{
	const struct sshd_options *o = &m->options->now;
	struct authorized_keys_files files = {.strict_modes = o->strict_modes};
	char patterns[4096];
	static struct sshcert cert;
	struct authorized_keys_query q = {
		.blob = blob,
		.blob_len = len,
		.login = m->login,
		.client_name = client_name,
		.now_s = monitor_now_s(),
	};

	if (!monitor_options_key_files(m, patterns, sizeof(patterns)))
		return error_set(err, -EACCES, "AuthorizedKeysFile is too long");
	files.patterns = patterns;
	endpoint_ip(&m->config.client, &q.client);
	if (monitor_signature_certificate(blob, len)) {
		if (sshcert_parse(blob, len, &cert, err) < 0)
			return -EACCES;
		q.cert = &cert;
	}
	return authorized_keys_file_match(&files, &m->account, &q, g, err);
}

static _Noreturn void run_helper(struct monitor *m, const uint8_t *blob, size_t len,
				 const char *client_name, int channel)
{
	static uint8_t data[ANSWER_MAX];
	static struct authorized_keys_grant grant;
	struct writer w = writer_init(data, sizeof(data));
	struct error err = {0};
	sigset_t none;
	int r;

	if (m->host_secret != NULL)
		secret_wipe(m->host_secret, crypto_sign_SECRETKEYBYTES); /* this process's copy */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (dup2(channel, 3) < 0)
		_exit(1);
	close_range(4, ~0U, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	alarm(ANSWER_LONGEST_MS / 1000 + 1);
	answer_limit_cpu();
	account_become(m);
	r = find(m, blob, len, client_name, &grant, &err);
	writer_u8(&w, r == 0 ? MONITOR_YES : MONITOR_NO);
	writer_cstring(&w, r == -EACCES ? error_text(&err) : "");
	put_grant(&w, &grant);
	_exit(w.failed || unixsock_send(3, data, w.len, NULL, 0) < 0);
}

static int take_answer(const struct monitor *m, int fd, struct authorized_keys_grant *ret_grant, struct error *err)
{
	struct answer_limits limits = monitor_patience(m, 0);
	uint8_t *data = malloc(ANSWER_MAX);
	char message[512];
	struct reader r;
	uint8_t result;
	ssize_t n = 0;

	if (data == NULL)
		return -ENOMEM;
	if (answer_wait(fd, &limits, NULL) == 0)
		n = unixsock_recv(fd, data, ANSWER_MAX, NULL, NULL, MSG_DONTWAIT);
	r = reader_init(data, n > 0 ? (size_t)n : 0);
	result = reader_u8(&r);
	reader_cstring(&r, message, sizeof(message));
	get_grant(&r, ret_grant);
	free(data);
	if (!reader_done(&r))
		return error_set(err, -EACCES, "authorized_keys could not be read in time");
	if (result == MONITOR_YES)
		return 0;
	return message[0] != '\0' ? error_set(err, -EACCES, "%s", message) : -ENOENT;
}

/* Whose files would be read? */
static int look_up(struct monitor *m)
{
	if (!user_name_valid(m->login) || user_lookup(m->login, &m->account) < 0)
		return -ENOENT;
	if (m->account.uid == 0 && !m->config.allow_root)
		return -ENOENT;
	return geteuid() == 0 || geteuid() == m->account.uid ? 0 : -ENOENT;
}

static int ask(struct monitor *m, const uint8_t *blob, size_t len, const char *client_name,
	       struct authorized_keys_grant *ret_grant, struct error *err)
{
	int pair[2], r = look_up(m);
	pid_t pid;

	if (r == 0)
		r = unixsock_pair(pair);
	if (r < 0)
		return r;
	pid = fork();
	if (pid == 0)
		run_helper(m, blob, len, client_name, pair[1]);
	close(pair[1]);
	r = pid > 0 ? take_answer(m, pair[0], ret_grant, err) : -EAGAIN;
	close(pair[0]);
	/* One that hangs on a file system is reaped by the loop. */
	if (pid > 0 && kill(pid, SIGKILL) == 0)
		waitpid(pid, NULL, WNOHANG);
	return r;
}

/* A key's line for people and logs, as ssh-keygen -l shows it. */
static void fingerprint(const uint8_t *blob, size_t len,
			char out[static MONITOR_KEYS_FINGERPRINT])
{
	uint8_t digest[crypto_hash_sha256_BYTES];
	char text[ENCODE_BASE64_SIZE(sizeof(digest))];

	crypto_hash_sha256(digest, blob, len);
	encode_base64(text, digest, sizeof(digest));
	text[strcspn(text, "=")] = '\0';
	snprintf(out, MONITOR_KEYS_FINGERPRINT, "SHA256:%s", text);
}

bool monitor_keys_allow(struct monitor *m, const uint8_t *blob, size_t len, bool remember,
			struct verifier_decision *ret_decision)
{
	struct authorized_keys_grant *grant;
	char print[MONITOR_KEYS_FINGERPRINT];
	struct error err = {0};
	struct ip_addr client;
	int r;

	endpoint_ip(&m->config.client, &client);
	if (m->config.standalone)
		*ret_decision = (struct verifier_decision){
			.allowed = true, .caps = POLICY_SSH_CAPS, .pty = true, .user_rc = true};
	else if (!m->config.authorized_keys || !m->config.through_mesh ||
		 verifier_key(m->verifier, m->login, &client, monitor_now_s(), remember,
			      ret_decision) < 0 ||
		 !ret_decision->allowed)
		return false;
	grant = calloc(1, sizeof(*grant));
	if (grant == NULL)
		return false;
	fingerprint(blob, len, print);
	r = ask(m, blob, len, ret_decision->caller_name, grant, &err);
	if (r == -EACCES && remember) {
		monitor_audit(m, "a key of authorized_keys is not accepted", "reason",
			      error_text(&err));
	}
	if (r < 0 || !remember) {
		free(grant);
		return r == 0;
	}
	free(m->key);
	m->key = grant;
	monitor_keys_restrict(m, ret_decision);
	monitor_audit(m, "the key is in authorized_keys", "key", print);
	return true;
}

void monitor_keys_restrict(const struct monitor *m, struct verifier_decision *d)
{
	const struct authorized_keys_grant *g = m->key;
	const char *command;

	if (g == NULL)
		return;
	if (!g->port_forwarding)
		d->caps &= ~(uint32_t)(POLICY_SSH_FORWARD | POLICY_SSH_REMOTE_FORWARD);
	if (!g->agent_forwarding)
		d->caps &= ~(uint32_t)POLICY_SSH_AGENT;
	d->pty = d->pty && g->pty;
	d->user_rc = d->user_rc && g->user_rc;
	if (!g->has_command)
		return;
	/* An empty command is one that does nothing. */
	command = g->command[0] != '\0' ? g->command : ":";
	/* As sshd with a certificate's and a key's. */
	if (d->force_command[0] != '\0' && strcmp(d->force_command, command) != 0) {
		d->allowed = false;
		snprintf(d->message, sizeof(d->message),
			 "policy and the key's line want different commands for this login");
	}
	snprintf(d->force_command, sizeof(d->force_command), "%s", command);
}
