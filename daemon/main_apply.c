/* SPDX-License-Identifier: Apache-2.0
 *
 * From a verified map to packets: broker (interface), engine (policy), broker (SSH object), engine (peers), path
 * machine, in this order, one run at a time; what changes meanwhile makes another run. SSH is served
 * before a peer can send a packet, so none meets what else listens on port 22. Fails closed: a policy
 * that does not compile, or a map that has ended, is replaced by one that denies everything.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/main_core.h"
#include "platform/file.h"
#include "platform/log.h"

#define DEFAULT_MTU 1420
#define MAX_CONFIG  (8u << 20)

struct main_apply {
	bool asked; /* a run is due */
	bool running, again;
	bool done;	 /* the last run got through, and nothing was taken down since */
	bool reconciled; /* what the engine still had was looked at */
	int64_t revision; /* of the map that the run is about */
	char *ssh_sent;
	bool ssh_refused; /* by the broker, which goes on with the object of before */
	struct buffer text; /* request to the engine under way */
	char error[512];
	uv_async_t async;
};

/* ---- steps, last first */

static void finish(struct main_core *m, const char *error)
{
	struct main_apply *a = m->apply;

	a->running = false;
	a->done = error == NULL;
	if (error != NULL && strcmp(error, a->error) != 0)
		log_error("the map could not be applied", "reason=\"%s\"", error);
	else if (error == NULL)
		log_debug("the map is in force", "revision=%lld", (long long)a->revision);
	(void)snprintf(a->error, sizeof(a->error), "%s", error == NULL ? "" : error);
	if (a->again) {
		a->again = false;
		main_apply(m);
	}
	main_up_check(m);
}

/* Peers are probed once when the mesh comes up or they join it, so that `status` knows them. */
static void probe_all(struct main_core *m)
{
	uint64_t now_ns = main_now_ns(m);

	if (m->peers->count > 256)
		return;
	for (size_t i = 0; i < m->peers->count; i++)
		path_want(m->path, m->peers->list[i].node_key, now_ns);
}

/* Endpoints that may still be good: the engine's (main was started again), else the saved ones. */
static void hint_paths(struct main_core *m)
{
	json_t *saved = state_file_paths(m->state_fd);

	for (size_t i = 0; i < m->peers->count; i++) {
		const struct peer *p = &m->peers->list[i];
		const struct peers_engine_peer *e = peers_engine_find(&m->counters, p->node_key);
		const char *text = json_string_value(json_object_get(saved, p->id));
		struct endpoint ep;

		if (e != NULL && endpoint_is_set(&e->endpoint))
			path_hint(m->path, p->node_key, &e->endpoint);
		if (text != NULL && endpoint_parse(text, &ep) == 0)
			path_hint(m->path, p->node_key, &ep);
	}
	json_decref(saved);
}

static void on_configured_peers(struct main_core *m, void *ctx, int result, const char *reply,
				size_t len)
{
	struct main_apply *a = m->apply;

	(void)ctx;
	buffer_reset(&a->text);
	if (result < 0) {
		char text[128];

		(void)snprintf(text, sizeof(text), "the engine refused the peers (%.*s)", 20,
			       reply == NULL ? "" : reply);
		finish(m, text);
		return;
	}
	main_engine_up(m, true);
	/* A path may have been proven before the engine knew its peer. */
	if (len > 0)
		path_announce(m->path);
	if (m->removed[0] == '\0') {
		path_set_active(m->path, true, main_now_ns(m));
		if (!a->reconciled)
			hint_paths(m);
		a->reconciled = true;
		probe_all(m);
	}
	main_names_tell(m);
	main_network_path_tick(m);
	finish(m, NULL);
}

static void on_engine_state(struct main_core *m, void *ctx, int result, const char *reply,
			    size_t len)
{
	struct main_apply *a = m->apply;
	size_t changes = 0;

	(void)ctx;
	(void)reply;
	(void)len;
	if (result < 0) {
		finish(m, "the engine does not answer");
		return;
	}
	buffer_reset(&a->text);
	if (peers_engine_diff(m->peers, &m->counters, m->keys->node_secret, &a->text, &changes) <
	    0) {
		finish(m, "no memory for the peers");
		return;
	}
	if (changes == 0) {
		on_configured_peers(m, NULL, 0, "", 0);
		return;
	}
	log_info("configuring peers", "changes=%zu peers=%zu", changes, m->peers->count);
	main_engine_uapi(m, a->text.data, a->text.len, on_configured_peers, NULL);
}

