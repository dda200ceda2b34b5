/* SPDX-License-Identifier: Apache-2.0
 *
 * libssh's client side behind one thin interface, as libssh_server.h is for the worker: nothing but
 * libssh_*.c includes libssh. Everything runs in `warren-ssh`, single-threaded and never blocking:
 * what cannot be done now returns 0 and is called again when the connection is readable.
 */
#ifndef WARREN_SSH_LIBSSH_CLIENT_H
#define WARREN_SSH_LIBSSH_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "platform/error.h"

struct libssh_client;
struct libssh_client_channel;

/* What the server does. ctx is the connection's, user the channel's. These run while libssh takes a
 * packet apart: they may write to descriptors, but must not send on a channel or free one. */
struct libssh_client_ops {
	/* The server opens a channel; NULL refuses it. */
	void *(*forwarded)(void *ctx, struct libssh_client_channel *channel, const char *address,
			   uint32_t port);
	void *(*agent)(void *ctx, struct libssh_client_channel *channel);
	/* How much was taken; the rest stays in libssh's buffer. */
	size_t (*data)(void *user, const uint8_t *data, size_t len, bool is_stderr);
	void (*eof)(void *user);
	void (*closed)(void *user);
	void (*exit_status)(void *user, uint32_t status);
	void (*exit_signal)(void *user, const char *name, bool core);
};

enum libssh_client_auth {
	LIBSSH_CLIENT_AGAIN = 0,
	LIBSSH_CLIENT_ACCEPTED,
	LIBSSH_CLIENT_DENIED,
	LIBSSH_CLIENT_QUESTIONS, /* keyboard-interactive: show the text, set the answers, go on */
	LIBSSH_CLIENT_BROKEN,	 /* the connection is over */
};

#define LIBSSH_CLIENT_INTERACTIVE 1u /* bits of libssh_client_methods */
#define LIBSSH_CLIENT_PUBLICKEY	  2u

/* Takes over the connection fd. name: for messages; log: libssh's own lines of that level (0 none,
 * to 4) go to stderr. host_keys: types that the server may show, comma-separated. */
int libssh_client_new(int fd, const char *name, const char *user, int log, const char *host_keys,
		      const struct libssh_client_ops *ops, void *ctx,
		      struct libssh_client **ret_client, struct error *err) WARREN_MUST_USE;
/* Frees channels and connection. NULL is fine. */
void libssh_client_free(struct libssh_client *c);
/* Says goodbye and closes the connection. */
void libssh_client_disconnect(struct libssh_client *c);
/* Key exchange: 1 done, 0 again, negative: over. */
int libssh_client_connect(struct libssh_client *c) WARREN_MUST_USE;
/* The server's key as "type base64", for the caller to free(). -EPROTO. */
int libssh_client_host_key(struct libssh_client *c, char **ret_text) WARREN_MUST_USE;
bool libssh_client_alive(struct libssh_client *c);
/* libssh's words for what went wrong last. */
const char *libssh_client_error(struct libssh_client *c);
/* Why the server ended the connection (RFC 4253 section 11.1): its words, as they came (the first
 * kilobyte), valid as long as the connection; NULL when it said nothing. */
const char *libssh_client_farewell(struct libssh_client *c, uint32_t *ret_code);
bool libssh_client_waiting(const struct libssh_client *c);	/* read ahead: do not wait */
bool libssh_client_congested(struct libssh_client *c);		/* wait for POLLOUT as well */
uint64_t libssh_client_received(const struct libssh_client *c); /* bytes since the start */
void libssh_client_keepalive(struct libssh_client *c);
/* Reads and writes as far as it goes now. Negative when the connection is over. */
int libssh_client_pump(struct libssh_client *c) WARREN_MUST_USE;

/* ---- Authentication. */
enum libssh_client_auth libssh_client_auth_none(struct libssh_client *c);
/* After the first answer: bits of what the server still takes. */
unsigned libssh_client_methods(struct libssh_client *c);
/* Text that the server sent before (free it), or NULL. */
char *libssh_client_banner(struct libssh_client *c);
/* Asks for a passphrase: text into out[cap], false gives up. */
typedef bool (*libssh_client_passphrase_fn)(void *ctx, char *out, size_t cap);
/* The private key in path, with the certificate in path-cert.pub when there is one. */
int libssh_client_load_key(struct libssh_client *c, const char *path,
			   libssh_client_passphrase_fn ask, void *ctx,
			   struct error *err) WARREN_MUST_USE;
/* Logs in with the key that was loaded last. */
enum libssh_client_auth libssh_client_auth_key(struct libssh_client *c);
enum libssh_client_auth libssh_client_auth_interactive(struct libssh_client *c);
/* Of QUESTIONS: texts (may be empty), valid until the next call. */
const char *libssh_client_name(struct libssh_client *c);
const char *libssh_client_instruction(struct libssh_client *c);
unsigned libssh_client_prompts(struct libssh_client *c);
const char *libssh_client_prompt(struct libssh_client *c, unsigned i, bool *ret_echo);
int libssh_client_answer(struct libssh_client *c, unsigned i, const char *text) WARREN_MUST_USE;

/* ---- Forwards from the server (one at a time). 1 done, 0 again, negative refused. */
int libssh_client_listen(struct libssh_client *c, const char *address, uint16_t port,
			 uint16_t *ret_port) WARREN_MUST_USE;

/* ---- Channels. Results as above: 1, 0, negative. */
struct libssh_client_channel *libssh_client_channel_new(struct libssh_client *c, void *user);
void libssh_client_channel_free(struct libssh_client_channel *ch);
int libssh_client_open_session(struct libssh_client_channel *ch) WARREN_MUST_USE;
int libssh_client_open_direct(struct libssh_client_channel *ch, const char *host, uint16_t port,
			      const char *originator, uint16_t originator_port) WARREN_MUST_USE;
int libssh_client_request_agent(struct libssh_client_channel *ch) WARREN_MUST_USE;
int libssh_client_request_pty(struct libssh_client_channel *ch, const char *term, int cols,
			      int rows) WARREN_MUST_USE;
int libssh_client_request_env(struct libssh_client_channel *ch, const char *name,
			      const char *value) WARREN_MUST_USE;
int libssh_client_request_shell(struct libssh_client_channel *ch) WARREN_MUST_USE;
int libssh_client_request_exec(struct libssh_client_channel *ch,
			       const char *command) WARREN_MUST_USE;
int libssh_client_request_subsystem(struct libssh_client_channel *ch,
				    const char *name) WARREN_MUST_USE;
void libssh_client_resize(struct libssh_client_channel *ch, int cols, int rows);
uint32_t libssh_client_window(struct libssh_client_channel *ch);
/* How many bytes were sent: fewer without window or during a key exchange. Negative: it is closed.
 */
ssize_t libssh_client_write(struct libssh_client_channel *ch, const void *data,
			    size_t len) WARREN_MUST_USE;
/* Bytes that ops->data did not take. */
size_t libssh_client_backlog(const struct libssh_client_channel *ch, bool is_stderr);
ssize_t libssh_client_read(struct libssh_client_channel *ch, void *out, size_t cap,
			   bool is_stderr) WARREN_MUST_USE;
/* Lets the server have up to window bytes under way; out[window] takes what arrives meanwhile. */
ssize_t libssh_client_grow(struct libssh_client_channel *ch, void *out,
			   size_t window) WARREN_MUST_USE;
int libssh_client_eof(struct libssh_client_channel *ch) WARREN_MUST_USE;
int libssh_client_close(struct libssh_client_channel *ch) WARREN_MUST_USE;

#endif
