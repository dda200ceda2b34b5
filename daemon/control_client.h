/* SPDX-License-Identifier: Apache-2.0
 *
 * Client of the control server (control/PROTOCOL.md): trust in the server, signed requests,
 * enrolment, the map stream with its reconnects. On the loop's thread; callbacks never come from
 * within the call that started them unless said.
 */
#ifndef WARREN_DAEMON_CONTROL_CLIENT_H
#define WARREN_DAEMON_CONTROL_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "daemon/control_client_map.h"
#include "daemon/state_file.h"
#include "identity/http.h"
#include "platform/clock.h"
#include "platform/error.h"

struct control_client;
struct control_call;

#define CONTROL_MAX_STUN 8

/* What GET /v1/server says, verified. */
struct control_server {
	uint8_t signing_key[32], enroll_key[32];
	char network[32], domain[128];
	char pins[1024]; /* for http_trust.pinned_spki */
	char issuer[256], client_id[128];
	bool embedded;
	char user_claim[64];
	/* Logins show an access token made for this audience; "": an id token. */
	char access_audience[300], resource[256];
	int64_t login_max_age_s;
	uint16_t redirect_ports[8]; /* of loopback redirects; count 0: any */
	size_t redirect_port_count;
	size_t stun_count;
	char stun[CONTROL_MAX_STUN][128];
	int64_t valid_until_s;
};

struct control_client_ops {
	void *ctx;
	/* The stream came up, or broke (with a sentence). */
	void (*connection)(void *ctx, bool connected, const char *sentence);
	void (*map_changed)(void *ctx, bool components);
	void (*signal)(void *ctx, const char *from, const uint8_t *box, size_t len);
	void (*ssh_login)(void *ctx, const char *id);
	/* This peer is no longer in the network. */
	void (*removed)(void *ctx, const char *sentence);
};

int control_client_new(uv_loop_t *loop, struct http *http, const struct clock *clock,
		       const struct random_source *random, const struct control_client_ops *ops,
		       struct control_client **ret_client) WARREN_MUST_USE;
void control_client_free(struct control_client *c);

/* Which server, and who we are. keys are borrowed for the client's life; changing any of it ends
 * what runs. signing_key NULL: not pinned yet; fingerprint (16 bytes) NULL: the system's CAs
 * decide. */
int control_client_configure(struct control_client *c, const char *url, const uint8_t *signing_key,
			     const uint8_t *fingerprint, const struct state_keys *keys,
			     struct error *err) WARREN_MUST_USE;
/* After enrolment or from disk. */
void control_client_identify(struct control_client *c, const struct control_pin *pin);

struct control_reply {
	int error; /* 0: the server answered */
	long status;
	char code[32];	    /* of an error answer, else "" */
	char message[400];  /* sentence for error or error answer */
	const json_t *body; /* object or NULL; borrowed */
};
typedef void control_reply_cb(void *ctx, const struct control_reply *reply);
/* Exit code that fits a failed reply (enum warren_exit). */
int control_reply_exit(const struct control_reply *reply);

/* The verified server object: fetched when it is not known. reply->error or sentence on failure. */
typedef void control_server_cb(void *ctx, const struct control_server *server,
			       const struct error *err);
void control_client_server(struct control_client *c, control_server_cb *done, void *ctx);
/* The one known now, or NULL. */
const struct control_server *control_client_known(const struct control_client *c);

/* A request signed by our identity key. body (may be NULL) is borrowed. done exactly once unless
 * cancelled. timeout_ms 0: 15 s. */
int control_client_call(struct control_client *c, const char *method, const char *path,
			const char *query, const json_t *body, unsigned timeout_ms,
			control_reply_cb *done, void *ctx,
			struct control_call **ret_call) WARREN_MUST_USE;
void control_call_cancel(struct control_call *call); /* NULL is fine; done is not called */

struct control_enroll {
	const char *setup_key; /* NULL: one of the two tokens */
	const char *id_token, *workload_token;
	const char *hostname;
	const char *host_key; /* "ssh-ed25519 AAAA…" or "" */
	bool ssh_advertised;
};
int control_client_enroll(struct control_client *c, const struct control_enroll *e,
			  control_reply_cb *done, void *ctx, struct error *err) WARREN_MUST_USE;
/* base64url(SHA-256(node key, path key, identity key)): binds a login to these keys. */
void control_client_nonce(const struct control_client *c, char out[static 44]);

/* The stream runs from start to stop and keeps map up to date (borrowed). */
void control_client_start(struct control_client *c, struct control_map *map);
void control_client_stop(struct control_client *c);
/* The network changed: reconnect at once. lost: an address of this machine is gone, and with it
 * perhaps the connections from it, which nothing else would tell for a minute. */
void control_client_kick(struct control_client *c, bool lost);
bool control_client_connected(const struct control_client *c);

#endif
