/* SPDX-License-Identifier: Apache-2.0
 *
 * State shared by the files of the control client: control_client.c (trust, calls),
 * control_client_server.c, control_client_enroll.c, control_client_stream.c.
 */
#ifndef WARREN_DAEMON_CONTROL_CLIENT_INTERNAL_H
#define WARREN_DAEMON_CONTROL_CLIENT_INTERNAL_H

#include "control/proto/httpsig.h"
#include "daemon/control_client.h"
#include "platform/buffer.h"

#define CONTROL_BODY_MAX (1u << 20) /* bytes of an answer */

struct control_waiter {
	struct control_waiter *next;
	control_server_cb *done;
	void *ctx;
};

struct control_client {
	uv_loop_t *loop;
	struct http *http;
	const struct clock *clock;
	const struct random_source *random;
	struct control_client_ops ops;
	const struct state_keys *keys;

	char url[256];	     /* no final slash */
	char authority[256]; /* as curl writes Host */
	bool pinned, has_fingerprint;
	uint8_t signing_key[32], fingerprint[16];
	struct control_pin pin; /* peer "" until identified */

	struct control_server server;
	bool known;
	bool outdated; /* the stream broke: a server that starts anew may describe itself otherwise */
	struct http_request *fetch;
	struct control_waiter *waiters, *telling;

	struct control_call *calls;

	/* control_client_stream.c */
	struct control_map *map;
	struct http_request *stream;
	uv_timer_t timer;
	bool streaming, connected, stopping, kicked;
	bool resync;
	unsigned failures;
	struct buffer line;
	struct error stream_error;
};

struct control_call {
	struct control_call *next, **link;
	struct control_client *client;
	struct http_request *request;
	control_reply_cb *done;
	void *ctx;
	char method[8], path[512], query[512];
	char *body; /* text or NULL; wiped */
	size_t body_len;
	unsigned timeout_ms;
	char setup_keyid[64]; /* enrolment with a setup key */
	uint8_t setup_secret[64];
	bool enrolment;
	bool retried, cancelled;
};

/* A call ready to run; fields beyond method and path may still be set, then control_call_run. */
int control_call_new(struct control_client *c, const char *method, const char *path,
		     const char *query, const json_t *body, control_reply_cb *done, void *ctx,
		     struct control_call **ret_call) WARREN_MUST_USE;
/* control_client_server, asking the server again when what is known is outdated. */
void control_client_server_anew(struct control_client *c, control_server_cb *done, void *ctx);
/* Waits for the server's keys, then sends. */
void control_call_run(struct control_call *call);
/* Header lines of a signed request: out[5] ends with NULL, storage in h. */
int control_client_sign(struct control_client *c, const struct control_call *call,
			struct httpsig_headers *h) WARREN_MUST_USE;
void control_client_trust(const struct control_client *c, struct http_trust *ret_trust);
/* Another key or certificate was met: fetch the server object again before the next request. */
void control_client_distrust(struct control_client *c);

/* A sentence for a request that got no answer. */
void control_client_unreachable(const struct control_client *c,
				const struct http_response *response, struct error *err);

int64_t control_client_now_s(const struct control_client *c);
/* What to do about a clock that is off. */
void control_client_clock_sentence(const struct control_client *c, int64_t server_s, char *out,
				   size_t cap);

void control_stream_init(struct control_client *c);
void control_stream_done(struct control_client *c);

#endif
