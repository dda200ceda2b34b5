/* SPDX-License-Identifier: Apache-2.0
 *
 * What sshd_config(5) says to one connection: see the header.
 */
#include "ssh/monitor_options.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/file.h"
#include "platform/log.h"
#include "ssh/config/sshd_check.h"
#include "ssh/monitor.h"
#include "ssh/sshd_keys.h"
#include "ssh/sshd_query.h"

#define FAIL_SPREAD_NS (4 * NSEC_PER_MSEC)

struct monitor_options *monitor_options_new(void)
{
	const struct sshd_query nobody = {0};
	struct monitor_options *o = calloc(1, sizeof(*o));

	if (o == NULL)
		return NULL;
	if (sshd_config_new(&o->config) < 0) {
		free(o);
		return NULL;
	}
	sshd_config_evaluate(o->config, &nobody, &o->now);
	return o;
}

void monitor_options_free(struct monitor_options *o)
{
	if (o == NULL)
		return;
	sshd_config_free(o->config);
	free(o);
}

static struct sshd_query query_of(const struct monitor *m, const struct sshd_groups *groups)
{
	struct monitor_options *o = m->options;
	struct sshd_query q = {
		.user = o->login[0] != '\0' ? o->login : NULL,
		.host = o->host,
		.peer = o->peer[0] != '\0' ? o->peer : NULL,
		.identity = o->identity[0] != '\0' ? o->identity : NULL,
		.groups = groups->names,
		.group_count = groups->count,
		.local_port = endpoint_port(&m->config.server),
	};

	endpoint_ip(&m->config.client, &q.address);
	endpoint_ip(&m->config.server, &q.local_address);
	return q;
}

/* Only where a line wants to know: a name service may go far for them. The login of a connection never
 * changes. */
static const struct sshd_groups *groups_of(struct monitor_options *o, const char *login)
{
	static const struct sshd_groups none;
	static struct sshd_groups groups;

	if (login[0] == '\0' || !sshd_config_asks_groups(o->config))
		return &none;
	if (!o->groups_known)
		sshd_groups_of(login, &groups);
	o->groups_known = true;
	return &groups;
}

static void evaluate(struct monitor *m)
{
	struct monitor_options *o = m->options;
	struct sshd_query q;
	struct ip_addr client;

	endpoint_ip(&m->config.client, &client);
	if (client.family != 0)
		ip_addr_format(&client, o->host); /* UseDNS no */
	q = query_of(m, groups_of(o, o->login));
	sshd_config_evaluate(o->config, &q, &o->now);
	log_set_level((enum log_level)o->now.log_level);
}

int monitor_options_load(struct monitor *m, const char *text, size_t len)
{
	const struct sshd_source source = {.name = "configuration", .text = text, .len = len};
	struct error err = {0};
	int r = 0;

	if (len > 0)
		r = sshd_config_parse(m->options->config, &source, NULL, NULL, &err);
	if (r < 0) {
		log_error("the SSH server's configuration cannot be read", "reason=%s",
			  error_text(&err));
		return -EBADMSG;
	}
	if (len > 0)
		evaluate(m);
	return 0;
}

void monitor_options_login(struct monitor *m)
{
	snprintf(m->options->login, sizeof(m->options->login), "%s", m->login);
	evaluate(m);
}

bool monitor_options_method(const struct monitor *m, const char *method)
{
	const struct sshd_options *o = &m->options->now;

	if (strcmp(method, "certificate") == 0 || strcmp(method, "authorized_keys") == 0 ||
	    strcmp(method, "break-glass") == 0 || strcmp(method, "publickey") == 0)
		return o->pubkey_authentication;
	if (strcmp(method, "keyboard-interactive") == 0 || strcmp(method, "banner") == 0)
		return o->kbd_interactive_authentication;
	if (strcmp(method, "password") == 0 || strcmp(method, "token") == 0)
		return o->password_authentication;
	return true;
}

bool monitor_options_algorithm(const struct monitor *m, const char *algorithm)
{
	const char *list = m->options->now.key_algorithms;

	/* Before the signature libssh names the key's type, which for RSA is no algorithm. */
	if (strcmp(algorithm, "ssh-rsa-cert-v01@openssh.com") == 0)
		return sshd_listed(list, "rsa-sha2-256-cert-v01@openssh.com") ||
		       sshd_listed(list, "rsa-sha2-512-cert-v01@openssh.com");
	if (strcmp(algorithm, "ssh-rsa") == 0)
		return sshd_listed(list, "rsa-sha2-256") || sshd_listed(list, "rsa-sha2-512");
	return sshd_listed(list, algorithm);
}

/* RFC 4253 section 6.6: string "ssh-rsa", mpint e, mpint n. */
bool monitor_options_key_size(const struct monitor *m, const uint8_t *blob, size_t len)
{
	struct reader r = reader_init(blob, len);
	size_t size = 0;
	const uint8_t *part = reader_string(&r, 64, &size);
	uint32_t bits;

	if (part == NULL || size != 7 || memcmp(part, "ssh-rsa", 7) != 0)
		return part != NULL;
	reader_string(&r, len, &size);
	part = reader_string(&r, len, &size);
	while (part != NULL && size > 0 && *part == 0) {
		part++;
		size--;
	}
	if (part == NULL || size == 0 || size > 4096)
		return false;
	bits = (uint32_t)size * 8;
	for (uint8_t top = *part; (top & 0x80) == 0; top = (uint8_t)(top << 1))
		bits--;
	return bits >= m->options->now.rsa_bits;
}

