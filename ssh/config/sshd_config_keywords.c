/* SPDX-License-Identifier: Apache-2.0
 *
 * The keywords of sshd_config(5) that this server knows, in the order in which `-T` prints them, and
 * what a line with one sets.
 */
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <syslog.h>

#include "platform/log.h"
#include "ssh/config/sshd_config_internal.h"

/* What libssh 0.10 has of what is fit for use; first the default. */
static const char *const kex[] = {
	"curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,ecdh-sha2-nistp384,"
	"ecdh-sha2-nistp521,diffie-hellman-group18-sha512,diffie-hellman-group16-sha512,"
	"diffie-hellman-group14-sha256",
	"curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,ecdh-sha2-nistp384,"
	"ecdh-sha2-nistp521,diffie-hellman-group18-sha512,diffie-hellman-group16-sha512,"
	"diffie-hellman-group14-sha256",
};
static const char *const ciphers[] = {
	"chacha20-poly1305@openssh.com,aes256-gcm@openssh.com,aes128-gcm@openssh.com,aes256-ctr,"
	"aes128-ctr",
	"chacha20-poly1305@openssh.com,aes256-gcm@openssh.com,aes128-gcm@openssh.com,aes256-ctr,"
	"aes192-ctr,aes128-ctr",
};
static const char *const macs[] = {
	"hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com",
	"hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256,hmac-sha2-512",
};
static const char *const host_key_algorithms[] = {"ssh-ed25519", "ssh-ed25519"};
#define KEY_ALGORITHMS                                                                             \
	"ssh-ed25519-cert-v01@openssh.com,ecdsa-sha2-nistp256-cert-v01@openssh.com,"               \
	"ecdsa-sha2-nistp384-cert-v01@openssh.com,ecdsa-sha2-nistp521-cert-v01@openssh.com,"       \
	"rsa-sha2-512-cert-v01@openssh.com,rsa-sha2-256-cert-v01@openssh.com,ssh-ed25519,"         \
	"ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,rsa-sha2-512,rsa-sha2-256"
static const char *const key_algorithms[] = {KEY_ALGORITHMS, KEY_ALGORITHMS};

static const struct sshd_choice families[] = {{"any", SSHD_FAMILY_ANY},
					      {"inet", SSHD_FAMILY_INET},
					      {"inet6", SSHD_FAMILY_INET6},
					      {0}};
static const struct sshd_choice roots[] = {{"without-password", SSHD_ROOT_NO_PASSWORD},
					   {"prohibit-password", SSHD_ROOT_NO_PASSWORD},
					   {"forced-commands-only", SSHD_ROOT_FORCED},
					   {"yes", SSHD_ROOT_YES},
					   {"no", SSHD_ROOT_NO},
					   {0}};
static const struct sshd_choice forwardings[] = {{"yes", SSHD_FORWARD_BOTH},
						 {"all", SSHD_FORWARD_BOTH},
						 {"no", 0},
						 {"local", SSHD_FORWARD_LOCAL},
						 {"remote", SSHD_FORWARD_REMOTE},
						 {0}};
static const struct sshd_choice gateways[] = {{"no", SSHD_GATEWAY_NO},
					      {"yes", SSHD_GATEWAY_YES},
					      {"clientspecified", SSHD_GATEWAY_CLIENT},
					      {0}};
static const struct sshd_choice levels[] = {
	{"INFO", LOG_LEVEL_INFO},    {"QUIET", LOG_LEVEL_ERROR},  {"FATAL", LOG_LEVEL_ERROR},
	{"ERROR", LOG_LEVEL_ERROR},  {"VERBOSE", LOG_LEVEL_INFO}, {"DEBUG", LOG_LEVEL_DEBUG},
	{"DEBUG1", LOG_LEVEL_DEBUG}, {"DEBUG2", LOG_LEVEL_DEBUG}, {"DEBUG3", LOG_LEVEL_DEBUG},
	{0}};
static const struct sshd_choice facilities[] = {
	{"AUTH", LOG_AUTH},	{"AUTHPRIV", LOG_AUTHPRIV}, {"DAEMON", LOG_DAEMON},
	{"USER", LOG_USER},	{"LOCAL0", LOG_LOCAL0},	    {"LOCAL1", LOG_LOCAL1},
	{"LOCAL2", LOG_LOCAL2}, {"LOCAL3", LOG_LOCAL3},	    {"LOCAL4", LOG_LOCAL4},
	{"LOCAL5", LOG_LOCAL5}, {"LOCAL6", LOG_LOCAL6},	    {"LOCAL7", LOG_LOCAL7},
	{0}};