/* The mesh comes up without SSH where the broker refuses the object. */
static void on_ssh_object(struct main_core *m, void *ctx, bool ok, const char *sentence,
			  struct reader *r)
{
	(void)r;
	(void)ctx;
	m->apply->ssh_refused = !ok;
	if (!ok) {
		log_warn("the broker refused the SSH object", "sentence=\"%s\"", sentence);
		free(m->apply->ssh_sent);
		m->apply->ssh_sent = NULL;
	}
	if (m->network.wanted_up)
		main_engine_refresh(m, on_engine_state, NULL);
	else
		finish(m, NULL); /* taken down meanwhile */
}

static void send_ssh_object(struct main_core *m)
{
	struct main_apply *a = m->apply;
	const json_t *component = map_get(m->map.map, "ssh");
	const char *text = json_string_value(json_object_get(component, "signed"));
	bool known = text == NULL || (a->ssh_sent != NULL && strcmp(a->ssh_sent, text) == 0);
	int fd = known ? -1 : main_memfd("warren-ssh-object", text, strlen(text));

	if (fd < 0) {
		a->ssh_refused = !known;
		if (!known)
			log_error("no memory for the SSH object", NULL);
		main_engine_refresh(m, on_engine_state, NULL);
		return;
	}
	free(a->ssh_sent);
	a->ssh_sent = strdup(text);
	main_broker_request(m, WIRE_SSH_OBJECT, NULL, fd, on_ssh_object, NULL);
	file_close(&fd);
}

static void on_policy(struct main_core *m, void *ctx, int result, const char *reply, size_t len)
{
	(void)ctx;
	(void)reply;
	(void)len;
	if (result < 0) {
		finish(m, "the engine refused the compiled policy");
		return;
	}
	send_ssh_object(m);
}

static int compile(struct main_core *m, bool deny_all, void **ret_block, size_t *ret_len,
		   struct error *err)
{
	struct policy *empty = NULL;
	int r;

	if (!deny_all)
		return policy_compile(m->policy, m->world, m->peers->self.id, main_now_s(m),
				      ret_block, ret_len, err);
	r = policy_parse("policy", "{}", 2, &empty, err);
	if (r == 0)
		r = policy_compile(empty, m->world, m->peers->self.id, main_now_s(m), ret_block,
				   ret_len, err);
	policy_free(empty);
	return r;
}

static void apply_policy(struct main_core *m)
{
	bool deny_all = !control_map_valid(&m->map, main_now_s(m));
	struct error err = {0};
	void *block = NULL;
	size_t len = 0;
	int r = compile(m, deny_all, &block, &len, &err);

	if (r < 0 && !deny_all) {
		log_error("the policy does not compile: nothing passes", "reason=\"%s\"", err.text);
		r = compile(m, true, &block, &len, &err);
	}
	if (r < 0) {
		finish(m, error_text(&err));
		return;
	}
	main_engine_policy(m, block, len, on_policy, NULL);
	free(block);
}

static void on_configured(struct main_core *m, void *ctx, bool ok, const char *sentence,
			  struct reader *r)
{
	char interface[IFNAMSIZ];
	uint16_t port;
	uint8_t mode;

	(void)ctx;
	if (!ok) {
		finish(m, sentence);
		return;
	}
	reader_cstring(r, interface, sizeof(interface));
	port = reader_u16(r);
	mode = reader_u8(r);
	if (!reader_done(r)) {
		r->failed = true;
		finish(m, "the broker's answer does not parse");
		return;
	}
	memcpy(m->interface, interface, sizeof(interface));
	m->port = port;
	m->ssh_mode = mode;
	main_network_candidates(m);
	apply_policy(m);
}

static void put_addr(struct writer *w, const struct ip_addr *addr, uint8_t bits)
{
	writer_bytes(w, addr->bytes, addr->family == 4 ? 4 : 16);
	writer_u8(w, bits);
}

static void configure(struct main_core *m)
{
	const struct peers *p = m->peers;
	uint16_t mtu = m->network.mtu != 0   ? m->network.mtu
		       : m->options.mtu != 0 ? m->options.mtu
					     : DEFAULT_MTU;
	uint8_t fields[64];
	struct writer w = writer_init(fields, sizeof(fields));

	put_addr(&w, &p->self.overlay4, 32);
	put_addr(&w, &p->self.overlay6, 128);
	put_addr(&w, &p->prefix4.addr, p->prefix4.bits);
	put_addr(&w, &p->prefix6.addr, p->prefix6.bits);
	writer_u16(&w, mtu);
	writer_u16(&w, m->options.port);
	main_broker_request(m, WIRE_CONFIGURE, &w, -1, on_configured, NULL);
}

