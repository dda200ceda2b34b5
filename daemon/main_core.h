/* SPDX-License-Identifier: Apache-2.0
 *
 * The context of main, shared by the files main_*.c, login.c and openssh.c: one loop, one thread.
 */
#ifndef WARREN_DAEMON_MAIN_CORE_H
#define WARREN_DAEMON_MAIN_CORE_H

#include <jansson.h>
#include <net/if.h>
#include <stdbool.h>
#include <uv.h>

#include "daemon/control_client.h"
#include "daemon/ipc_server.h"
#include "daemon/main_link.h"
#include "daemon/path.h"
#include "daemon/peers.h"
#include "daemon/state_file.h"
#include "daemon/wire.h"
#include "platform/clock.h"
#include "platform/error.h"

struct http;
struct login_service;
struct logouts;
struct openssh;
struct main_apply;
struct main_names;
struct main_monitor;
struct main_up;
struct main_ping;

struct main_options {
	char socket[108], interface[IFNAMSIZ];
	uint16_t port, mtu; /* mtu 0: not configured */
	struct ip_prefix prefix4, prefix6;
	bool privileged, engine;
	char issuer_ca_file[256]; /* "": the system's CAs */
};

struct main_core {
	uv_loop_t *loop;
	const struct clock *clock;
	const struct random_source *random;
	int state_fd;
	int exit_status;
	bool stopping;
	struct main_options options;

	struct state_keys *keys;
	struct state_network network;
	struct error state_error; /* code != 0: a state file is damaged, nothing is done */

	struct main_link *broker, *engine; /* engine NULL without one */
	struct http *http;
	struct control_client *control;
	struct control_map map;
	struct control_pin pin;
	char control_error[512]; /* last failure of the stream, "" */
	char removed[256];	 /* control says that we are not in the network (any more) */
	bool enrolling;		 /* an `up` is at it */

	/* Of the map in force; NULL until one was applied. */
	struct peers *peers;
	struct policy *policy;
	struct policy_world *world;
	int64_t policy_change_s; /* when its times change what it says; 0: never */
	bool map_was_valid;

	/* What the broker says. */
	json_t *switches; /* object or NULL */
	char host_key[1024], broker_warnings[2048];
	char control_url[256]; /* that root chose, "": none */
	bool control_has_fingerprint;
	uint8_t control_fingerprint[16];

	char interface[IFNAMSIZ]; /* "" while not configured */
	uint16_t port;
	uint8_t ssh_mode;

	struct path *path;
	struct peers_engine counters; /* last `get=1` */
	struct main_apply *apply;
	struct main_names *names; /* NULL: none were told */
	struct main_up *ups;
	struct main_ping *pings;
	uint64_t ping_token;
	struct main_monitor *monitors;
	json_t *sessions; /* object: id → state */
	struct ipc_server *ipc;
	struct login_service *login;
	struct logouts *logouts;
	struct openssh *openssh;
	char *self_sent; /* last body of PUT /v1/self that was taken */

	uv_timer_t path_timer, tick_timer, network_timer;
	uv_poll_t netlink;
	int netlink_fd;
	struct endpoint addresses[PATH_MAX_LOCAL]; /* of this machine's interfaces */
	size_t address_count;
	uint64_t paths_saved_ns;
	json_t *paths_saved; /* what paths.json has */
	uv_signal_t sigterm, sigint;
};

static inline uint64_t main_now_ns(const struct main_core *m)
{
	return clock_monotonic_ns(m->clock);
}

static inline int64_t main_now_s(const struct main_core *m)
{
	return clock_realtime_s(m->clock);
}

bool main_switch(const struct main_core *m, const char *name);
/* Ends the process: the broker starts it again. */
void main_stop(struct main_core *m, int exit_status);

/* ---- main_broker.c */
int main_broker_open(struct main_core *m, struct error *err) WARREN_MUST_USE;
/* An answer of the broker: ok, its sentence, and the fields after it (reader valid during the
 * call). r NULL: the broker is gone. */
typedef void main_broker_cb(struct main_core *m, void *ctx, bool ok, const char *sentence,
			    struct reader *r);
/* Puts a message with no fields, or with those of *fields. fd -1: none. */
void main_broker_request(struct main_core *m, uint8_t type, const struct writer *fields, int fd,
			 main_broker_cb *done, void *ctx);