const char *monitor_options_admit(struct monitor *m, struct verifier_decision *d,
				  const char *method)
{
	struct monitor_options *o = m->options;

	o->groups_known = false; /* a person may have taken minutes to get here */
	snprintf(o->peer, sizeof(o->peer), "%s", d->caller_name);
	snprintf(o->identity, sizeof(o->identity), "%s", d->identity);
	evaluate(m);
	if (!monitor_options_method(m, method))
		return "this machine's configuration does not take this way to log in";
	if (m->account.uid == 0 && o->now.permit_root == SSHD_ROOT_NO_PASSWORD &&
	    (strcmp(method, "password") == 0 || strcmp(method, "token") == 0))
		return "root may not log in with a password on this machine (PermitRootLogin)";
	if (m->account.uid == 0 && o->now.permit_root == SSHD_ROOT_FORCED &&
	    d->force_command[0] == '\0')
		return "root may only run the command of its key on this machine "
		       "(PermitRootLogin)";
	monitor_options_restrict(m, d);
	return NULL;
}

static bool is_internal_sftp(const char *command)
{
	size_t len = strlen(SSHD_INTERNAL_SFTP);

	return strncmp(command, SSHD_INTERNAL_SFTP, len) == 0 &&
	       (command[len] == '\0' || command[len] == ' ');
}

void monitor_options_restrict(const struct monitor *m, struct verifier_decision *d)
{
	const struct sshd_options *o = &m->options->now;

	if (o->disable_forwarding || (o->tcp_forwarding & SSHD_FORWARD_LOCAL) == 0)
		d->caps &= ~(uint32_t)POLICY_SSH_FORWARD;
	if (o->disable_forwarding || (o->tcp_forwarding & SSHD_FORWARD_REMOTE) == 0)
		d->caps &= ~(uint32_t)POLICY_SSH_REMOTE_FORWARD;
	if (o->disable_forwarding || !o->agent_forwarding)
		d->caps &= ~(uint32_t)POLICY_SSH_AGENT;
	d->pty = d->pty && o->permit_tty;
	d->user_rc = d->user_rc && o->permit_user_rc && o->force_command == NULL;
	/* Of a key or a break-glass certificate: sftp, as sshd has it. */
	if (is_internal_sftp(d->force_command)) {
		d->caps &= ~(uint32_t)(POLICY_SSH_SHELL | POLICY_SSH_EXEC);
		d->force_command[0] = '\0';
	}
	if (o->force_command == NULL)
		return;
	if (is_internal_sftp(o->force_command)) {
		d->caps &= ~(uint32_t)(POLICY_SSH_SHELL | POLICY_SSH_EXEC);
		d->files_only = true;
		d->force_command[0] = '\0';
	} else
		snprintf(d->force_command, sizeof(d->force_command), "%s", o->force_command);
}

int monitor_options_account(const struct monitor *m, struct error *err)
{
	struct sshd_query q = query_of(m, groups_of(m->options, m->login));
	const char *keyword;

	q.user = m->login;
	keyword = sshd_user_refused(&m->options->now, &q);
	if (keyword != NULL)
		return error_set(err, -EACCES,
				 "%s may not log in on this machine (%s of its configuration)",
				 m->login, keyword);
	if (m->account.uid == 0 && m->options->now.permit_root == SSHD_ROOT_NO)
		return error_set(err, -EACCES,
				 "root may not log in on this machine (PermitRootLogin of its "
				 "configuration)");
	return 0;
}

bool monitor_options_key_files(const struct monitor *m, char *out, size_t cap)
{
	const struct sshd_words *w = &m->options->now.authorized_keys_file;
	size_t len = 0;

	out[0] = '\0';
	for (size_t i = 0; i < w->count; i++) {
		int n = snprintf(out + len, cap - len, "%s%s", i > 0 ? " " : "", w->word[i]);

		if (n < 0 || (size_t)n >= cap - len)
			return false;
		len += (size_t)n;
	}
	return true;
}

bool monitor_options_revoked(const struct monitor *m, const uint8_t *blob, size_t len)
{
	const char *path = m->options->now.revoked_keys;

	struct error err = {0};
	int fd = -1, r;

	if (path == NULL)
		return false;
	r = sshd_keys_open_revoked(path, &fd);
	if (r < 0)
		error_set(&err, r, "it cannot be read: %s", strerror(-r));
	else
		r = verifier_revoked(m->verifier, fd, blob, len, &err);
	file_close(&fd);
	if (r < 0)
		log_error("RevokedKeys cannot be used, so that no key is taken", "file=%s reason=%s",
			  path, error_text(&err));
	return r != 0;
}

/* Doubled until it is longer than what was needed, so that the time tells nothing; a little of it
 * depends on the name, so that measuring one says nothing about another. */
