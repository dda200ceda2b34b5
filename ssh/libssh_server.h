/* SPDX-License-Identifier: Apache-2.0
 *
 * libssh's server side behind one thin interface: nothing but libssh_*.c includes libssh.
 * Everything here runs in the worker, single-threaded and never blocking. What libssh 0.10 cannot
 * do is listed in DECISIONS.md; a newer or patched one changes those files only.
 */
#ifndef WARREN_SSH_LIBSSH_SERVER_H
#define WARREN_SSH_LIBSSH_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "platform/error.h"
#include "ssh/libssh_hooks.h"

#define LIBSSH_LOGIN_MAX     64
#define LIBSSH_ALGORITHM_MAX 64
#define LIBSSH_BLOB_MAX	     8192

struct libssh_server;
struct libssh_channel;

enum libssh_auth_kind {
	LIBSSH_AUTH_NONE,
	LIBSSH_AUTH_QUERY,	 /* would this key do? */
	LIBSSH_AUTH_KEY,	 /* with a signature */
	LIBSSH_AUTH_INTERACTIVE, /* keyboard-interactive begins */
	LIBSSH_AUTH_PASSWORD,	 /* text in password */
	LIBSSH_AUTH_RESPONSE,	 /* the client has shown our text */
	LIBSSH_AUTH_OTHER,	 /* a method that we don't offer, or what libssh could not read */
};

/* Valid until the next libssh_server_auth_next. */
struct libssh_auth_request {
	enum libssh_auth_kind kind;
	char login[LIBSSH_LOGIN_MAX];	      /* empty for RESPONSE and for what was not read */
	char algorithm[LIBSSH_ALGORITHM_MAX]; /* KEY: as signed; QUERY: the key's type */
	char *password; /* PASSWORD: the caller's to wipe and free; may be NULL */
	uint8_t blob[LIBSSH_BLOB_MAX];	      /* the whole key or certificate */
	size_t blob_len;
	const uint8_t *signature, *signed_data; /* KEY */
	size_t signature_len, signed_data_len;
};

struct libssh_window {
	uint32_t cols, rows, xpixel, ypixel;
};

enum libssh_start { LIBSSH_SHELL, LIBSSH_EXEC, LIBSSH_SUBSYSTEM };

/* What the client does after its login. ctx is the connection's; user is what open_… returned for
 * the channel. These run while libssh takes a packet apart: they may ask the monitor and close
 * descriptors, but must not send on a channel or free one. */
struct libssh_server_ops {
	/* NULL refuses. */
	void *(*open_session)(void *ctx, struct libssh_channel *channel);
	/* The client will ask for no more of them (no-more-sessions@openssh.com). */
	void (*no_more_sessions)(void *ctx);
	void *(*open_direct)(void *ctx, struct libssh_channel *channel, const char *host,
			     uint32_t port, const char *originator, uint32_t originator_port);
	bool (*listen)(void *ctx, const char *address, uint32_t port, uint32_t *ret_port);
	bool (*unlisten)(void *ctx, const char *address, uint32_t port);
	bool (*pty)(void *user, const char *term, const struct libssh_window *window);
	void (*window)(void *user, const struct libssh_window *window);
	bool (*env)(void *user, const char *name, const char *value);
	void (*agent)(void *user);
	bool (*start)(void *user, enum libssh_start kind, const char *command);
	void (*signal)(void *user, const char *name);
	/* Returns how much it took; the rest stays in libssh's buffer (libssh_channel_read). */
	size_t (*data)(void *user, const uint8_t *data, size_t len);
	void (*eof)(void *user);
	/* The client reads no more of the output (eow@openssh.com; OpenSSH's PROTOCOL, 2.1). */
	void (*no_more)(void *user);
	void (*closed)(void *user);
};

/* What the monitor's HELLO says of the protocol: lists of names as libssh takes them. */
struct libssh_settings {
	char versions[128]; /* behind "SSH-2.0-"; with a blank first: behind libssh's own name */
	char kex[768], ciphers[768], macs[768];
	uint64_t rekey_bytes; /* 0: the cipher's own limit */
	uint32_t rekey_s;     /* 0: never by time */
};

/* Takes over the connection fd. host_public: blob of an ssh-ed25519 key; sign asks for signatures
 * with it. */
int libssh_server_new(int fd, const uint8_t *host_public, size_t len,
		      const struct libssh_settings *settings, libssh_hooks_sign_fn sign,
		      void *sign_ctx, struct libssh_server **ret_server, struct error *err) WARREN_MUST_USE;