#define AT(field) offsetof(struct sshd_options, field)
#define BOOL(word, field, flag, standard)                                                          \
	{.name = word, .kind = KIND_BOOL, .flags = flag, .offset = AT(field), .fixed = standard}
#define NUMBER(word, field, flag, standard, from, to)                                              \
	{.name = word, .kind = KIND_NUMBER, .flags = flag, .offset = AT(field),                    \
	 .fixed = standard, .low = from, .high = to}
#define TIME(word, field, flag, standard)                                                          \
	{.name = word, .kind = KIND_TIME, .flags = flag, .offset = AT(field), .fixed = standard}
#define CHOICE(word, field, flag, choices, standard)                                               \
	{.name = word, .kind = KIND_CHOICE, .flags = flag, .offset = AT(field),                    \
	 .fixed = standard, .more = choices}
#define WORD(word, field, flag)                                                                    \
	{.name = word, .kind = KIND_WORD, .flags = flag, .offset = AT(field)}
#define REST(word, field, flag)                                                                    \
	{.name = word, .kind = KIND_REST, .flags = (flag) | FLAG_RAW, .offset = AT(field)}
#define WORDS(word, field, flag)                                                                   \
	{.name = word, .kind = KIND_WORDS, .flags = flag, .offset = AT(field)}
#define ADD(word, field, flag)                                                                     \
	{.name = word, .kind = KIND_ADD, .flags = (flag) | FLAG_ADD, .offset = AT(field)}
#define ALGORITHMS(word, field, flag, lists)                                                       \
	{.name = word, .kind = KIND_ALGORITHMS, .flags = flag, .offset = AT(field), .more = lists}
#define FIXED(word, value, why)                                                                    \
	{.name = word, .kind = KIND_FIXED, .flags = FLAG_MATCH, .fixed = value, .more = why}
#define NOTHING(word, flag, why)                                                                   \
	{.name = word, .kind = KIND_NOTHING, .flags = flag, .more = why}
