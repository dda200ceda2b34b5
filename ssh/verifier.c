/* SPDX-License-Identifier: Apache-2.0
 *
 * The monitor's side of the verifier (ssh/PROTOCOL.md section 5): it reads only fixed fields.
 */
#include "ssh/verifier.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "platform/buffer.h"
#include "platform/unixsock.h"
#include "ssh/answer.h"
#include "ssh/monitor_wire.h"
#include "ssh/verifier_internal.h"

struct verifier {
	pid_t pid;
	int fd;
	uint32_t next_id;
	struct answer_limits limits;
};

int verifier_start(const struct place *place, struct verifier **ret_verifier)
{
	struct verifier *v = calloc(1, sizeof(*v));
	int pair[2], r;

	if (v == NULL)
		return -ENOMEM;
	r = unixsock_pair(pair);
	if (r < 0) {
		free(v);
		return r;
	}
	v->pid = fork();
	if (v->pid == 0)
		verifier_child_run(pair[1], place);
	close(pair[1]);
	if (v->pid < 0) {
		r = -errno;
		close(pair[0]);
		free(v);
		return r;
	}
	v->fd = pair[0];
	v->limits.pid = v->pid;
	*ret_verifier = v;
	return 0;
}

void verifier_stop(struct verifier *v)
{
	if (v == NULL)
		return;
	close(v->fd);
	if (v->pid > 0) {
		kill(v->pid, SIGKILL);
		while (waitpid(v->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	free(v);
}

void verifier_patience(struct verifier *v, const struct answer_limits *limits)
{
	if (v == NULL)
		return;
	v->limits = *limits;
	v->limits.pid = v->pid;
}

bool verifier_reaped(struct verifier *v, pid_t pid)
{
	if (v == NULL || v->pid != pid)
		return false;
	v->pid = -1;
	return true;
}

int verifier_configure(struct verifier *v, const struct ssh_wire_config *config)
{
	uint8_t data[4096];
	struct writer w = writer_init(data, sizeof(data));

	writer_u8(&w, VERIFIER_CONFIG);
	writer_u32(&w, 0);
	writer_bytes(&w, config->signing_key, sizeof(config->signing_key));
	writer_cstring(&w, config->network);
	writer_cstring(&w, config->peer_id);
	writer_u64(&w, config->min_seq);
	writer_u8(&w, config->standalone);
	writer_u32(&w, config->break_glass_count);
	for (size_t i = 0; i < config->break_glass_count; i++)
		writer_bytes(&w, config->break_glass[i], sizeof(config->break_glass[i]));
	writer_u32(&w, config->revoked_count);
	for (size_t i = 0; i < config->revoked_count; i++)
		writer_u64(&w, config->revoked[i]);
	return w.failed ? -EMSGSIZE : unixsock_send(v->fd, data, w.len, NULL, 0);
}

/* One round trip. answer[MONITOR_WIRE_MAX]; *ret_reader stands behind type and id. */
static int ask(struct verifier *v, struct writer *w, const int *fds, size_t nfds, uint8_t *answer,
	       struct reader *ret_reader)
{
	struct reader r;
	ssize_t n;
	int ret;

	if (w->failed)
		return -EMSGSIZE;
	if (v->pid < 0)
		return -EPIPE;
	ret = unixsock_send(v->fd, w->data, w->len, fds, nfds);
	if (ret == 0)
		ret = answer_wait(v->fd, &v->limits, NULL);
	if (ret < 0)
		return ret;
	n = unixsock_recv(v->fd, answer, MONITOR_WIRE_MAX, NULL, NULL, 0);
	if (n <= 0)
		return n < 0 ? (int)n : -EPIPE;
	r = reader_init(answer, (size_t)n);
	if (reader_u8(&r) != w->data[0] || reader_u32(&r) != v->next_id)
		return -EBADMSG;
	*ret_reader = r;
	return 0;
}

static void begin(struct verifier *v, struct writer *w, uint8_t type)
{
	writer_u8(w, type);
	writer_u32(w, ++v->next_id);
}

int verifier_object(struct verifier *v, int fd, struct verifier_object *ret_object,
		    struct error *err)
{
	struct verifier_object object = {0};
	static uint8_t answer[MONITOR_WIRE_MAX];
	uint8_t data[64];
	struct writer w = writer_init(data, sizeof(data));
	struct timespec now;
	char message[512];
	struct reader r;
	uint8_t result;
	int ret;

	clock_gettime(CLOCK_REALTIME, &now);
	begin(v, &w, VERIFIER_OBJECT);
	writer_u64(&w, (uint64_t)now.tv_sec);
	ret = ask(v, &w, &fd, 1, answer, &r);
	if (ret < 0)
		return error_set(err, ret, "the verifier does not answer");
	result = reader_u8(&r);
	object.seq = reader_u64(&r);
	object.enabled = reader_u8(&r) == 1;
	reader_cstring(&r, object.host_name, sizeof(object.host_name));
	reader_cstring(&r, message, sizeof(message));
	if (!reader_done(&r))
		return error_set(err, -EBADMSG, "the verifier's answer cannot be read");
	if (result != MONITOR_YES)
		return error_set(err, -EACCES, "%s", message);
	*ret_object = object;
	return 0;
}

static int get_decision(struct reader *r, struct verifier_decision *ret_decision)
{
	struct verifier_decision d = {0};
	const uint8_t *subject;

	d.allowed = reader_u8(r) == MONITOR_YES;
	reader_cstring(r, d.identity, sizeof(d.identity));
	reader_cstring(r, d.caller_peer, sizeof(d.caller_peer));
	reader_cstring(r, d.caller_name, sizeof(d.caller_name));
	reader_cstring(r, d.message, sizeof(d.message));
	d.caps = reader_u32(r);
	d.files_only = reader_u8(r) != 0; /* anything but no is yes */
	d.pty = reader_u8(r) == 1;
	d.user_rc = reader_u8(r) == 1;
	d.break_glass = reader_u8(r) == 1;
	reader_cstring(r, d.force_command, sizeof(d.force_command));
	subject = reader_string(r, sizeof(d.subject), &d.subject_len);
	if (subject == NULL)
		return -EBADMSG;
	memcpy(d.subject, subject, d.subject_len);
	d.again_at_s = (int64_t)reader_u64(r);
	d.destination_count = reader_u32(r);
	if (d.destination_count > POLICY_SSH_MAX_DESTINATIONS)
		return -EBADMSG;
	for (size_t i = 0; i < d.destination_count; i++)
		reader_cstring(r, d.destinations[i], sizeof(d.destinations[i]));
	if (!reader_done(r))
		return -EBADMSG;
	*ret_decision = d;
	return 0;
}

static int ask_decision(struct verifier *v, struct writer *w,
			struct verifier_decision *ret_decision)
{
	uint8_t *answer = malloc(MONITOR_WIRE_MAX);
	struct reader r;
	int ret;

	if (answer == NULL)
		return -ENOMEM;
	ret = ask(v, w, NULL, 0, answer, &r);
	if (ret == 0)
		ret = get_decision(&r, ret_decision);
	free(answer);
	return ret;
}

static int ask_proof(struct verifier *v, uint8_t type, const void *proof, size_t len,
		     const char *login, const struct ip_addr *client, const char *session_hash,
		     bool remember, int64_t now_s, struct verifier_decision *ret_decision)
{
	uint8_t *data;
	struct writer w;
	int r;

	if (v == NULL)
		return -EPIPE;
	data = malloc(MONITOR_WIRE_MAX);
	if (data == NULL)
		return -ENOMEM;
	w = writer_init(data, MONITOR_WIRE_MAX);
	begin(v, &w, type);
	if (proof != NULL)
		writer_string(&w, proof, len);
	writer_cstring(&w, login);
	verifier_put_addr(&w, client);
	if (type == VERIFIER_GRANT)
		writer_cstring(&w, session_hash);
	if (type == VERIFIER_CERT || type == VERIFIER_KEY)
		writer_u8(&w, remember);
	writer_u64(&w, (uint64_t)now_s);
	r = ask_decision(v, &w, ret_decision);
	free(data);
	return r;
}

int verifier_cert(struct verifier *v, const uint8_t *blob, size_t len, const char *login,
		  const struct ip_addr *client, int64_t now_s, bool remember,
		  struct verifier_decision *ret_decision)
{
	return ask_proof(v, VERIFIER_CERT, blob, len, login, client, "", remember, now_s,
			 ret_decision);
}

int verifier_grant(struct verifier *v, const char *text, size_t len, const char *login,
		   const char *session_hash, const struct ip_addr *client, int64_t now_s,
		   struct verifier_decision *ret_decision)
{
	return ask_proof(v, VERIFIER_GRANT, text, len, login, client, session_hash, true, now_s,
			 ret_decision);
}

int verifier_machine(struct verifier *v, const char *login, const struct ip_addr *client,
		     int64_t now_s, struct verifier_decision *ret_decision)
{
	return ask_proof(v, VERIFIER_MACHINE, NULL, 0, login, client, "", true, now_s,
			 ret_decision);
}

int verifier_key(struct verifier *v, const char *login, const struct ip_addr *client, int64_t now_s,
		 bool remember, struct verifier_decision *ret_decision)
{
	return ask_proof(v, VERIFIER_KEY, NULL, 0, login, client, "", remember, now_s,
			 ret_decision);
}

int verifier_banner(struct verifier *v, const char *login, const struct ip_addr *client,
		    int64_t now_s, struct verifier_decision *ret_decision)
{
	return ask_proof(v, VERIFIER_BANNER, NULL, 0, login, client, "", false, now_s,
			 ret_decision);
}

int verifier_issuers(struct verifier *v, uint8_t *out, size_t cap, size_t *ret_len)
{
	uint8_t *answer = malloc(MONITOR_WIRE_MAX);
	uint8_t data[16];
	struct writer w = writer_init(data, sizeof(data));
	const uint8_t *text;
	struct reader r;
	int ret = v != NULL && answer != NULL ? 0 : -EPIPE;

	if (ret == 0) {
		begin(v, &w, VERIFIER_ISSUERS);
		ret = ask(v, &w, NULL, 0, answer, &r);
	}
	if (ret == 0) {
		text = reader_string(&r, cap, ret_len);
		if (text == NULL || !reader_done(&r))
			ret = -EBADMSG;
		else
			memcpy(out, text, *ret_len);
	}
	free(answer);
	return ret;
}

int verifier_token(struct verifier *v, const struct verifier_token *token, const char *login,
		   const struct ip_addr *client, int64_t now_s,
		   struct verifier_decision *ret_decision)
{
	uint8_t *data = malloc(MONITOR_WIRE_MAX);
	struct writer w = writer_init(data, data != NULL ? MONITOR_WIRE_MAX : 0);
	int r;

	if (v == NULL || data == NULL) {
		free(data);
		return -EPIPE;
	}
	begin(v, &w, VERIFIER_TOKEN);
	writer_cstring(&w, token->identity);
	writer_u64(&w, (uint64_t)token->auth_time_s);
	writer_u64(&w, (uint64_t)token->issued_s);
	writer_u32(&w, (uint32_t)token->group_count);
	for (size_t i = 0; i < token->group_count; i++)
		writer_cstring(&w, token->groups[i]);
	writer_cstring(&w, login);
	verifier_put_addr(&w, client);
	writer_u64(&w, (uint64_t)now_s);
	r = ask_decision(v, &w, ret_decision);
	free(data);
	return r;
}

int verifier_again(struct verifier *v, int64_t now_s, struct verifier_decision *ret_decision)
{
	uint8_t data[32];
	struct writer w = writer_init(data, sizeof(data));

	if (v == NULL)
		return -EPIPE;
	begin(v, &w, VERIFIER_AGAIN);
	writer_u64(&w, (uint64_t)now_s);
	return ask_decision(v, &w, ret_decision);
}

int verifier_revoked(struct verifier *v, int fd, const uint8_t *blob, size_t len, struct error *err)
{
	uint8_t *data = malloc(MONITOR_WIRE_MAX), *answer = malloc(MONITOR_WIRE_MAX);
	struct writer w = writer_init(data, data != NULL ? MONITOR_WIRE_MAX : 0);
	char message[256] = "nobody could read it";
	struct reader r;
	uint8_t result = 2;
	int ret = v != NULL && data != NULL && answer != NULL ? 0 : -EPIPE;

	if (ret == 0) {
		begin(v, &w, VERIFIER_REVOKED);
		writer_string(&w, blob, len);
		ret = ask(v, &w, &fd, 1, answer, &r);
	}
	if (ret == 0) {
		result = reader_u8(&r);
		reader_cstring(&r, message, sizeof(message));
		ret = !reader_done(&r) || result > 1 ? error_set(err, -EBADMSG, "%s", message)
						     : result;
	} else {
		error_set(err, ret, "%s", message);
	}
	free(data);
	free(answer);
	return ret;
}

int verifier_resolve(struct verifier *v, const char *host, struct ip_addr *ret_addr)
{
	uint8_t data[512], *answer;
	struct writer w = writer_init(data, sizeof(data));
	struct ip_addr addr = {0};
	struct reader r;
	int ret;

	if (v == NULL)
		return -EPIPE;
	answer = malloc(MONITOR_WIRE_MAX);
	if (answer == NULL)
		return -ENOMEM;
	begin(v, &w, VERIFIER_RESOLVE);
	writer_cstring(&w, host);
	ret = ask(v, &w, NULL, 0, answer, &r);
	if (ret == 0) {
		verifier_get_addr(&r, &addr);
		ret = !reader_done(&r) ? -EBADMSG : addr.family == 0 ? -ENOENT : 0;
	}
	free(answer);
	if (ret == 0)
		*ret_addr = addr;
	return ret;
}
