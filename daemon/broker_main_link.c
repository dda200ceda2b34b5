/* SPDX-License-Identifier: Apache-2.0
 *
 * The broker's socket to main (daemon/PROTOCOL.md sections 1 and 2). Main is not believed: each
 * request is bounded here, and none can widen what root allowed. A message that does not parse
 * whole ends main, which is started anew.
 */
#include "daemon/broker_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/file.h"
#include "platform/log.h"
#include "platform/unixsock.h"

enum { MESSAGES_PER_TURN = 16 };

int broker_main_send(struct broker *b, const struct writer *w, const int *fds, size_t nfds)
{
	int rc;

	if (b->main.sock < 0)
		return -EAGAIN;
	rc = w->failed ? -EMSGSIZE : unixsock_send(b->main.sock, w->data, w->len, fds, nfds);
	return rc == -ENOBUFS ? -EAGAIN : rc;
}

/* For what main must not miss. */
static void must_send(struct broker *b, const struct writer *w)
{
	int rc;

	if (b->main.sock < 0)
		return;
	rc = broker_main_send(b, w, NULL, 0);
	if (rc == 0)
		return;
	log_error("main does not take messages: it is started anew", "error=%s", strerror(-rc));
	broker_children_restart_main(b);
}

/* Leaves room for fields: those who add some use reply_begin. */
static struct writer reply_begin(struct broker *b, uint32_t request, int rc, const char *sentence)
{
	struct writer w = writer_init(b->out, sizeof(b->out));

	wire_begin(&w, WIRE_REPLY, request);
	writer_u8(&w, rc < 0);
	writer_cstring(&w, rc < 0 ? sentence : "");
	return w;
}

void broker_main_reply(struct broker *b, uint32_t request, int rc, const char *sentence)
{
	struct writer w = reply_begin(b, request, rc, sentence);

	must_send(b, &w);
}

static int append_warning(struct buffer *out, const char *sentence)
{
	return sentence[0] ? buffer_printf(out, "%s%s", out->len ? "\n" : "", sentence) : 0;
}

/* What does not work, one sentence a line. */
static int warnings(const struct broker *b, struct buffer *out)
{
	int rc = 0;

	if (b->cannot)
		rc = append_warning(out, b->cannot);
	if (rc == 0 && b->privileged && !b->main_account)
		rc = append_warning(out,
				    "there is no account \"warren\": the daemon runs as nobody");
	if (rc == 0 && b->privileged && !b->engine_account)
		rc = append_warning(
			out, "there is no account \"warren-engine\": the data path runs as nobody");
	if (rc == 0 && b->privileged && b->state.switches.allow_server_ssh && !b->ssh.program[0])
		rc = append_warning(out, "warren-ssh-session is not installed: SSH is not served");
	if (rc == 0 && b->state.pin.held && b->state.switches.allow_server_ssh)
		rc = append_warning(out, "this machine was enrolled as another peer: SSH is not "
					 "served until root says `warren up --allow-server-ssh`");
	for (size_t i = 0; rc == 0 && i < b->break_glass.count; i++) {
		char print[BREAK_GLASS_FINGERPRINT], text[160];

		break_glass_fingerprint(b->break_glass.keys[i], print);
		snprintf(text, sizeof(text),
			 "a break-glass CA is pinned here: certificates of %s log in without the "
			 "control server",
			 print);
		rc = append_warning(out, text);
	}
	if (rc == 0)
		rc = append_warning(out, b->net.ssh_note);
	if (rc == 0)
		rc = append_warning(out, b->ssh.sshd.note);
	return rc;
}

void broker_main_tell_switches(struct broker *b)
{
	struct writer w = writer_init(b->out, sizeof(b->out));
	json_t *object = switches_json(&b->state.switches);
	char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
	struct buffer notes;

	buffer_init(&notes, 8192);
	if (text && warnings(b, &notes) == 0) {
		wire_begin(&w, WIRE_SWITCHES, 0);
		writer_cstring(&w, text);
		writer_cstring(&w, b->hostkey.line);
		writer_string(&w, notes.data, notes.len);
		must_send(b, &w);
	}
	buffer_done(&notes);
	free(text);
	json_decref(object);
}