#define SPECIAL(word, flag, name_)                                                                 \
	{.name = word, .kind = KIND_SPECIAL, .flags = flag, .apply = sshd_apply_##name_,           \
	 .show = sshd_show_##name_}

#define NO_GSSAPI	"GSSAPI is not offered"
#define NO_HOSTS	"hosts do not vouch for users here"
#define NO_KERBEROS	"Kerberos is not offered"
#define NO_STREAM_LOCAL "the libssh in use cannot forward Unix sockets"
#define NO_TOKENS	"keys on security tokens (sk-…) are refused"
#define NO_X11		"X11 forwarding is not offered"
#define LONG_GONE	"OpenSSH has dropped it, too"

const struct sshd_keyword sshd_keywords[] = {
	SPECIAL("Port", FLAG_ADD | FLAG_CLEAR, port),
	CHOICE("AddressFamily", address_family, 0, families, "any"),
	SPECIAL("ListenAddress", FLAG_ADD | FLAG_CLEAR, listen),
	BOOL("FreeBind", free_bind, 0, "no"),
	BOOL("UsePAM", use_pam, 0, "yes"),
	TIME("LoginGraceTime", login_grace_s, FLAG_NONE, "120"),
	NUMBER("MaxAuthTries", max_auth_tries, FLAG_MATCH, "6", 1, 10000),
	NUMBER("MaxSessions", max_sessions, FLAG_MATCH, "100", 0, 256),
	TIME("ClientAliveInterval", alive_interval_s, FLAG_MATCH, "0"),
	NUMBER("ClientAliveCountMax", alive_count_max, FLAG_MATCH, "3", 0, INT32_MAX),
	TIME("UnusedConnectionTimeout", unused_timeout_s, FLAG_MATCH | FLAG_NONE, "none"),
	CHOICE("PermitRootLogin", permit_root, FLAG_MATCH, roots, "prohibit-password"),
	FIXED("IgnoreRhosts", "yes", "files of other hosts' users are never believed"),
	FIXED("HostbasedAuthentication", "no", "hosts do not vouch for users here"),
	BOOL("PubkeyAuthentication", pubkey_authentication, FLAG_MATCH, "yes"),
	FIXED("KerberosAuthentication", "no", "Kerberos is not offered"),
	FIXED("GSSAPIAuthentication", "no", "GSSAPI is not offered"),
	BOOL("PasswordAuthentication", password_authentication, FLAG_MATCH, "yes"),
	BOOL("KbdInteractiveAuthentication", kbd_interactive_authentication, FLAG_MATCH, "yes"),
	BOOL("PrintMotd", print_motd, 0, "no"),
	BOOL("PrintLastLog", print_last_log, 0, "yes"),
	FIXED("X11Forwarding", "no", "X11 forwarding is not offered"),
	BOOL("PermitTTY", permit_tty, FLAG_MATCH, "yes"),
	BOOL("PermitUserRC", permit_user_rc, FLAG_MATCH, "yes"),
	BOOL("StrictModes", strict_modes, 0, "yes"),
	BOOL("TCPKeepAlive", tcp_keep_alive, 0, "yes"),
	FIXED("PermitEmptyPasswords", "no", "passwords of accounts are never taken"),
	FIXED("Compression", "no", "compression is not offered"),
	CHOICE("GatewayPorts", gateway_ports, FLAG_MATCH, gateways, "no"),
	FIXED("UseDNS", "no", "names of clients are not looked up"),
	CHOICE("AllowTcpForwarding", tcp_forwarding, FLAG_MATCH, forwardings, "yes"),
	BOOL("AllowAgentForwarding", agent_forwarding, FLAG_MATCH, "yes"),
	BOOL("DisableForwarding", disable_forwarding, FLAG_MATCH, "no"),
	FIXED("AllowStreamLocalForwarding", "no", "the libssh in use cannot forward Unix sockets"),
	FIXED("ExposeAuthInfo", "no", "SSH_USER_AUTH is not offered"),
	WORD("PidFile", pid_file, FLAG_NONE),
	WORD("AuditLog", audit_log, FLAG_NONE),
	ALGORITHMS("Ciphers", ciphers, 0, ciphers),
	ALGORITHMS("MACs", macs, 0, macs),
	WORD("Banner", banner, FLAG_MATCH | FLAG_NONE),
	REST("ForceCommand", force_command, FLAG_MATCH | FLAG_NONE),
	FIXED("ChrootDirectory", "none", "another root is not offered (files_only of a policy is)"),
	WORD("TrustedUserCAKeys", trusted_ca_keys, FLAG_NONE),
	WORD("RevokedKeys", revoked_keys, FLAG_MATCH | FLAG_NONE),
	FIXED("AuthorizedPrincipalsFile", "none", "a certificate's principals are its logins"),
	REST("VersionAddendum", version_addendum, FLAG_NONE),
	FIXED("AuthorizedKeysCommand", "none", "keys are read from files only"),
	FIXED("AuthorizedPrincipalsCommand", "none", "a certificate's principals are its logins"),
	FIXED("HostKeyAgent", "none", "host keys are read from files only"),
	ALGORITHMS("KexAlgorithms", kex, 0, kex),
	ALGORITHMS("CASignatureAlgorithms", ca_algorithms, FLAG_MATCH, host_key_algorithms),
	ALGORITHMS("HostKeyAlgorithms", host_key_algorithms, 0, host_key_algorithms),
	ALGORITHMS("PubkeyAcceptedAlgorithms", key_algorithms, FLAG_MATCH, key_algorithms),
	CHOICE("LogLevel", log_level, FLAG_MATCH, levels, "INFO"),
	CHOICE("SyslogFacility", syslog_facility, 0, facilities, "AUTH"),
	WORDS("AuthorizedKeysFile", authorized_keys_file, FLAG_MATCH),
	ADD("HostKey", host_keys, FLAG_CLEAR | FLAG_SPLIT),
	ADD("AllowUsers", allow_users, FLAG_MATCH | FLAG_SPLIT | FLAG_USERS),
	ADD("DenyUsers", deny_users, FLAG_MATCH | FLAG_SPLIT | FLAG_USERS),
	ADD("AllowGroups", allow_groups, FLAG_MATCH | FLAG_SPLIT),
	ADD("DenyGroups", deny_groups, FLAG_MATCH | FLAG_SPLIT),
	ADD("AcceptEnv", accept_env, FLAG_MATCH | FLAG_CLEAR | FLAG_SPLIT),
	{.name = "SetEnv", .kind = KIND_WORDS, .flags = FLAG_MATCH | FLAG_SPLIT,
	 .offset = AT(set_env), .apply = sshd_apply_set_env},
	FIXED("AuthenticationMethods", "any", "a login is one proof; ask for more in the policy"),
	SPECIAL("ChannelTimeout", FLAG_MATCH | FLAG_NONE, timeout),
	SPECIAL("Subsystem", FLAG_ADD, subsystem),
	SPECIAL("MaxStartups", 0, max_startups),
	SPECIAL("PerSourceMaxStartups", 0, per_source),
	SPECIAL("PerSourceNetBlockSize", 0, net_block),
	FIXED("PermitTunnel", "no", "tunnels are the mesh's business"),
	SPECIAL("RekeyLimit", 0, rekey),
	SPECIAL("PermitOpen", FLAG_MATCH, permit_open),
	SPECIAL("PermitListen", FLAG_MATCH, permit_listen),
	FIXED("DebianBanner", "no", "the distribution is not told to anybody"),
	SPECIAL("PermitUserEnvironment", 0, user_env),
	NUMBER("RequiredRSASize", rsa_bits, FLAG_MATCH, "2048", 2048, 16384),
	FIXED("FingerprintHash", "sha256", "fingerprints in the log are SHA-256"),
	FIXED("GSSAPIKeyExchange", "no", "GSSAPI is not offered"),
	FIXED("HostCertificate", "none", "the libssh in use cannot show a host certificate"),
	NOTHING("AuthorizedKeysCommandUser", FLAG_MATCH, "there is no AuthorizedKeysCommand"),
	NOTHING("AuthorizedPrincipalsCommandUser", FLAG_MATCH,
		"there is no AuthorizedPrincipalsCommand"),
	NOTHING("GSSAPICleanupCredentials", 0, NO_GSSAPI),
	NOTHING("GSSAPIKexAlgorithms", 0, NO_GSSAPI),
	NOTHING("GSSAPIStoreCredentialsOnRekey", 0, NO_GSSAPI),
	NOTHING("GSSAPIStrictAcceptorCheck", 0, NO_GSSAPI),
	NOTHING("HostbasedAcceptedAlgorithms", FLAG_MATCH, NO_HOSTS),
	NOTHING("HostbasedUsesNameFromPacketOnly", FLAG_MATCH, NO_HOSTS),
	NOTHING("IgnoreUserKnownHosts", 0, NO_HOSTS),
	NOTHING("IPQoS", FLAG_MATCH, "this server does not mark its packets"),
	NOTHING("KerberosGetAFSToken", 0, NO_KERBEROS),
	NOTHING("KerberosOrLocalPasswd", 0, NO_KERBEROS),
	NOTHING("KerberosTicketCleanup", 0, NO_KERBEROS),
	NOTHING("LogVerbose", FLAG_MATCH, "LogLevel is for the whole server"),
	NOTHING("ModuliFile", 0, "key exchanges with groups of a file are not offered"),
	NOTHING("PubkeyAuthOptions", FLAG_MATCH, NO_TOKENS),
	NOTHING("SecurityKeyProvider", 0, NO_TOKENS),
	NOTHING("StreamLocalBindMask", FLAG_MATCH, NO_STREAM_LOCAL),
	NOTHING("StreamLocalBindUnlink", FLAG_MATCH, NO_STREAM_LOCAL),
	NOTHING("X11DisplayOffset", FLAG_MATCH, NO_X11),
	NOTHING("X11UseLocalhost", FLAG_MATCH, NO_X11),
	NOTHING("XAuthLocation", 0, NO_X11),
	/* What OpenSSH itself passes over. */
	NOTHING("Protocol", 0, "there is no protocol but version 2"),
	NOTHING("UsePrivilegeSeparation", 0, "privileges are always separated"),
	NOTHING("UseLogin", 0, LONG_GONE),
	NOTHING("RSAAuthentication", FLAG_MATCH, LONG_GONE),
	NOTHING("RhostsRSAAuthentication", FLAG_MATCH, LONG_GONE),
	NOTHING("RhostsAuthentication", 0, LONG_GONE),
	NOTHING("ServerKeyBits", 0, LONG_GONE),
	NOTHING("KeyRegenerationInterval", 0, LONG_GONE),
	NOTHING("CheckMail", 0, LONG_GONE),
	NOTHING("VerifyReverseMapping", 0, LONG_GONE),
	NOTHING("ReverseMappingCheck", 0, LONG_GONE),
	NOTHING("AuthorizedKeysFile2", FLAG_MATCH, LONG_GONE),
	NOTHING("PAMAuthenticationViaKbdInt", 0, LONG_GONE),
	NOTHING("AFSTokenPassing", 0, LONG_GONE),
	NOTHING("KerberosTgtPassing", 0, LONG_GONE),
};
const size_t sshd_keyword_count = sizeof(sshd_keywords) / sizeof(sshd_keywords[0]);

static const struct {
	const char *old, *name;
} aliases[] = {
	{"ChallengeResponseAuthentication", "KbdInteractiveAuthentication"},
	{"PubkeyAcceptedKeyTypes", "PubkeyAcceptedAlgorithms"},
	{"DSAAuthentication", "PubkeyAuthentication"},
	{"SkeyAuthentication", "KbdInteractiveAuthentication"},
	{"HostbasedAcceptedKeyTypes", "HostbasedAcceptedAlgorithms"},
	{"HostDSAKey", "HostKey"},
	{"KeepAlive", "TCPKeepAlive"},
};

const struct sshd_keyword *sshd_keyword_find(const char *name)
{
	for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++)
		if (strcasecmp(aliases[i].old, name) == 0)
			name = aliases[i].name;
	for (size_t i = 0; i < sshd_keyword_count; i++)
		if (strcasecmp(sshd_keywords[i].name, name) == 0)
			return &sshd_keywords[i];
	return NULL;
}

