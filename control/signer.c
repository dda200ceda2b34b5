/* SPDX-License-Identifier: Apache-2.0
 *
 * The HTTP process's side of the signer: one request, one answer, over a stream socket pair. After
 * a time-out the two are out of step, so nothing is asked any more and the program ends.
 */
#include "control/signer.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/control.h"
#include "platform/file.h"
#include "platform/json.h"

#define LIMIT_S 2

struct signer {
	int fd;
	pid_t pid;
	bool broken;
};

static int read_all(int fd, uint8_t *out, size_t len)
{
	while (len) {
		ssize_t n = read(fd, out, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0 ? -EPIPE : errno == EAGAIN ? -ETIMEDOUT : -errno;
		out += n;
		len -= (size_t)n;
	}
	return 0;
}

static int write_all(int fd, const uint8_t *data, size_t len)
{
	while (len) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static int read_frame(int fd, struct buffer *answer)
{
	uint8_t head[4], chunk[16384];
	int r = read_all(fd, head, sizeof(head));

	if (r < 0)
		return r;
	struct reader reader = reader_init(head, sizeof(head));
	size_t len = reader_u32(&reader);
	if (len == 0 || len > SIGNER_MAX_FRAME)
		return -EPROTO;
	while (r == 0 && len) {
		size_t part = len < sizeof(chunk) ? len : sizeof(chunk);

		r = read_all(fd, chunk, part);
		if (r == 0)
			r = buffer_append(answer, chunk, part);
		len -= part;
	}
	return r;
}

/* Starts a request of this kind; fields follow by put_*. */
static int put_u32(struct buffer *b, uint32_t v)
{
	uint8_t raw[4];
	struct writer w = writer_init(raw, sizeof(raw));

	writer_u32(&w, v);
	return buffer_append(b, raw, sizeof(raw));
}

static int put_u64(struct buffer *b, uint64_t v)
{
	uint8_t raw[8];
	struct writer w = writer_init(raw, sizeof(raw));

	writer_u64(&w, v);
	return buffer_append(b, raw, sizeof(raw));
}

static int put_string(struct buffer *b, const void *data, size_t len)
{
	int r = put_u32(b, (uint32_t)len);

	return r < 0 ? r : buffer_append(b, data, len);
}

static int put_text(struct buffer *b, const char *text)
{
	return put_string(b, text, strlen(text));
}

static int request_begin(struct buffer *b, enum signer_request request)
{
	uint8_t kind = (uint8_t)request;

	buffer_init(b, SIGNER_MAX_FRAME + 4);
	int r = put_u32(b, 0);
	return r < 0 ? r : buffer_append(b, &kind, 1);
}

/* Sends the request and receives the answer's fields (without the status) into answer. */
static int ask(struct signer *s, struct buffer *request, struct buffer *answer)
{
	struct writer w = writer_init(request->data, 4);
	int r;

	if (s->broken)
		return -EPIPE;
	writer_u32(&w, (uint32_t)(request->len - 4));
	r = write_all(s->fd, request->data, request->len);
	if (r == 0)
		r = read_frame(s->fd, answer);
	if (r < 0) {
		s->broken = true;
		return r;
	}
	r = -(int)answer->data[0];
	buffer_consume(answer, 1);
	return r;
}

/* The whole of a call whose request is built (r: how that went). Takes request. */
static int call(struct signer *s, struct buffer *request, int r, struct buffer *answer)
{
	buffer_init(answer, SIGNER_MAX_FRAME);
	if (r == 0)
		r = ask(s, request, answer);
	buffer_done(request);
	return r;
}

int signer_init(struct signer *s, const char *network, const char *issuer)
{
	struct buffer request, answer;
	int r = request_begin(&request, SIGNER_INIT);

	if (r == 0)
		r = put_text(&request, network);
	if (r == 0)
		r = put_text(&request, issuer);
	r = call(s, &request, r, &answer);
	buffer_done(&answer);
	return r;
}

int signer_public(struct signer *s, uint8_t ret_signing[32], uint8_t ret_issuer[32],
		  uint8_t ret_enroll[32])
{
	struct buffer request, answer;
	int r = call(s, &request, request_begin(&request, SIGNER_PUBLIC), &answer);

	if (r == 0) {
		struct reader reader = reader_init(answer.data, answer.len);

		reader_bytes(&reader, ret_signing, 32);
		reader_bytes(&reader, ret_issuer, 32);
		reader_bytes(&reader, ret_enroll, 32);
		r = reader_done(&reader) ? 0 : -EPROTO;
	}
	buffer_done(&answer);
	return r;
}

/* The answer as a NUL-terminated text of its own. */
static int answer_text(struct buffer *answer, char **ret_text)
{
	if (memchr(answer->data, 0, answer->len) || !buffer_cstring(answer))
		return -EPROTO;
	*ret_text = strdup((const char *)answer->data);
	return *ret_text ? 0 : -ENOMEM;
}

int signer_object(struct signer *s, const char *type, const json_t *payload, char **ret_text)
{
	struct buffer request, answer;
	size_t len = 0;
	char *json = json_canonical(payload, &len);
	int r = request_begin(&request, SIGNER_OBJECT);

	if (!json)
		r = -ENOMEM;
	if (r == 0)
		r = put_text(&request, type);
	if (r == 0)
		r = put_string(&request, json, len);
	free(json);
	r = call(s, &request, r, &answer);
	if (r == 0)
		r = answer_text(&answer, ret_text);
	buffer_done(&answer);
	return r;
}

int signer_jwt(struct signer *s, const json_t *claims, const char *type, char **ret_token)
{
	struct buffer request, answer;
	size_t len = 0;
	char *json = json_canonical(claims, &len);
	int r = request_begin(&request, SIGNER_JWT);

	if (!json)
		r = -ENOMEM;
	if (r == 0)
		r = put_string(&request, json, len);
	if (r == 0)
		r = put_text(&request, type);
	free(json);
	r = call(s, &request, r, &answer);
	if (r == 0)
		r = answer_text(&answer, ret_token);
	buffer_done(&answer);
	return r;
}

static int put_cert(struct buffer *b, const struct sshcert *cert)
{
	int r = put_text(b, cert->key_type);

	if (r == 0)
		r = put_string(b, cert->subject, cert->subject_len);
	if (r == 0)
		r = put_u64(b, cert->serial);
	if (r == 0)
		r = put_u32(b, cert->type);
	if (r == 0)
		r = put_text(b, cert->key_id);
	if (r == 0)
		r = put_u32(b, (uint32_t)cert->principal_count);
	for (size_t i = 0; r == 0 && i < cert->principal_count; i++)
		r = put_text(b, cert->principals[i]);
	if (r == 0)
		r = put_u64(b, (uint64_t)cert->valid_after_s);
	if (r == 0)
		r = put_u64(b, (uint64_t)cert->valid_before_s);
	if (r == 0)
		r = put_u32(b, (uint32_t)cert->source_count);
	for (size_t i = 0; r == 0 && i < cert->source_count; i++) {
		char text[IP_PREFIX_STRLEN];

		r = put_text(b, ip_prefix_format(&cert->sources[i], text));
	}
	if (r == 0)
		r = put_text(b, cert->force_command);
	return r < 0 ? r : put_u32(b, cert->extensions);
}

int signer_cert(struct signer *s, const char *target_peer, uint32_t generation,
		struct sshcert *cert, struct buffer *ret_blob)
{
	struct buffer request, answer;
	int r = request_begin(&request, SIGNER_CERT);

	if (cert->subject_len > sizeof(cert->subject) ||
	    cert->principal_count > SSHCERT_MAX_PRINCIPALS ||
	    cert->source_count > SSHCERT_MAX_SOURCES)
		r = -EINVAL;
	if (r == 0)
		r = put_text(&request, target_peer);
	if (r == 0)
		r = put_u32(&request, generation);
	if (r == 0)
		r = put_cert(&request, cert);
	r = call(s, &request, r, &answer);
	if (r == 0) {
		struct reader reader = reader_init(answer.data, answer.len);
		size_t len;
		const uint8_t *blob = reader_string(&reader, SSHCERT_MAX_BLOB, &len);

		reader_bytes(&reader, cert->ca, 32);
		r = !blob || !reader_done(&reader) ? -EPROTO : buffer_append(ret_blob, blob, len);
	}
	buffer_done(&answer);
	return r;
}

int signer_ca_public(struct signer *s, const char *target_peer, uint32_t generation,
		     uint8_t ret_ca[32])
{
	struct buffer request, answer;
	int r = request_begin(&request, SIGNER_CA_PUBLIC);

	if (r == 0)
		r = put_text(&request, target_peer);
	if (r == 0)
		r = put_u32(&request, generation);
	r = call(s, &request, r, &answer);
	if (r == 0) {
		struct reader reader = reader_init(answer.data, answer.len);

		reader_bytes(&reader, ret_ca, 32);
		r = reader_done(&reader) ? 0 : -EPROTO;
	}
	buffer_done(&answer);
	return r;
}

int signer_check_proof(struct signer *s, const uint8_t public_key[32],
		       const uint8_t identity_key[32], const uint8_t proof[32])
{
	struct buffer request, answer;
	int r = request_begin(&request, SIGNER_PROOF);

	if (r == 0)
		r = buffer_append(&request, public_key, 32);
	if (r == 0)
		r = buffer_append(&request, identity_key, 32);
	if (r == 0)
		r = buffer_append(&request, proof, 32);
	r = call(s, &request, r, &answer);
	buffer_done(&answer);
	return r;
}

/* ---- life ---- */

static int set_limits(int fd)
{
	struct timeval limit = {.tv_sec = LIMIT_S};

	return setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
			       setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0
		       ? -errno
		       : 0;
}

int signer_new(const char *key_dir, struct signer **ret_signer, struct error *err)
{
	struct signer *s = calloc(1, sizeof(*s));
	pid_t parent = getpid();
	uint8_t key[32];
	int fds[2], r;

	if (!s)
		return error_set(err, -ENOMEM, "out of memory");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0) {
		r = error_set(err, -errno, "no socket pair for the signer: %s", strerror(errno));
		free(s);
		return r;
	}
	s->fd = fds[0];
	s->pid = fork();
	if (s->pid == 0) {
		close(fds[0]);
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		signer_child_main(fds[1], key_dir);
	}
	close(fds[1]);
	r = s->pid < 0 ? -errno : set_limits(s->fd);
	if (r == 0)
		r = signer_public(s, key, key, key);
	if (r < 0) {
		signer_free(s);
		return error_set(err, r,
				 "the signer did not start; its line above says why (keys in %s)",
				 key_dir);
	}
	*ret_signer = s;
	return 0;
}

bool signer_broken(const struct signer *s)
{
	return s->broken;
}

void signer_free(struct signer *s)
{
	if (!s)
		return;
	file_close(&s->fd); /* the child ends at end of file */
	if (s->pid > 0)
		(void)waitpid(s->pid, NULL, 0);
	free(s);
}