uint64_t monitor_options_delay_ns(const uint8_t secret[static crypto_sign_SECRETKEYBYTES],
				  const char *login, uint64_t began_ns, uint64_t now_ns)
{
	uint8_t digest[crypto_hash_sha256_BYTES];
	crypto_hash_sha256_state state;
	uint64_t spent = now_ns - began_ns, want;

	crypto_hash_sha256_init(&state);
	crypto_hash_sha256_update(&state, secret, crypto_sign_SECRETKEYBYTES);
	crypto_hash_sha256_update(&state, (const uint8_t *)login, strlen(login));
	crypto_hash_sha256_final(&state, digest);
	want = MONITOR_FAIL_MIN_NS + FAIL_SPREAD_NS * digest[0] / 256;
	while (want < spent && want < NSEC_PER_SEC)
		want *= 2;
	return want > spent ? want - spent : 0;
}

void monitor_options_delay(const struct monitor *m)
{
	struct timespec wait = {0};
	uint64_t ns;

	if (m->options->attempt_ns == 0 || m->host_secret == NULL)
		return;
	ns = monitor_options_delay_ns(m->host_secret, m->login, m->options->attempt_ns,
				      monitor_now_ns());
	wait.tv_sec = (time_t)(ns / NSEC_PER_SEC);
	wait.tv_nsec = (long)(ns % NSEC_PER_SEC);
	while (ns > 0 && nanosleep(&wait, &wait) < 0 && errno == EINTR)
		;
}

const char *monitor_options_connect(const struct monitor *m, const char *host, uint16_t port)
{
	const struct sshd_options *o = &m->options->now;

	if (o->disable_forwarding || (o->tcp_forwarding & SSHD_FORWARD_LOCAL) == 0)
		return "this machine's configuration does not allow forwards";
	return sshd_may_open(o, host, port)
		       ? NULL
		       : "this machine's configuration does not allow this destination";
}

const char *monitor_options_listen(const struct monitor *m, const char *address, uint16_t port)
{
	const struct sshd_options *o = &m->options->now;

	if (o->disable_forwarding || (o->tcp_forwarding & SSHD_FORWARD_REMOTE) == 0)
		return "this machine's configuration does not allow remote forwards";
	return sshd_may_listen(o, address, port)
		       ? NULL
		       : "this machine's configuration does not allow this listening address";
}

/* ------------------------------------------------------------------ requests */

/* What a broken file would say is no reason to refuse a login. */
static void read_banner(const struct monitor *m, struct buffer *out)
{
	const char *path = m->options->now.banner;
	int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) : -1;

	if (path == NULL)
		return;
	if (fd < 0 || file_read_fd(fd, out) < 0) {
		buffer_reset(out);
		log_warn("the banner cannot be read", "file=%s", path);
	}
	file_close(&fd);
}

/* Without root there is one account, and nobody else gets further than this. */
static void say_not_yours(const struct monitor *m, struct buffer *out)
{
	struct user_account account;

	if (geteuid() == 0 ||
	    (user_name_valid(m->login) && user_lookup(m->login, &account) == 0 &&
	     account.uid == geteuid()))
		return;
	if (buffer_printf(out, "This SSH server runs without root: it serves its own account "
			       "only.\n") < 0)
		log_debug("the banner is too long for another line", NULL);
}

int monitor_options_user(struct monitor *m, uint32_t id, struct reader *r)
{
	uint8_t data[SSHD_BANNER_MAX + 512];
	struct writer w = writer_init(data, sizeof(data));
	char login[sizeof(m->login)];
	struct buffer banner;
	int ret;

	reader_cstring(r, login, sizeof(login));
	if (!reader_done(r))
		return -EBADMSG;
	if (monitor_auth_one_login(m, login) < 0)
		return -EPERM;
	buffer_init(&banner, SSHD_BANNER_MAX);
	read_banner(m, &banner);
	say_not_yours(m, &banner);
	monitor_begin(&w, MONITOR_USER, id);
	writer_u32(&w, m->options->now.max_auth_tries);
	writer_string(&w, banner.len > 0 ? banner.data : (const uint8_t *)"", banner.len);
	ret = monitor_reply(m, &w, NULL, 0);
	buffer_done(&banner);
	return ret;
}

int monitor_options_limits(struct monitor *m, uint32_t id, struct reader *r)
{
	const struct sshd_options *o = &m->options->now;
	uint8_t data[16384];
	struct writer w = writer_init(data, sizeof(data));

	if (!reader_done(r))
		return -EBADMSG;
	monitor_begin(&w, MONITOR_LIMITS, id);
	writer_u32(&w, o->max_sessions);
	writer_u32(&w, o->alive_interval_s);
	writer_u32(&w, o->alive_count_max);
	writer_u32(&w, o->unused_timeout_s);
	writer_u32(&w, (uint32_t)o->timeout_count);
	for (size_t i = 0; i < o->timeout_count; i++) {
		writer_string(&w, o->timeouts[i].type, o->timeouts[i].type_len);
		writer_u32(&w, o->timeouts[i].seconds);
	}
	return monitor_reply(m, &w, NULL, 0);
}