static void *field(struct sshd_options *o, const struct sshd_keyword *k)
{
	return (char *)o + k->offset;
}

static int apply_bool(const struct sshd_keyword *k, const char *word, bool *ret, struct error *err)
{
	if (strcasecmp(word, "yes") != 0 && strcasecmp(word, "no") != 0)
		return error_set(err, -EINVAL, "%s: \"%s\" is neither yes nor no", k->name, word);
	*ret = strcasecmp(word, "yes") == 0;
	return 0;
}

static int apply_choice(const struct sshd_keyword *k, const char *word, int *ret, struct error *err)
{
	char known[256] = "";
	size_t at = 0;

	for (const struct sshd_choice *c = k->more; c->word != NULL; c++) {
		size_t len = strlen(c->word);

		if (strcasecmp(c->word, word) == 0) {
			*ret = c->value;
			return 0;
		}
		if (at + len + 3 < sizeof(known)) {
			memcpy(known + at, at > 0 ? ", " : "", at > 0 ? 2 : 0);
			at += at > 0 ? 2 : 0;
			memcpy(known + at, c->word, len + 1);
			at += len;
		}
	}
	return error_set(err, -EINVAL, "%s: \"%s\" is none of %s", k->name, word, known);
}

static bool is_none(const struct sshd_keyword *k, const char *word)
{
	return (k->flags & FLAG_NONE) != 0 && strcasecmp(word, "none") == 0;
}

