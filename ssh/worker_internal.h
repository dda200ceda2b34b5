/* SPDX-License-Identifier: Apache-2.0
 *
 * What worker.c, worker_auth.c and worker_channels.c share. Private to the worker.
 */
#ifndef WARREN_SSH_WORKER_INTERNAL_H
#define WARREN_SSH_WORKER_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ssh/channel.h"
#include "ssh/libssh_server.h"
#include "ssh/worker_monitor.h"

#define WORKER_CHANNELS_MAX 1024 /* sessions and forwards of one connection */
#define WORKER_BANNERS_MAX  8
#define WORKER_TEXT_MAX	    2048

enum worker_interactive {
	INTERACTIVE_IDLE,
	INTERACTIVE_ASKED,   /* the monitor has not answered yet */
	INTERACTIVE_PENDING, /* the client shows the text; a person logs in */
	INTERACTIVE_HELD,    /* the same with "none", which is not answered yet, and the banner */
};

struct worker_auth {
	char login[LIBSSH_LOGIN_MAX];
	bool asked_none;
	uint32_t tries;
	enum worker_interactive interactive;
	uint32_t interactive_id;
	bool responded, decided; /* by the client, by the monitor */
	uint8_t result;
	char methods[256], message[WORKER_TEXT_MAX];
	char *banners[WORKER_BANNERS_MAX]; /* shown already */
	size_t banner_count;
	uint64_t ignored_ns;
	struct libssh_auth_request request;
};

#define WORKER_TIMEOUTS_MAX 32

/* What the monitor's LIMITS says, and what it is measured against. */
struct worker_limits {
	uint32_t alive_interval_s, alive_count_max, unused_timeout_s; /* 0: none */
	size_t timeout_count;
	struct {
		char type[64]; /* pattern */
		uint32_t seconds;
	} timeouts[WORKER_TIMEOUTS_MAX];
	uint64_t heard_bytes, heard_ns; /* of the client */
	uint32_t unanswered;		/* keep-alives since then */
	uint64_t unused_ns;		/* since when there is no channel; 0: there is one */
};

/* worker_patience.c */
struct worker_patience {
	unsigned timeout_ms; /* the listener's TCP_USER_TIMEOUT; 0: not known or none */
	uint64_t sent;	     /* bytes, when it was looked at */
	uint64_t look_ns;    /* when to look again; 0: nothing is on the way */
};

struct worker {
	struct worker_limits limits;
	struct worker_patience patience;
	struct worker_monitor monitor;
	struct libssh_server *server;
	uint8_t *scratch; /* [CHANNEL_SCRATCH] */
	uint32_t max_auth_tries, grace_s, max_sessions;
	uint64_t started_ns;
	bool certificate_comes; /* the connection was marked (platform/dscp.h) */
	bool authenticated;
	bool no_more_sessions; /* the client said so */
	bool ending;	      /* the monitor said END, or the client broke a rule */
	bool ending_sessions; /* somebody is to read why */
	uint64_t ending_ns;
	uint64_t connect_hurried_ns; /* until then no connect is waited for */
	char ending_text[WORKER_TEXT_MAX];
	struct worker_auth auth;

	struct pollfd polls[2 + WORKER_CHANNELS_MAX * CHANNEL_POLLS];
	struct channel *channels[WORKER_CHANNELS_MAX];
	size_t channel_count, session_count;
	uint32_t last_channel;
	uint64_t received, sent, told_ns; /* BYTES */
	bool trim_due; /* memory that the login needed goes back when nothing happens for a second */
	bool bulk;		  /* the client sends so much that we wait for batches */
	bool bulk_waited;	  /* the newest wait was a whole one */
	unsigned bulk_dry;	  /* so many in a row brought little */
	uint64_t bulk_came;	  /* bytes in the last turn */
	uint64_t bulk_received, bulk_sent, bulk_after; /* bytes: until then; from when to wait again */
};

struct place;
/* Gives up all rights; what is left is descriptors 0 to 4 and the calls that move bytes. place: NULL
 * for one of its own. */
int worker_confine(const struct place *place, struct error *err) WARREN_MUST_USE;
uint64_t worker_now_ns(void);
/* Begins the end of the connection with a text for SSH_MSG_DISCONNECT; the first one counts. */
void worker_end(struct worker *w, const char *text);

/* ---- worker_auth.c. 0, or negative: the connection is over. */
/* Answers what the client asked meanwhile. */
int worker_auth_step(struct worker *w) WARREN_MUST_USE;
/* A packet of the monitor that belongs to authentication. */
int worker_auth_packet(struct worker *w, struct worker_packet *p) WARREN_MUST_USE;
/* Milliseconds until worker_auth_tick wants to be called; -1: never. */
int worker_auth_timeout_ms(const struct worker *w, uint64_t now_ns);
int worker_auth_tick(struct worker *w, uint64_t now_ns) WARREN_MUST_USE;
/* Tells the monitor that nobody waits for a pending keyboard-interactive login any more. */
int worker_auth_abandon(struct worker *w) WARREN_MUST_USE;
void worker_auth_done(struct worker_auth *a);

/* ---- worker_limits.c: ClientAlive…, ChannelTimeout, UnusedConnectionTimeout */
/* Asks the monitor, once the login stands. */
int worker_limits_ask(struct worker *w) WARREN_MUST_USE;
/* Ends what was idle for too long. */
void worker_limits_tick(struct worker *w, uint64_t now_ns);
/* When to call it next; most_ms: at the latest (-1: no hurry). */
int worker_limits_timeout_ms(const struct worker *w, uint64_t now_ns, int most_ms);

/* ---- worker_patience.c: clients that do not read */
void worker_patience_tick(struct worker *w, uint64_t now_ns);

/* ---- worker_turns.c */
/* Who sent much since the last call goes behind the others, each group in its order. */
void worker_turns_order(struct channel **channels, size_t count);

/* ---- worker_requests.c */
extern const struct libssh_server_ops worker_requests_ops;

/* ---- worker_channels.c */
/* NULL: there are too many, or no memory. It is the last one of w->channels. */
struct channel *worker_channels_add(struct worker *w, enum channel_kind kind);
/* Frees w->channels[i]. */
void worker_channels_drop(struct worker *w, size_t i);
/* An event of the monitor. */
int worker_channels_event(struct worker *w, struct worker_packet *p) WARREN_MUST_USE;
/* Moves bytes of all channels and frees those that are over. polls: CHANNEL_POLLS for each channel
 * in order (count of them as at worker_channels_poll), or NULL. */
int worker_channels_run(struct worker *w, const struct pollfd *polls, size_t count) WARREN_MUST_USE;
void worker_channels_poll(struct worker *w, struct pollfd *polls);
/* A channel must run again at once. */
bool worker_channels_hurry(const struct worker *w);
/* A channel must run again within 100 ms. */
bool worker_channels_tick(const struct worker *w);
/* The text to every terminal, then no more channels. */
void worker_channels_end(struct worker *w, const char *text);
/* Channels that keep an ending connection; a -W does not: its end is the connection's. */
bool worker_channels_left(const struct worker *w);
/* Says CLOSE of the forwards that are still open, with their bytes. */
int worker_channels_over(struct worker *w) WARREN_MUST_USE;
void worker_channels_free(struct worker *w);

#endif