void broker_main_tell_control(struct broker *b)
{
	const struct switches_control *c = &b->state.control;
	struct writer w = writer_init(b->out, sizeof(b->out));

	if (c->url[0] == '\0')
		return;
	wire_begin(&w, WIRE_CONTROL, 0);
	writer_cstring(&w, c->url);
	writer_u8(&w, c->has_fingerprint);
	writer_bytes(&w, c->fingerprint, sizeof(c->fingerprint));
	must_send(b, &w);
}

void broker_main_tell_link(struct broker *b, bool up)
{
	struct writer w = writer_init(b->out, sizeof(b->out));

	wire_begin(&w, WIRE_LINK, 0);
	writer_u8(&w, up);
	must_send(b, &w);
}

void broker_main_tell_session(struct broker *b, struct broker_session *s)
{
	struct writer w = writer_init(b->out, sizeof(b->out));
	int rc;

	wire_begin(&w, WIRE_SESSION, 0);
	writer_u32(&w, s->id);
	writer_string(&w, s->json, s->json_len);
	rc = broker_main_send(b, &w, NULL, 0);
	s->unsent = rc == -EAGAIN && b->main.sock >= 0;
	s->told = s->told || rc == 0;
}

static void get_prefix(struct reader *r, uint8_t family, struct ip_prefix *ret_prefix)
{
	*ret_prefix = (struct ip_prefix){.addr = {.family = family}};
	reader_bytes(r, ret_prefix->addr.bytes, family == 4 ? 4 : 16);
	ret_prefix->bits = reader_u8(r);
	if (ret_prefix->bits > (family == 4 ? 32 : 128))
		r->failed = true;
}

/* All zero: this network has no such family. */
static void forget_empty(struct ip_prefix *addr, struct ip_prefix *route)
{
	static const uint8_t zero[16];

	if (memcmp(addr->addr.bytes, zero, sizeof(zero)) != 0)
		return;
	*addr = (struct ip_prefix){0};
	*route = (struct ip_prefix){0};
}

/* Host bits of a route are cleared. */
static void mask(struct ip_prefix *p)
{
	for (unsigned i = 0; i < 16; i++) {
		unsigned from = i * 8;

		if (from >= p->bits)
			p->addr.bytes[i] = 0;
		else if (p->bits - from < 8)
			p->addr.bytes[i] &= (uint8_t)(0xff00U >> (p->bits - from));
	}
}

static int on_configure(struct broker *b, uint32_t id, struct reader *r)
{
	struct broker_config config;
	struct error err = {0};
	struct writer w;
	int rc;

	get_prefix(r, 4, &config.addr4);
	get_prefix(r, 6, &config.addr6);
	get_prefix(r, 4, &config.route4);
	get_prefix(r, 6, &config.route6);
	config.mtu = reader_u16(r);
	config.port = reader_u16(r);
	if (!reader_done(r))
		return -EBADMSG;
	mask(&config.route4);
	mask(&config.route6);
	forget_empty(&config.addr4, &config.route4);
	forget_empty(&config.addr6, &config.route6);
	broker_ssh_teardown_now(b);
	rc = broker_net_configure(b, &config, &err);
	if (rc < 0)
		log_error("cannot bring the interface up", "error=%s", error_text(&err));
	w = reply_begin(b, id, rc, error_text(&err));
	if (rc == 0) {
		writer_cstring(&w, b->net.ifname);
		writer_u16(&w, b->net.port);
		writer_u8(&w, b->net.ssh_mode);
	}
	must_send(b, &w);
	if (rc == 0)
		broker_main_tell_switches(b); /* its warnings may have changed */
	return 0;
}

