/* SPDX-License-Identifier: Apache-2.0
 *
 * The configuration of warren-control: defaults, the JSON file, then flags.
 */
#ifndef WARREN_CONTROL_CONFIG_H
#define WARREN_CONTROL_CONFIG_H

#include "control/control.h"
#include "platform/log.h"

#define CONFIG_FILE   "/etc/warren/control.json"
#define CONFIG_SOCKET "/run/warren/control.sock"

struct config_more {
	char log_level[16];
	bool log_json;
	bool login_enrolls_set;
};

void config_defaults(struct control_config *config, struct config_more *more);
/* Applies a file; missing_ok: -ENOENT is fine. Errors name file, key, and what to write. */
int config_load(const char *file, bool missing_ok, struct control_config *config,
		struct config_more *more, struct error *err) WARREN_MUST_USE;
/* Fills what depends on the rest (public_url, client_id), and checks it. */
int config_finish(struct control_config *config, struct config_more *more,
		  struct error *err) WARREN_MUST_USE;
/* config_issuers.c: reads "issuers", and puts the one of the single keys before them. */
int config_issuers(const json_t *root, struct control_config *config,
		   struct error *err) WARREN_MUST_USE;
/* "issuer" of server object and map: where people log in, and what peers do with it. NULL without
 * memory. */
json_t *config_issuer_object(const struct control_config *config);
int config_issuers_finish(struct control_config *config, struct error *err) WARREN_MUST_USE;
/* Only "socket" of a file, for the command line; false: not there. */
bool config_socket(const char *file, char *out, size_t cap);

#endif