/* ---- main_engine.c */
int main_engine_open(struct main_core *m, struct error *err) WARREN_MUST_USE;
/* result 0 and the whole reply, or -errno. text is a request without its final empty line. */
typedef void main_engine_cb(struct main_core *m, void *ctx, int result, const char *reply,
			    size_t len);
void main_engine_uapi(struct main_core *m, const void *text, size_t len, main_engine_cb *done,
		      void *ctx);
void main_engine_policy(struct main_core *m, const void *block, size_t len, main_engine_cb *done,
			void *ctx);
void main_engine_send(struct main_core *m, const struct endpoint *to, const void *data, size_t len);
void main_engine_up(struct main_core *m, bool up);
/* Asks for the counters: m->counters is fresh when done comes (result 0). */
void main_engine_refresh(struct main_core *m, main_engine_cb *done, void *ctx);
/* A sealed memfd of the bytes, or -errno. */
int main_memfd(const char *name, const void *data, size_t len) WARREN_MUST_USE;

/* ---- main_apply.c: makes broker, engine and path machine agree with the map */
int main_apply_new(struct main_core *m) WARREN_MUST_USE;
/* Soon; runs again when something changed meanwhile. */
void main_apply(struct main_core *m);
/* Was all that was asked for applied? */
bool main_apply_done(const struct main_core *m);
/* Is some map in force in broker and engine? */
bool main_apply_in_force(const struct main_core *m);
/* Was something of the last map not put in force? */
bool main_apply_failed(const struct main_core *m);
/* The last failure, or "". */
const char *main_apply_error(const struct main_core *m);
void main_apply_forget_error(struct main_core *m);
/* Everything is taken down; done(ctx, sentence or NULL). */
void main_apply_teardown(struct main_core *m, main_broker_cb *done, void *ctx);

/* ---- main_names.c: what ssh has to ask about */
void main_names_tell(struct main_core *m);
/* The broker has none any more. */
void main_names_forget(struct main_core *m);

/* ---- main_control.c: events of the control client, PUT /v1/self */
void main_control_ops(struct main_core *m, struct control_client_ops *ret_ops);
/* Loads the saved map and starts the stream when we are enrolled and wanted up. */
void main_control_resume(struct main_core *m);
void main_control_put_self(struct main_core *m);
/* Uses m->network and m->keys for the control client. */
int main_control_configure(struct main_core *m, struct error *err) WARREN_MUST_USE;

/* ---- main_network.c: netlink, STUN servers, local candidates */
int main_network_open(struct main_core *m) WARREN_MUST_USE;
void main_network_candidates(struct main_core *m);
void main_network_stun(struct main_core *m);
void main_network_path_tick(struct main_core *m);

/* ---- main_up.c, main_down.c: up, down, leaving */
void main_up(struct main_core *m, struct ipc_request *r);
void main_down(struct main_core *m, struct ipc_request *r);
void main_deregister(struct main_core *m, struct ipc_request *r);
/* Something changed that an `up` may wait for. */
void main_up_check(struct main_core *m);

/* ---- main_status.c */
void main_status(struct main_core *m, struct ipc_request *r);
void main_peers(struct main_core *m, struct ipc_request *r);
void main_why(struct main_core *m, struct ipc_request *r);
void main_sessions(struct main_core *m, struct ipc_request *r);
void main_policy_explain(struct main_core *m, struct ipc_request *r);
void main_bundle(struct main_core *m, struct ipc_request *r);

/* ---- main_ping.c */
void main_ping(struct main_core *m, struct ipc_request *r);
void main_ping_pong(struct main_core *m, uint64_t token, uint64_t rtt_ns,
		    const struct endpoint *ep);

/* ---- main_monitor.c */
void main_monitor_new(struct main_core *m, uint32_t session_id, int fd);
void main_monitor_login_changed(struct main_core *m, const char *id);

/* ---- main_token.c */
void main_ssh_token(struct main_core *m, struct ipc_request *r);

/* ---- main_ipc.c */
void main_ipc_dispatch(void *ctx, struct ipc_request *r);
/* Finds a peer by what a person wrote; answers the request with a sentence when there is none. */
const struct peer *main_ipc_peer(struct main_core *m, struct ipc_request *r);

#endif
