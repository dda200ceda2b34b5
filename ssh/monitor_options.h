/* SPDX-License-Identifier: Apache-2.0
 *
 * sshd_config(5) as the monitor of one connection applies it: evaluated with what is known of the
 * caller, again when the login is named, and again when an identity is proven. It only narrows what
 * policy and the machine's switches allow. Private to the monitor.
 */
#ifndef WARREN_SSH_MONITOR_OPTIONS_H
#define WARREN_SSH_MONITOR_OPTIONS_H

#include <stdint.h>

#include "ssh/config/sshd_config.h"

struct monitor;
struct verifier_decision;
struct reader;

struct monitor_options {
	struct sshd_config *config;
	struct sshd_options now; /* in force */
	char login[64], host[64], peer[64], identity[256]; /* that it was evaluated with */
	bool groups_known; /* of the login, since they were last needed fresh */
	uint64_t attempt_ns; /* when the newest attempt to log in came */
};

/* The values without any configuration. NULL without memory. */
struct monitor_options *monitor_options_new(void);
void monitor_options_free(struct monitor_options *o);
/* text: of sshd_config_text, "" for none. -EBADMSG when it cannot be read. */
int monitor_options_load(struct monitor *m, const char *text, size_t len) WARREN_MUST_USE;
/* Somebody tries this login. */
void monitor_options_login(struct monitor *m);
/* Who it is was proven. NULL, or the sentence why not by this method. d is narrowed. */
const char *monitor_options_admit(struct monitor *m, struct verifier_decision *d,
				  const char *method);
/* Takes from d what the configuration does not allow. */
void monitor_options_restrict(const struct monitor *m, struct verifier_decision *d);
/* AllowUsers and its like, PermitRootLogin: 0, or -EACCES and the sentence. */
int monitor_options_account(const struct monitor *m, struct error *err) WARREN_MUST_USE;
/* Methods that may be tried now, "publickey,keyboard-interactive". */
bool monitor_options_method(const struct monitor *m, const char *method);
/* PubkeyAcceptedAlgorithms. */
bool monitor_options_algorithm(const struct monitor *m, const char *algorithm);
/* RequiredRSASize: is this plain key's number long enough? Keys of other types are. */
bool monitor_options_key_size(const struct monitor *m, const uint8_t *blob, size_t len);
/* AuthorizedKeysFile as authorized_keys_file.h wants it; false: too long. */
bool monitor_options_key_files(const struct monitor *m, char *out, size_t cap);
/* RevokedKeys: is this key or certificate, or its authority, in the file? One that cannot be read
 * revokes all. */
bool monitor_options_revoked(const struct monitor *m, const uint8_t *blob, size_t len);
/* A refusal takes at least some milliseconds, however it came about (sshd's auth2.c). */
void monitor_options_delay(const struct monitor *m);
#define MONITOR_FAIL_MIN_NS (UINT64_C(5) * 1000000)
/* How much longer the answer to an attempt that came at began_ns has to wait. secret: the host key. */
uint64_t monitor_options_delay_ns(const uint8_t secret[static 64], const char *login,
				  uint64_t began_ns, uint64_t now_ns);
/* NULL: allowed; else the sentence. */
const char *monitor_options_connect(const struct monitor *m, const char *host, uint16_t port);
const char *monitor_options_listen(const struct monitor *m, const char *address, uint16_t port);
/* Requests USER and LIMITS of ssh/PROTOCOL.md section 4. */
int monitor_options_user(struct monitor *m, uint32_t id, struct reader *r) WARREN_MUST_USE;
int monitor_options_limits(struct monitor *m, uint32_t id, struct reader *r) WARREN_MUST_USE;

#endif