static int apply_number(const struct sshd_keyword *k, const char *word, uint32_t *ret,
			struct error *err)
{
	if (sshd_value_number(word, k->low, k->high, ret) < 0)
		return error_set(err, -EINVAL, "%s: \"%s\" is no whole number from %u to %u",
				 k->name, word, k->low, k->high);
	return 0;
}

static int apply_time(const struct sshd_keyword *k, const char *word, uint32_t *ret,
		      struct error *err)
{
	if (is_none(k, word)) {
		*ret = 0;
		return 0;
	}
	if (sshd_value_time(word, ret) < 0)
		return error_set(err, -EINVAL,
				 "%s: \"%s\" is no time; write seconds, or 1m30s, 2h, 1d", k->name,
				 word);
	return 0;
}

static int apply_fixed(const struct sshd_keyword *k, const char *word, struct error *err)
{
	if (strcasecmp(word, k->fixed) != 0)
		return error_set(err, -EINVAL, "%s %s: %s; the only value is %s", k->name, word,
				 (const char *)k->more, k->fixed);
	return 0;
}

static int check_users(const struct sshd_line *l, struct error *err)
{
	const struct sshd_query nobody = {0};

	for (size_t i = 0; i < l->count; i++)
		if (sshd_user_pattern(NULL, &nobody, l->words[i]) < 0)
			return error_set(err, -EINVAL, "%s: \"%s\" is no USER or USER@HOST",
					 l->keyword->name, l->words[i]);
	return 0;
}