/* ---- the beginning */

static int path_peers(struct main_core *m)
{
	struct path_peer_config *list = calloc(m->peers->count + 1, sizeof(*list));
	int r;

	if (list == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < m->peers->count; i++) {
		list[i].id = m->peers->list[i].id;
		list[i].name = m->peers->list[i].name;
		memcpy(list[i].node_key, m->peers->list[i].node_key, 32);
		memcpy(list[i].path_key, m->peers->list[i].path_key, 32);
	}
	r = path_set_peers(m->path, list, m->peers->count, main_now_ns(m));
	free(list);
	return r;
}

/* Reads the map into m->peers, m->policy and m->world: all or nothing. */
static int read_map(struct main_core *m, struct error *err)
{
	struct policy_world *world = NULL;
	struct policy *policy = NULL;
	struct peers *peers = NULL;
	int r = peers_read(m->map.map, &peers, err);

	if (r < 0)
		return r;
	peers->self.ssh_advertised = main_switch(m, "allow_server_ssh");
	r = peers_world(peers, m->map.map, false, &world, &policy, err);
	if (r < 0) {
		log_error("the policy of the map is not understood: nothing passes",
			  "reason=\"%s\"", error_text(err));
		r = peers_world(peers, m->map.map, true, &world, &policy, err);
	}
	if (r < 0) {
		peers_free(peers);
		return r;
	}
	peers_free(m->peers);
	policy_free(m->policy);
	policy_world_free(m->world);
	m->peers = peers;
	m->policy = policy;
	m->world = world;
	m->policy_change_s = policy_next_change(policy, main_now_s(m));
	m->map_was_valid = control_map_valid(&m->map, main_now_s(m));
	return 0;
}

static void run(struct main_core *m)
{
	struct main_apply *a = m->apply;
	struct error err = {0};

	a->asked = false;
	if (a->running) {
		a->again = true;
		return;
	}
	if (m->stopping || m->broker == NULL || !m->network.wanted_up || m->map.map == NULL)
		return;
	a->running = true;
	a->revision = m->map.revision;
	if (read_map(m, &err) < 0) {
		finish(m, error_text(&err));
		return;
	}
	path_set_overlay(m->path, &m->peers->prefix4, &m->peers->prefix6);
	if (path_peers(m) < 0) {
		finish(m, "no memory for the peers");
		return;
	}
	main_network_stun(m);
	configure(m);
}

static void on_async(uv_async_t *async)
{
	run(async->data);
}

void main_apply(struct main_core *m)
{
	if (m->apply == NULL)
		return;
	m->apply->asked = true;
	(void)uv_async_send(&m->apply->async);
}

bool main_apply_done(const struct main_core *m)
{
	const struct main_apply *a = m->apply;

	return !a->asked && !a->running && !a->again && main_apply_in_force(m);
}

bool main_apply_in_force(const struct main_core *m)
{
	return m->apply->done && m->interface[0] != '\0';
}

bool main_apply_failed(const struct main_core *m)
{
	const struct main_apply *a = m->apply;

	return !a->running && (a->error[0] != '\0' || a->ssh_refused);
}

const char *main_apply_error(const struct main_core *m)
{
	return m->apply->error;
}

void main_apply_forget_error(struct main_core *m)
{
	m->apply->error[0] = '\0';
}

/* ---- down */

void main_apply_teardown(struct main_core *m, main_broker_cb *done, void *ctx)
{
	struct main_apply *a = m->apply;

	path_set_active(m->path, false, main_now_ns(m));
	main_engine_up(m, false);
	m->interface[0] = '\0';
	a->done = a->reconciled = false;
	a->error[0] = '\0';
	main_names_forget(m);
	main_broker_request(m, WIRE_TEARDOWN, NULL, -1, done, ctx);
}

int main_apply_new(struct main_core *m)
{
	struct main_apply *a = calloc(1, sizeof(*a));
	int r;

	if (a == NULL)
		return -ENOMEM;
	buffer_init(&a->text, MAX_CONFIG);
	r = uv_async_init(m->loop, &a->async, on_async);
	if (r < 0) {
		free(a);
		return r;
	}
	a->async.data = m;
	m->apply = a;
	return 0;
}
