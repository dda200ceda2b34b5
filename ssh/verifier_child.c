/* SPDX-License-Identifier: Apache-2.0
 *
 * The verifier process (ssh/PROTOCOL.md section 5): no privileges, few system calls, a judge.
 */
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "identity/signed.h"
#include "platform/buffer.h"
#include "platform/file.h"
#include "platform/sandbox.h"
#include "platform/secret.h"
#include "platform/unixsock.h"
#include "ssh/judge.h"
#include "ssh/monitor_wire.h"
#include "ssh/place.h"
#include "ssh/revoked.h"
#include "ssh/verifier_internal.h"

#define TRIM_AFTER_MS 1000

struct child {
	int fd;
	struct judge *judge;
};

static void put_decision(struct writer *w, const struct verifier_decision *d)
{
	writer_u8(w, d->allowed ? MONITOR_YES : MONITOR_NO);
	writer_cstring(w, d->identity);
	writer_cstring(w, d->caller_peer);
	writer_cstring(w, d->caller_name);
	writer_cstring(w, d->message);
	writer_u32(w, d->caps);
	writer_u8(w, d->files_only);
	writer_u8(w, d->pty);
	writer_u8(w, d->user_rc);
	writer_u8(w, d->break_glass);
	writer_cstring(w, d->force_command);
	writer_string(w, d->subject, d->subject_len);
	writer_u64(w, (uint64_t)d->again_at_s);
	writer_u32(w, (uint32_t)d->destination_count);
	for (size_t i = 0; i < d->destination_count; i++)
		writer_cstring(w, d->destinations[i]);
}

void verifier_get_addr(struct reader *r, struct ip_addr *ret_addr)
{
	ret_addr->family = reader_u8(r);
	reader_bytes(r, ret_addr->bytes, sizeof(ret_addr->bytes));
}

void verifier_put_addr(struct writer *w, const struct ip_addr *addr)
{
	writer_u8(w, addr->family);
	writer_bytes(w, addr->bytes, sizeof(addr->bytes));
}

static int child_config(struct child *c, struct reader *r)
{
	struct judge_trust trust = {0};

	reader_bytes(r, trust.signing_key, sizeof(trust.signing_key));
	reader_cstring(r, trust.network, sizeof(trust.network));
	reader_cstring(r, trust.peer_id, sizeof(trust.peer_id));
	trust.min_seq = reader_u64(r);
	trust.standalone = reader_u8(r) == 1;
	trust.break_glass_count = reader_u32(r);
	for (size_t i = 0; i < trust.break_glass_count && i < SSH_WIRE_BREAK_GLASS_MAX; i++)
		reader_bytes(r, trust.break_glass[i], sizeof(trust.break_glass[i]));
	trust.revoked_count = reader_u32(r);
	for (size_t i = 0; i < trust.revoked_count && i < SSH_WIRE_REVOKED_MAX; i++)
		trust.revoked[i] = reader_u64(r);
	if (!reader_done(r) || c->judge != NULL)
		return -EBADMSG;
	return judge_new(&trust, &c->judge);
}

static int child_object(struct child *c, struct reader *r, int fd, struct writer *w)
{
	int64_t now_s = (int64_t)reader_u64(r);
	struct buffer text;
	struct error err = {0};
	uint64_t seq = 0;
	bool enabled = false;
	int result;

	if (!reader_done(r) || fd < 0)
		return -EBADMSG;
	buffer_init(&text, SIGNED_MAX_BYTES);
	result = lseek(fd, 0, SEEK_SET) < 0 ? -errno : file_read_fd(fd, &text);
	if (result < 0)
		error_set(&err, result, "the object cannot be read");
	else
		result = judge_object(c->judge, (const char *)text.data, text.len, now_s, &seq,
				      &enabled, &err);
	buffer_done(&text);
	writer_u8(w, result == 0 ? MONITOR_YES : MONITOR_NO);
	writer_u64(w, seq);
	writer_u8(w, enabled);
	writer_cstring(w, judge_host_name(c->judge));
	writer_cstring(w, result == 0 ? "" : error_text(&err));
	return 0;
}

static int child_judge(struct child *c, uint8_t type, struct reader *r, struct writer *w)
{
	struct verifier_decision d = {0};
	const uint8_t *proof = NULL;
	size_t proof_len = 0;
	char login[64], session[80] = "";
	struct ip_addr client = {0};
	bool remember = false;
	int64_t now_s;

	if (type == VERIFIER_CERT || type == VERIFIER_GRANT)
		proof = reader_string(r, MONITOR_WIRE_MAX, &proof_len);
	if (type != VERIFIER_AGAIN) {
		reader_cstring(r, login, sizeof(login));
		verifier_get_addr(r, &client);
	}
	if (type == VERIFIER_GRANT)
		reader_cstring(r, session, sizeof(session));
	if (type == VERIFIER_CERT || type == VERIFIER_KEY)
		remember = reader_u8(r) == 1;
	now_s = (int64_t)reader_u64(r);
	if (!reader_done(r))
		return -EBADMSG;
	if (type == VERIFIER_CERT)
		judge_cert(c->judge, proof, proof_len, login, &client, now_s, remember, &d);
	else if (type == VERIFIER_GRANT)
		judge_grant(c->judge, (const char *)proof, proof_len, login, session, &client,
			    now_s, &d);
	else if (type == VERIFIER_MACHINE)
		judge_machine(c->judge, login, &client, now_s, &d);
	else if (type == VERIFIER_BANNER)
		judge_banner(c->judge, login, &client, now_s, &d);
	else if (type == VERIFIER_KEY)
		judge_key(c->judge, login, &client, now_s, remember, &d);
	else
		judge_again(c->judge, now_s, &d);
	put_decision(w, &d);
	return 0;
}

