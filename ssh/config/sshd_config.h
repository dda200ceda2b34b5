/* SPDX-License-Identifier: Apache-2.0
 *
 * sshd_config(5) for Warren's SSH server (packaging/man/warren-sshd_config.5): text becomes a list
 * of checked lines, and for one connection the values that are in force. Semantics are OpenSSH's:
 * the first value wins, a Match block that applies goes before what stands outside of any. Pure but
 * for sshd_config_load. Every accepted keyword is enforced, or sshd_check warns that and why it has no
 * effect; what this server cannot do is an error.
 */
#ifndef WARREN_SSH_CONFIG_SSHD_CONFIG_H
#define WARREN_SSH_CONFIG_SSHD_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/addr.h"
#include "platform/buffer.h"
#include "platform/error.h"

#define SSHD_CONFIG_DIR	     "/etc/warren/sshd_config.d"
#define SSHD_AUDIT_FOLDER    "/var/log/warren"
#define SSHD_CONFIG_MAX	     (256u << 10) /* bytes of all files together */
#define SSHD_WORDS_MAX	     128
#define SSHD_ALGORITHMS_MAX  768
#define SSHD_TIMEOUTS_MAX    32
#define SSHD_SUBSYSTEMS_MAX  16
#define SSHD_PORTS_MAX	     16
#define SSHD_PID_FILE	     "/run/warren-sshd.pid"
#define SSHD_INTERNAL_SFTP   "internal-sftp"

struct sshd_words {
	size_t count;
	const char *word[SSHD_WORDS_MAX];
};

enum sshd_root { SSHD_ROOT_NO, SSHD_ROOT_FORCED, SSHD_ROOT_NO_PASSWORD, SSHD_ROOT_YES };
enum sshd_forwarding { SSHD_FORWARD_LOCAL = 1, SSHD_FORWARD_REMOTE = 2, SSHD_FORWARD_BOTH = 3 };
enum sshd_gateway { SSHD_GATEWAY_NO, SSHD_GATEWAY_YES, SSHD_GATEWAY_CLIENT };
enum sshd_family { SSHD_FAMILY_ANY, SSHD_FAMILY_INET, SSHD_FAMILY_INET6 };

/* MaxStartups and what belongs to it. */
struct sshd_startups {
	uint32_t begin, rate, full;
	uint32_t per_source; /* UINT32_MAX: none */
	uint8_t bits4, bits6; /* PerSourceNetBlockSize */
};

struct sshd_subsystem {
	const char *name, *command;
};

/* "session:*" and so on; 0 seconds: none. */
struct sshd_timeout {
	const char *type; /* pattern; type_len bytes */
	size_t type_len;
	uint32_t seconds;
};

/* Strings belong to the configuration that was evaluated. NULL: none. */
struct sshd_options {
	/* listeners */
	size_t port_count;
	uint16_t ports[SSHD_PORTS_MAX];
	struct sshd_words listen; /* as written; sshd_config_listen makes endpoints */
	int address_family;	  /* enum sshd_family */
	bool free_bind, tcp_keep_alive;
	struct sshd_startups startups;
	struct sshd_words host_keys;
	const char *pid_file;
	const char *audit_log; /* a folder */
	int log_level, syslog_facility; /* enum log_level, LOG_AUTH… */
	/* the connection */
	char kex[SSHD_ALGORITHMS_MAX], ciphers[SSHD_ALGORITHMS_MAX], macs[SSHD_ALGORITHMS_MAX];
	char host_key_algorithms[SSHD_ALGORITHMS_MAX], ca_algorithms[SSHD_ALGORITHMS_MAX];
	uint64_t rekey_bytes; /* 0: the cipher's own */
	uint32_t rekey_s;     /* 0: never by time */
	const char *version_addendum;
	uint32_t login_grace_s, max_auth_tries, max_sessions;
	uint32_t alive_interval_s, alive_count_max, unused_timeout_s;
	size_t timeout_count;
	struct sshd_timeout timeouts[SSHD_TIMEOUTS_MAX];
	/* who */
	char key_algorithms[SSHD_ALGORITHMS_MAX]; /* PubkeyAcceptedAlgorithms */
	bool pubkey_authentication, password_authentication, kbd_interactive_authentication;
	bool use_pam, strict_modes;
	uint32_t rsa_bits; /* RequiredRSASize */
	int permit_root; /* enum sshd_root */
	struct sshd_words allow_users, deny_users, allow_groups, deny_groups;
	struct sshd_words authorized_keys_file;
	const char *trusted_ca_keys, *revoked_keys;
	const char *banner;
	/* what */
	bool permit_tty, permit_user_rc, agent_forwarding, disable_forwarding, print_motd, print_last_log;
	int tcp_forwarding, gateway_ports; /* enum sshd_forwarding, sshd_gateway */
	struct sshd_words permit_open, permit_listen, accept_env, set_env;
	const char *user_environment; /* names, as patterns; NULL: ~/.ssh/environment is not read */
	const char *force_command; /* SSHD_INTERNAL_SFTP: files only */
	size_t subsystem_count;
	struct sshd_subsystem subsystems[SSHD_SUBSYSTEMS_MAX];
};

/* Who connects. NULL, or family 0: not known (yet); a block that asks for it does not apply. */
struct sshd_query {
	const char *user, *host, *peer, *identity;
	const char *const *groups; /* of user */
	size_t group_count;
	struct ip_addr address, local_address;
	uint16_t local_port; /* 0: not known */
};

