/* SPDX-License-Identifier: Apache-2.0
 *
 * One SSH channel and the descriptors behind it: PTY master, three pipes or a socket. Moves bytes
 * both ways with back-pressure, ends each way by itself, and loses nothing at exit. Knows no
 * monitor.
 */
#ifndef WARREN_SSH_CHANNEL_H
#define WARREN_SSH_CHANNEL_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/buffer.h"
#include "ssh/libssh_server.h"
#include "ssh/monitor_wire.h"

#define CHANNEL_POLLS	  3
#define CHANNEL_WINDOW	  (4u << 20) /* what a busy client may have under way */
#define CHANNEL_SCRATCH	  CHANNEL_WINDOW
#define CHANNEL_ENV_BYTES 65536

enum channel_kind { CHANNEL_SESSION, CHANNEL_DIRECT, CHANNEL_OUTGOING /* -R and agent */ };
enum channel_state {
	CHANNEL_OPENING, /* CHANNEL_OUTGOING: the client has not answered */
	CHANNEL_WAITING, /* no process or connection yet */
	CHANNEL_RUNNING,
	CHANNEL_CLOSING,
};

/* One way from a descriptor to the client. */
struct channel_out {
	int fd;
	bool done;	     /* end of file, and all sent */
	bool at_eof;	     /* nothing more to read */
	struct buffer carry; /* read, but not sent: bounded by one read */
};

#define CHANNEL_STDIO_PORT 65535 /* a port for those who have none (OpenSSH's port_open_helper) */

struct channel {
	uint32_t id;
	enum channel_kind kind;
	enum channel_state state;
	struct libssh_channel *ssh;
	void *owner;	  /* whoever made it */
	uint8_t *scratch; /* [CHANNEL_SCRATCH], shared by all channels */

	/* What a session asked for before it starts. */
	bool want_pty, agent;
	char term[MONITOR_WIRE_TERM];
	struct libssh_window window;
	uint32_t env_count;
	struct buffer env; /* n × (string name, string value), as SESSION wants it */

	bool pty, socket; /* one descriptor for both ways */
	int in_fd;	  /* towards the process; -1: not yet, or closed */
	bool in_closed;	  /* nobody reads any more: discard */
	bool in_blocked;
	struct buffer in_carry; /* from in_at on */
	size_t in_at;
	bool may_grow;		  /* few channels are open: memory for a large window */
	uint64_t given, turn_given; /* bytes to the client; until the turn before */
	uint64_t taken, grown_at; /* bytes from the client, and when the window was last opened */
	struct channel_out out, err;
	bool client_eof, client_closed;
	bool started;	 /* a process runs or ran */
	bool told_close; /* the monitor knows that the client left */
	bool eof_sent;
	bool stdio;	 /* the client's -W: it says so by its originator's port */
	char type[64];	  /* as ChannelTimeout names it; empty: not yet known */
	uint64_t seen_bytes, active_ns; /* worker_limits.c: when bytes last moved */
	uint64_t done_ns; /* when the last of both outputs was done */

	bool exited, exit_sent;
	bool by_signal, core;
	uint32_t status;
	char signal[16];
};

struct channel *channel_new(enum channel_kind kind, uint32_t id, uint8_t *scratch);
/* Closes descriptors and the libssh channel. NULL is fine. */
void channel_free(struct channel *c);
/* Takes over descriptors of a session: PTY master (err and out -1), or three pipes. */
int channel_start_take(struct channel *c, int in, int out, int err) WARREN_MUST_USE;
/* Takes over a connected socket. */
int channel_connect_take(struct channel *c, int fd) WARREN_MUST_USE;
/* The session does not start: text to the person, exit status 255. */
void channel_refuse(struct channel *c, const char *text);
/* The process ended; what it wrote is still sent. signal NULL or empty: status counts. */
void channel_exit(struct channel *c, bool by_signal, uint32_t status, const char *signal,
		  bool core);
/* Writes a line for the person, best effort. */
void channel_say(struct channel *c, const char *text);
/* Closes without exit status. */
/* The client takes no more output: as under sshd its writer learns that, stderr goes on. */
void channel_no_more(struct channel *c);
void channel_abort(struct channel *c);
/* ops->data of libssh_server.h. */
size_t channel_take(struct channel *c, const uint8_t *data, size_t len);
/* Window of the terminal changed. */
void channel_resize(struct channel *c, const struct libssh_window *window);
/* Must run again at once: bytes came for the process while something else was done. */
bool channel_hurries(const struct channel *c);
/* Must run again soon, though no descriptor is ready. */
bool channel_ticks(const struct channel *c);
/* What to wait for; entries without interest have fd -1. */
void channel_poll(const struct channel *c, bool congested,
		  struct pollfd polls[static CHANNEL_POLLS]);
/* Does what can be done now. polls as they came back, or NULL. 1 when the channel is over (free
 * it), 0, or negative when the connection is. */
int channel_run(struct channel *c, const struct pollfd *polls, bool congested) WARREN_MUST_USE;

#endif