static int child_resolve(struct child *c, struct reader *r, struct writer *w)
{
	struct ip_addr addr = {0};
	char host[256];

	reader_cstring(r, host, sizeof(host));
	if (!reader_done(r))
		return -EBADMSG;
	if (judge_resolve(c->judge, host, &addr) < 0)
		addr.family = 0;
	verifier_put_addr(w, &addr);
	return 0;
}

static int child_token(struct child *c, struct reader *r, struct writer *w)
{
	static struct verifier_token token;
	struct verifier_decision d = {0};
	struct ip_addr client = {0};
	char login[64];
	int64_t now_s;

	reader_cstring(r, token.identity, sizeof(token.identity));
	token.auth_time_s = (int64_t)reader_u64(r);
	token.issued_s = (int64_t)reader_u64(r);
	token.group_count = reader_u32(r);
	if (token.group_count > VERIFIER_GROUPS_MAX)
		return -EBADMSG;
	for (size_t i = 0; i < token.group_count; i++)
		reader_cstring(r, token.groups[i], sizeof(token.groups[i]));
	reader_cstring(r, login, sizeof(login));
	verifier_get_addr(r, &client);
	now_s = (int64_t)reader_u64(r);
	if (!reader_done(r))
		return -EBADMSG;
	judge_token(c->judge, &token, login, &client, now_s, &d);
	put_decision(w, &d);
	return 0;
}

static int child_revoked(struct reader *r, int fd, struct writer *w)
{
	struct error err = {0};
	size_t len = 0;
	const uint8_t *blob = reader_string(r, MONITOR_WIRE_MAX, &len);
	int result;

	if (!reader_done(r) || blob == NULL || fd < 0)
		return -EBADMSG;
	result = revoked_judge_fd(fd, blob, len, &err);
	writer_u8(w, (uint8_t)(result < 0 ? 2 : result));
	writer_cstring(w, result < 0 ? error_text(&err) : "");
	return 0;
}

static int child_message(struct child *c, const uint8_t *data, size_t len, int fd)
{
	static uint8_t out[MONITOR_WIRE_MAX];
	struct writer w = writer_init(out, sizeof(out));
	struct reader r = reader_init(data, len);
	uint8_t type = reader_u8(&r);
	uint32_t id = reader_u32(&r);
	int result;

	if (type == VERIFIER_CONFIG)
		return child_config(c, &r);
	if (c->judge == NULL && type != VERIFIER_REVOKED)
		return -EBADMSG;
	writer_u8(&w, type);
	writer_u32(&w, id);
	if (type == VERIFIER_OBJECT)
		result = child_object(c, &r, fd, &w);
	else if (type == VERIFIER_REVOKED)
		result = child_revoked(&r, fd, &w);
	else if (type == VERIFIER_RESOLVE)
		result = child_resolve(c, &r, &w);
	else if (type >= VERIFIER_CERT && type <= VERIFIER_BANNER)
		result = child_judge(c, type, &r, &w);
	else if (type == VERIFIER_ISSUERS && reader_done(&r))
		writer_cstring(&w, judge_issuers(c->judge)), result = 0;
	else if (type == VERIFIER_TOKEN)
		result = child_token(c, &r, &w);
	else
		result = -EBADMSG;
	if (result < 0 || w.failed)
		return -EBADMSG;
	return unixsock_send(c->fd, out, w.len, NULL, 0);
}

static const char *const child_calls[] = {
	"read",
	"write",
	"close",
	"lseek",
	"fstat",
	"newfstatat",
	"recvmsg",
	"sendmsg",
	"brk",
	"mmap",
	"munmap",
	"mremap",
	"madvise",
	"mprotect",
	"mlock",
	"munlock",
	"futex",
	"getrandom",
	"clock_gettime",
	"rt_sigreturn",
	"rt_sigprocmask",
	"restart_syscall",
	"exit",
	"exit_group",
	"getpid",
	"gettid",
	"poll",
	"ppoll",
	NULL,
};

static const struct sandbox_profile child_profile = {.name = "verifier", .allow = child_calls};

static void close_all_but(int keep)
{
	close_range(0, (unsigned)keep - 1, 0);
	close_range((unsigned)keep + 1, ~0U, 0);
}

/* What JSON needed goes back when there was nothing to judge for a while: a login asks several times
 * at once. */
static ssize_t next_message(int fd, uint8_t *data, int *fds, size_t *nfds)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	if (poll(&p, 1, TRIM_AFTER_MS) == 0)
		malloc_trim(0);
	return unixsock_recv(fd, data, MONITOR_WIRE_MAX, fds, nfds, 0);
}

_Noreturn void verifier_child_run(int fd, const struct place *place)
{
	static uint8_t data[MONITOR_WIRE_MAX];
	struct child c = {.fd = fd};
	const char *how;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* Also seeds jansson, which finds no /dev/urandom later. */
	if (secret_process_init() < 0)
		_exit(1);
	if (geteuid() == 0 ? place_enter(place) < 0 : sandbox_without_root(&how) < 0)
		_exit(1);
	close_all_but(fd);
	if (sandbox_limits(0, 1, 1) < 0 || sandbox_apply(&child_profile, NULL) < 0)
		_exit(1);
	for (;;) {
		int fds[UNIXSOCK_MAX_FDS];
		size_t nfds = 0;
		ssize_t n = next_message(fd, data, fds, &nfds);
		int r;

		if (n == -EINTR)
			continue;
		if (n <= 0)
			_exit(n < 0);
		r = child_message(&c, data, (size_t)n, nfds == 1 ? fds[0] : -1);
		for (size_t i = 0; i < nfds; i++)
			close(fds[i]);
		if (r < 0)
			_exit(2);
	}
}