static int on_pin(struct broker *b, uint32_t id, struct reader *r)
{
	struct switches_pin pin = {.set = true};
	struct error err = {0};
	int rc;

	reader_bytes(r, pin.signing_key, sizeof(pin.signing_key));
	reader_cstring(r, pin.network, sizeof(pin.network));
	reader_cstring(r, pin.peer_id, sizeof(pin.peer_id));
	if (!reader_done(r))
		return -EBADMSG;
	rc = broker_state_pin(b, &pin, &err);
	broker_main_reply(b, id, rc, error_text(&err));
	if (rc == 0)
		broker_main_tell_switches(b); /* its warnings may have changed */
	return 0;
}

static int on_user_dir(struct broker *b, uint32_t id, struct reader *r)
{
	uint32_t uid = reader_u32(r);
	struct error err = {0};
	int rc;

	if (!reader_done(r))
		return -EBADMSG;
	rc = broker_userdir_make(uid, &err);
	broker_main_reply(b, id, rc, error_text(&err));
	return 0;
}

static int on_session_end(struct broker *b, uint32_t id, struct reader *r)
{
	uint32_t session = reader_u32(r);
	bool found;

	if (!reader_done(r))
		return -EBADMSG;
	if (session == 0) {
		broker_ssh_end_all(b, "this machine was removed from the network");
		broker_main_reply(b, id, 0, "");
		return 0;
	}
	found = broker_ssh_end(b, session, "ended by an administrator of this machine");
	broker_main_reply(b, id, found ? 0 : -ENOENT, "there is no such session");
	return 0;
}

static int on_empty(struct broker *b, uint8_t type, uint32_t id, const struct reader *r)
{
	struct error err = {0};
	int rc = 0;

	if (!reader_done(r))
		return -EBADMSG;
	if (type == WIRE_TEARDOWN) {
		broker_names_remove(b);
		broker_ssh_teardown(b, id);
		return 0;
	}
	rc = broker_state_leave(b, &err);
	broker_main_reply(b, id, rc, error_text(&err));
	return 0;
}

static int on_ssh_names(struct broker *b, uint32_t id, struct reader *r)
{
	int rc = broker_names_set(b, r);

	if (rc == 0)
		broker_main_reply(b, id, 0, "");
	return rc;
}

/* *ret_taken: the descriptor has a new owner. */
static int dispatch(struct broker *b, struct reader *r, const int *fds, size_t nfds,
		    bool *ret_taken)
{
	uint8_t type = reader_u8(r);
	uint32_t id = reader_u32(r);

	if (r->failed || nfds != (type == WIRE_SSH_OBJECT ? 1 : 0))
		return -EBADMSG;
	switch (type) {
	case WIRE_CONFIGURE:
		return on_configure(b, id, r);
	case WIRE_TEARDOWN:
	case WIRE_FORGET:
		return on_empty(b, type, id, r);
	case WIRE_USER_DIR:
		return on_user_dir(b, id, r);
	case WIRE_SSH_OBJECT:
		if (!reader_done(r))
			return -EBADMSG;
		*ret_taken = true;
		broker_object_offer(b, id, fds[0]);
		return 0;
	case WIRE_PIN:
		return on_pin(b, id, r);
	case WIRE_SESSION_END:
		return on_session_end(b, id, r);
	case WIRE_SSH_NAMES:
		return on_ssh_names(b, id, r);
	default:
		return -EBADMSG;
	}
}

void broker_main_ready(struct broker *b, int fd, void *ctx)
{
	(void)ctx;
	for (int i = 0; i < MESSAGES_PER_TURN && b->main.sock == fd; i++) {
		int fds[UNIXSOCK_MAX_FDS];
		size_t nfds = 0;
		bool taken = false;
		struct reader r;
		ssize_t n = unixsock_recv(fd, b->in, sizeof(b->in), fds, &nfds, MSG_DONTWAIT);
		uint8_t type;
		int rc;

		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			broker_children_restart_main(b);
			return;
		}
		type = b->in[0];
		r = reader_init(b->in, (size_t)n);
		rc = dispatch(b, &r, fds, nfds, &taken);
		for (size_t k = 0; k < nfds && !taken; k++)
			close(fds[k]);
		if (rc < 0) {
			log_error("a message of main does not parse: it is started anew", "type=%u",
				  type);
			broker_children_restart_main(b);
		}
	}
}