static int apply_words(const struct sshd_line *l, struct sshd_words *w, struct error *err)
{
	bool names = l->keyword->offset == AT(accept_env);
	int r = 0;

	for (size_t i = 0; i < l->count; i++)
		if (l->words[i][0] == '\0' || (names && strchr(l->words[i], '=') != NULL))
			return error_set(err, -EINVAL, "%s: \"%s\" is no %s", l->keyword->name,
					 l->words[i], names ? "name" : "value");

	if (l->keyword->kind == KIND_WORDS || l->count == 0)
		w->count = 0;
	if ((l->keyword->flags & FLAG_USERS) != 0)
		r = check_users(l, err);
	return r < 0 ? r : sshd_value_add(w, l, err);
}

int sshd_keyword_apply(const struct sshd_line *l, struct sshd_options *o, struct error *err)
{
	const struct sshd_keyword *k = l->keyword;
	void *to = field(o, k);

	if (l->count == 0 && (k->flags & FLAG_CLEAR) == 0)
		return error_set(err, -EINVAL, "%s: a value is missing", k->name);
	if (k->apply != NULL)
		return k->apply(l, o, err);
	if (l->count > 1 && k->kind != KIND_WORDS && k->kind != KIND_ADD && k->kind != KIND_REST &&
	    k->kind != KIND_NOTHING)
		return error_set(err, -EINVAL, "%s takes one value: \"%s\" is too much", k->name,
				 l->words[1]);
	switch (k->kind) {
	case KIND_BOOL:
		return apply_bool(k, l->words[0], to, err);
	case KIND_NUMBER:
		return apply_number(k, l->words[0], to, err);
	case KIND_TIME:
		return apply_time(k, l->words[0], to, err);
	case KIND_CHOICE:
		return apply_choice(k, l->words[0], to, err);
	case KIND_FIXED:
		return apply_fixed(k, l->words[0], err);
	case KIND_WORD:
		*(const char **)to = is_none(k, l->words[0]) ? NULL : l->words[0];
		return 0;
	case KIND_REST:
		*(const char **)to = is_none(k, l->rest) ? NULL : l->rest;
		return 0;
	case KIND_WORDS:
	case KIND_ADD:
		return apply_words(l, to, err);
	case KIND_ALGORITHMS:
		return sshd_value_algorithms(k, l->words[0], to, err);
	case KIND_NOTHING:
		return 0;
	case KIND_SPECIAL:
	default:
		return -EINVAL;
	}
}

static void set_words(struct sshd_words *w, const char *const *words)
{
	for (; *words != NULL; words++)
		w->word[w->count++] = *words;
}

/* As Debian's sshd: locale and colours. */
static const char *const accept_env[] = {"LANG", "LC_*", "COLORTERM", NULL};
static const char *const key_files[] = {".ssh/authorized_keys", ".ssh/authorized_keys2", NULL};

void sshd_keyword_defaults(struct sshd_options *o)
{
	memset(o, 0, sizeof(*o));
	for (size_t i = 0; i < sshd_keyword_count; i++) {
		const struct sshd_keyword *k = &sshd_keywords[i];
		void *to = field(o, k);

		if (k->kind == KIND_BOOL)
			(void)apply_bool(k, k->fixed, to, NULL);
		else if (k->kind == KIND_NUMBER)
			(void)apply_number(k, k->fixed, to, NULL);
		else if (k->kind == KIND_TIME)
			(void)apply_time(k, k->fixed, to, NULL);
		else if (k->kind == KIND_CHOICE)
			(void)apply_choice(k, k->fixed, to, NULL);
		else if (k->kind == KIND_ALGORITHMS)
			memcpy(to, ((const char *const *)k->more)[0],
			       strlen(((const char *const *)k->more)[0]) + 1);
	}
	o->startups = (struct sshd_startups){100, 30, 300, 64, 32, 128};
	o->pid_file = SSHD_PID_FILE;
	o->audit_log = SSHD_AUDIT_FOLDER;
	set_words(&o->accept_env, accept_env);
	set_words(&o->authorized_keys_file, key_files);
	o->subsystems[0] = (struct sshd_subsystem){"sftp", "/usr/lib/openssh/sftp-server"};
	o->subsystem_count = 1;
}