struct sshd_config;

/* One file. name is for messages: "NAME line 3: …". */
struct sshd_source {
	const char *name, *text;
	size_t len;
};

/* An Include line: parse each file that `pattern` names by sshd_config_parse_more. */
typedef int (*sshd_include_fn)(void *ctx, struct sshd_config *c, const char *pattern,
			       struct error *err);

int sshd_config_new(struct sshd_config **ret_config) WARREN_MUST_USE;
/* NULL is fine. */
void sshd_config_free(struct sshd_config *c);
/* Adds a file: -EINVAL and the sentence for the first bad line. A file begins outside of any Match
 * block, an included one within that of its Include. include NULL: Include lines are errors. */
int sshd_config_parse(struct sshd_config *c, const struct sshd_source *source,
		      sshd_include_fn include, void *ctx, struct error *err) WARREN_MUST_USE;
int sshd_config_parse_more(struct sshd_config *c, const struct sshd_source *source,
			   struct error *err) WARREN_MUST_USE;
/* The values for this connection; borrows from c. */
void sshd_config_evaluate(const struct sshd_config *c, const struct sshd_query *q,
			  struct sshd_options *ret_options);
/* Whether anything in it depends on a user's groups, which are dear to ask for. */
bool sshd_config_asks_groups(const struct sshd_config *c);
/* The same configuration as one text without Include lines, for another process. */
int sshd_config_text(const struct sshd_config *c, struct buffer *out) WARREN_MUST_USE;
/* A line as it was read, for who checks what it names; borrowed. */
struct sshd_place {
	const char *keyword; /* as the manual writes it */
	const char *file;
	unsigned line;
	bool in_block; /* of a Match: it need not apply */
	size_t count;
	char *const *words;
	const char *rest; /* of the line, behind the keyword */
	const char *no_effect; /* why this keyword changes nothing here; NULL: it does */
};
typedef void (*sshd_place_fn)(void *ctx, const struct sshd_place *place);
/* Every line that may be in force for somebody: not one behind the first of its keyword outside of
 * Match blocks, nor one that a later line forgets. */
void sshd_config_each(const struct sshd_config *c, sshd_place_fn fn, void *ctx);
/* What Include lines read and the folders they looked into, a path a line; never NULL. */
const char *sshd_config_watched(const struct sshd_config *c);
int sshd_config_watch(struct sshd_config *c, const char *path) WARREN_MUST_USE;
/* As `sshd -T` prints it: a keyword in lower case and its value, a line each. */
int sshd_config_show(const struct sshd_options *o, struct buffer *out) WARREN_MUST_USE;

/* ---- sshd_config_load.c */
/* path: a folder (its *.conf in lexical order) or a file. A missing folder is an empty
 * configuration. The files must belong to root or the caller and be writable by nobody else. */
int sshd_config_read(struct sshd_config *c, const char *path, struct error *err) WARREN_MUST_USE;
int sshd_config_load(const char *path, struct sshd_config **ret_config,
		     struct error *err) WARREN_MUST_USE;
/* A number that differs when a file of the folder, or one of watched, was added, removed or written. */
uint64_t sshd_config_stamp(const char *path, const char *watched);

/* ---- sshd_config_match.c: ssh_config(5), "PATTERNS" */
bool sshd_pattern(const char *text, size_t len, const char *pattern, size_t pattern_len);
/* Comma-separated: 1 matches, 0 not, -1 a negated one matches. */
int sshd_pattern_list(const char *text, const char *list, bool ignore_case);
/* CIDR and patterns: the same, or -2 for a list that is not valid. address family 0 checks only. */
int sshd_address_list(const struct ip_addr *address, const char *list);
/* USER or USER@HOST of AllowUsers: 1, 0, or -1 when it is not valid. user NULL checks only. */
int sshd_user_pattern(const char *user, const struct sshd_query *q, const char *pattern);
/* AllowUsers and its like; NULL, or the keyword that refuses. */
const char *sshd_user_refused(const struct sshd_options *o, const struct sshd_query *q);
/* Is name (or its algorithm) in a comma-separated list of names? */
bool sshd_listed(const char *list, const char *name);
/* AcceptEnv. */
bool sshd_env_accepted(const struct sshd_options *o, const char *name);
/* PermitOpen, PermitListen. */
bool sshd_may_open(const struct sshd_options *o, const char *host, uint16_t port);
bool sshd_may_listen(const struct sshd_options *o, const char *address, uint16_t port);
/* PermitUserEnvironment. */
bool sshd_user_env_permitted(const struct sshd_options *o, const char *name);
/* ChannelTimeout of a channel's type ("session:shell"); 0: none. */
uint32_t sshd_timeout_of(const struct sshd_options *o, const char *type);
/* NULL: there is no such subsystem. */
const char *sshd_subsystem_command(const struct sshd_options *o, const char *name);

/* ---- sshd_config_listen.c */
#define SSHD_LISTEN_MAX 64
/* ListenAddress, Port and AddressFamily as addresses, names looked up; *ret_count of them. */
int sshd_config_listen(const struct sshd_options *o, struct endpoint out[static SSHD_LISTEN_MAX],
		       size_t *ret_count, struct error *err) WARREN_MUST_USE;

#endif