/* Frees everything; closes the connection when libssh_server_disconnect did not. NULL is fine. */
void libssh_server_free(struct libssh_server *s);
/* 1 when the key exchange is done, 0 to be called again when fd is readable, or negative. */
int libssh_server_key_exchange(struct libssh_server *s) WARREN_MUST_USE;
/* Does the other side still talk to us? */
bool libssh_server_alive(struct libssh_server *s);
/* Does the client's software (RFC 4253 section 4.2) begin so? It is the client's word. */
bool libssh_server_client_is(struct libssh_server *s, const char *software);
/* libssh's words about why it is over, for a debug line. */
const char *libssh_server_error(struct libssh_server *s);
/* Bytes were read ahead (libssh_ahead.h): pump without waiting for the socket. */
bool libssh_server_waiting(const struct libssh_server *s);
/* Bytes wait for the socket: poll it for POLLOUT, and give libssh no more. */
bool libssh_server_congested(struct libssh_server *s);
/* To be called before each wait: whoever sends requests and does not read the answers is not read any
 * more, since libssh keeps answers without a limit. true: do not poll for POLLIN. */
bool libssh_server_pace(struct libssh_server *s);
/* Bytes on the connection since its start. */
void libssh_server_bytes(struct libssh_server *s, uint64_t *ret_received, uint64_t *ret_sent);
/* SSH_MSG_IGNORE, so that a client that waits knows that we live. */
void libssh_server_ignore(struct libssh_server *s);
/* A request that every client answers; the answer is bytes, no more. */
void libssh_server_keepalive(struct libssh_server *s);
/* Sends what waits (at most so long), then SSH_MSG_DISCONNECT with the text, and closes. */
void libssh_server_disconnect(struct libssh_server *s, const char *text, int timeout_ms);

/* ---- Authentication. */
/* Reads from the connection: 1 and a request, 0 when there is none yet, negative when the
 * connection is over. */
int libssh_server_auth_next(struct libssh_server *s,
			    struct libssh_auth_request *ret_request) WARREN_MUST_USE;
void libssh_server_auth_methods(struct libssh_server *s, bool publickey, bool interactive,
				bool password);
/* Answers to the newest request: the key would do; failure (partial: go on with the methods); a
 * text without a question. */
int libssh_server_auth_pk_ok(struct libssh_server *s) WARREN_MUST_USE;
int libssh_server_auth_refuse(struct libssh_server *s, bool partial) WARREN_MUST_USE;
int libssh_server_auth_ask(struct libssh_server *s, const char *instruction) WARREN_MUST_USE;
int libssh_server_auth_banner(struct libssh_server *s, const char *text) WARREN_MUST_USE;
/* The login stands. From here the ops are called, by libssh_server_pump. */
int libssh_server_auth_accept(struct libssh_server *s, const struct libssh_server_ops *ops,
			      void *ctx) WARREN_MUST_USE;

/* ---- Channels. */
/* Reads and writes the connection as far as it goes now. Negative when it is over; -EBADMSG: the client
 * sent a request that libssh cannot read, for whose answer it would wait for ever. */
int libssh_server_pump(struct libssh_server *s) WARREN_MUST_USE;
/* Opens a channel to the client. It is usable when libssh_channel_opened returns 1; 0: not yet. */
int libssh_channel_open_forwarded(struct libssh_server *s, void *user, const char *address,
				  uint32_t port, const char *originator, uint32_t originator_port,
				  struct libssh_channel **ret_channel) WARREN_MUST_USE;
int libssh_channel_open_agent(struct libssh_server *s, void *user,
			      struct libssh_channel **ret_channel) WARREN_MUST_USE;
int libssh_channel_opened(struct libssh_channel *c) WARREN_MUST_USE;
/* What the client allows us to send now. */
uint32_t libssh_channel_window(struct libssh_channel *c);
/* Sends up to len bytes: how many were sent (0 during a key exchange or without window), or
 * negative. */
ssize_t libssh_channel_write(struct libssh_channel *c, const void *data, size_t len,
			     bool is_stderr) WARREN_MUST_USE;
/* Bytes in libssh's buffer that ops->data did not take. */
size_t libssh_channel_backlog(struct libssh_channel *c);
/* Takes some of them. */
ssize_t libssh_channel_read(struct libssh_channel *c, void *out, size_t cap) WARREN_MUST_USE;
/* Lets the client have up to window bytes under way. out[window] takes what arrives meanwhile;
 * returns how much, as libssh_channel_read. */
ssize_t libssh_channel_grow(struct libssh_channel *c, void *out, size_t window) WARREN_MUST_USE;
void libssh_channel_exit_status(struct libssh_channel *c, uint32_t status);
void libssh_channel_exit_signal(struct libssh_channel *c, const char *name, bool core);
/* 1 when sent, 0 to be called again. */
int libssh_channel_eof(struct libssh_channel *c) WARREN_MUST_USE;
int libssh_channel_close(struct libssh_channel *c) WARREN_MUST_USE;
/* Call it after libssh_channel_close returned 1 (or the connection is over). No op comes after it.
 */
void libssh_channel_free(struct libssh_channel *c);

#endif
