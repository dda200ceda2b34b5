/* SPDX-License-Identifier: Apache-2.0
 *
 * Flags and -o options of warren-ssh: ssh(1)'s own, as far as it has them. What it has not is
 * refused with a sentence, never ignored. Everything behind the host is the command. Pure.
 */
#ifndef WARREN_SSH_CLIENT_OPTIONS_H
#define WARREN_SSH_CLIENT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/error.h"

#define CLIENT_FORWARDS	  64
#define CLIENT_IDENTITIES 8
#define CLIENT_ENV	  64

enum client_forward_kind {
	CLIENT_FORWARD_LOCAL,
	CLIENT_FORWARD_REMOTE,
	CLIENT_FORWARD_DYNAMIC,
};

struct client_forward {
	enum client_forward_kind kind;
	bool bind_given;
	char bind[256]; /* "" for every address, "localhost" by default */
	uint16_t port;
	char host[256]; /* not of DYNAMIC */
	uint16_t host_port;
};

enum client_tty { CLIENT_TTY_AUTO, CLIENT_TTY_NO, CLIENT_TTY_YES, CLIENT_TTY_FORCE };

/* As OpenSSH's LogLevel. */
enum client_log {
	CLIENT_LOG_QUIET,
	CLIENT_LOG_ERROR,
	CLIENT_LOG_INFO,
	CLIENT_LOG_VERBOSE,
	CLIENT_LOG_DEBUG1,
	CLIENT_LOG_DEBUG2,
	CLIENT_LOG_DEBUG3,
};

struct client_options {
	char host[256], user[128]; /* user empty: the local account's name */
	uint16_t port;
	enum client_tty tty;
	enum client_log log;
	bool no_session, null_input, background, subsystem, agent, gateway_ports;
	bool batch, no_interactive, exit_on_forward_failure, clear_forwards, no_tcp_keepalive;
	int escape; /* a byte, or -1 */
	uint32_t alive_interval_s, alive_count, connect_timeout_s;
	bool stdio; /* -W */
	char stdio_host[256];
	uint16_t stdio_port;
	size_t forward_count, identity_count, send_env_count, set_env_count;
	struct client_forward forwards[CLIENT_FORWARDS];
	/* Borrowed from argv. */
	const char *identities[CLIENT_IDENTITIES];
	const char *send_env[CLIENT_ENV], *set_env[CLIENT_ENV];
	char *command; /* NULL: a shell; its words joined by a blank */
};

/* argv[0] is not looked at. -EINVAL with a sentence. Free with client_options_done. */
int client_options_parse(struct client_options *o, int argc, char **argv,
			 struct error *err) WARREN_MUST_USE;
void client_options_done(struct client_options *o);

/* [bind:]port:host:hostport (DYNAMIC: [bind:]port), addresses of IPv6 in brackets. */
int client_forward_parse(struct client_forward *f, enum client_forward_kind kind, const char *text,
			 struct error *err) WARREN_MUST_USE;
/* host:port, the host of IPv6 in brackets. */
int client_host_port_parse(const char *text, char host[static 256], uint16_t *ret_port,
			   struct error *err) WARREN_MUST_USE;
/* One -o option: "Key=Value" or "Key Value". The first of a key wins, as in ssh_config(5), which
 * `seen` keeps. */
int client_option_set(struct client_options *o, uint64_t *seen, const char *text,
		      struct error *err) WARREN_MUST_USE;
/* Does NAME match one of the patterns (with * and ?) of a SendEnv line? */
bool client_env_match(const char *patterns, const char *name);

#endif
