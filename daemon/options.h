/* SPDX-License-Identifier: Apache-2.0
 *
 * What warrend was started with: defaults, then /etc/warren/warren.json (or --config FILE), then
 * the command line.
 */
#ifndef WARREN_DAEMON_OPTIONS_H
#define WARREN_DAEMON_OPTIONS_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/addr.h"
#include "platform/error.h"
#include "platform/log.h"

#define OPTIONS_DEFAULT_CONFIG "/etc/warren/warren.json"

enum { DAEMON_MAX_SHARDS = 64 };

struct daemon_options {
	char state_dir[256];
	char socket[100]; /* fits sun_path with ".root" */
	char interface[IFNAMSIZ];
	uint16_t wireguard_port;  /* the next free one is used when it is taken */
	struct ip_prefix prefix4; /* overlay addresses and routes stay inside these */
	struct ip_prefix prefix6;
	unsigned mtu; /* 0: as main says */
	unsigned shards; /* threads for packets */
	char issuer_ca_file[256]; /* PEM: trusted for the login provider; "": the system's CAs */
	char sshd_config[256];    /* folder or file of sshd_config(5) for the embedded SSH server */
	enum log_level log_level;
	bool log_json;
	char role[16]; /* "" for the broker */
	bool help, version;
};

void options_defaults(struct daemon_options *ret_options);
/* argv as main() has it. Reads the configuration file too; the default one may be missing. -EINVAL
 * (usage: exit 2) or another code (exit 1) with a sentence. */
int options_parse(int argc, char *const *argv, struct daemon_options *ret_options,
		  struct error *err) WARREN_MUST_USE;
/* The text of a configuration file; errors read "FILE:LINE:COL: sentence". options is untouched on
 * failure. */
int options_config(const char *file, const char *text, size_t len, struct daemon_options *options,
		   struct error *err) WARREN_MUST_USE;
extern const char options_usage[];

#endif
