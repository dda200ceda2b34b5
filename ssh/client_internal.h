/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of warren-ssh share.
 */
#ifndef WARREN_SSH_CLIENT_INTERNAL_H
#define WARREN_SSH_CLIENT_INTERNAL_H

#include <netdb.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/buffer.h"
#include "ssh/client_escape.h"
#include "ssh/client_fd.h"
#include "ssh/client_options.h"
#include "ssh/client_socks.h"
#include "ssh/libssh_client.h"

#define CLIENT_FAILED	 255
#define CLIENT_CHANNELS	 256
#define CLIENT_WINDOW	 (4u << 20) /* what a busy server may have under way */
#define CLIENT_LISTENERS (2 * CLIENT_FORWARDS)
#define CLIENT_POLLS	 3 /* of a channel */

struct client;

/* One way from the server to a descriptor. */
struct client_sink {
	struct client_fd out;
	int given;	     /* what it was made of */
	struct buffer carry; /* taken from libssh, not written; from `at` on */
	size_t at;
	bool blocked, broken; /* broken: discard */
};

enum client_channel_kind {
	CLIENT_SESSION,
	CLIENT_STDIO,	 /* -W */
	CLIENT_OUTGOING, /* -L and -D: a local program connected to us */
	CLIENT_INCOMING, /* -R and agent: the server asks, we connect */
};

enum client_channel_state {
	CLIENT_SOCKS,	   /* where to is not known yet */
	CLIENT_OPENING,	   /* the server is asked */
	CLIENT_CONNECTING, /* INCOMING: to the local side */
	CLIENT_RUNNING,
	CLIENT_CLOSING,
};

struct client_channel {
	struct client *client;
	enum client_channel_kind kind;
	enum client_channel_state state;
	struct libssh_client_channel *ssh;
	int in_fd; /* towards the server; -1: nothing (more) comes from there */
	bool in_eof, eof_sent, shut;
	struct buffer out_carry;     /* read, not sent */
	struct client_sink sinks[2]; /* stdout (or the socket) and stderr */
	bool remote_eof, remote_closed;
	uint64_t taken, grown_at; /* bytes from the server, and when the window was last opened */
	char host[256], originator[64];
	uint16_t port, originator_port;
	struct client_socks socks;
	struct addrinfo *addresses, *next_address; /* CONNECTING */
	/* Of the session. */
	bool exited, by_signal;
	bool terminal, raw; /* the server gave one; ours was made raw for it */
	uint32_t status;
	char signal[16];
	struct client_escape escape;
};

struct client_listener {
	int fd;
	const struct client_forward *forward;
};

struct client {
	struct client_options options;
	const char *name, *host_keys, *key;
	int connection_fd, signal_fd;
	struct libssh_client *ssh;
	struct client_channel *channels[CLIENT_CHANNELS];
	size_t channel_count;
	struct client_listener listeners[CLIENT_LISTENERS];
	size_t listener_count;
	uint16_t remote_ports[CLIENT_FORWARDS]; /* by number of the forward; 0: none */
	struct client_channel *session;		/* NULL: none, or over */
	struct client_channel *stdio;
	bool session_over;
	uint8_t *scratch; /* [CLIENT_WINDOW] */
	int exit_status;
	bool quit; /* ~. or a signal */
	bool begun;	 /* the login and what was asked for before the session are done */
	int quit_signal; /* which one, where it came before that; else 0 */
	bool over_said;
	uint64_t heard_bytes, heard_ns, asked_ns;
	uint32_t unanswered;
};

/* A line for the person on stderr, when LogLevel lets it through. */
void client_say(const struct client *c, enum client_log level, const char *fmt, ...)
	WARREN_PRINTF(3, 4);
uint64_t client_now_ns(void);
/* Waits for the connection, or for a signal (-ECANCELED), until deadline_ns (0: none; -ETIMEDOUT).
 */
int client_wait(struct client *c, uint64_t deadline_ns) WARREN_MUST_USE;

/* Signals that have come. False: we are to end. */
bool client_took_signal(void *client);
/* The connection is over: what the server said to that, or else that it `what` and libssh's reason
 * (what NULL: the usual words). */
void client_say_over(struct client *c, const char *what);

/* client_auth.c: everything up to the login. 0, or negative after the sentence. */
int client_check_host_key(struct client *c) WARREN_MUST_USE;
int client_login(struct client *c) WARREN_MUST_USE;

/* client_channel.c */
struct client_channel *client_channel_new(struct client *c, enum client_channel_kind kind);
void client_channel_free(struct client_channel *ch);
/* Takes over a socket for both ways. */
void client_channel_socket_take(struct client_channel *ch, int fd);
void client_channel_poll(const struct client_channel *ch, struct pollfd polls[static CLIENT_POLLS]);
/* Does what can be done now. 1 when it is over (free it), 0, or negative: the connection is. */
int client_channel_run(struct client_channel *ch, const struct pollfd *polls) WARREN_MUST_USE;
extern const struct libssh_client_ops client_channel_ops;

/* client_forward.c */
/* Listeners and the server's. 0, or negative when one failed and that is the end. */
int client_forward_start(struct client *c) WARREN_MUST_USE;
/* Somebody connected to a listener. */
void client_forward_accept(struct client *c, const struct client_listener *listener);
/* libssh_client_ops. */
void *client_forward_incoming(void *ctx, struct libssh_client_channel *ssh, const char *address,
			      uint32_t port);
void *client_forward_agent(void *ctx, struct libssh_client_channel *ssh);
/* CONNECTING: the first address, or the next one after a failure. 0: under way or done, or -errno.
 */
int client_forward_connect(struct client_channel *ch) WARREN_MUST_USE;
/* SOCKS: bytes that came. Negative: over. */
int client_forward_socks(struct client_channel *ch, const uint8_t *data,
			 size_t len) WARREN_MUST_USE;
/* OPENING is over: the program that waits hears of it. */
void client_forward_opened(struct client_channel *ch, bool good);

/* client_session.c */
int client_session_start(struct client *c) WARREN_MUST_USE;
/* Makes our terminal raw for the channel's, once: before the first of its bytes is shown. */
int client_session_raw(struct client_channel *ch) WARREN_MUST_USE;
void client_session_escape(struct client *c, enum client_escape_event event);
void client_session_resize(struct client *c);
void client_session_suspend(struct client *c);

#endif
