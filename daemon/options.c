/* SPDX-License-Identifier: Apache-2.0
 *
 * Options of warrend. The file is plain JSON with a fixed set of keys; whatever is wrong in it is
 * named with line and column, and nothing is guessed.
 */
#include "daemon/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/buffer.h"
#include "platform/file.h"
#include "platform/json.h"
#include "ssh/config/sshd_config.h"

enum { MAX_CONFIG_BYTES = 64 * 1024, MIN_MTU = 1280, MAX_MTU = 9000 };

const char options_usage[] =
	"usage: warrend [--state-dir DIR] [--socket PATH] [--interface-name NAME]\n"
	"               [--wireguard-port N] [--shards N] [--log-level error|warn|info|debug]\n"
	"               [--log-json] [--sshd-config FOLDER] [--config FILE] [--foreground]\n"
	"               [--help] [--version]\n";

static int copy_text(char *out, size_t cap, const char *text, const char *what, struct error *err)
{
	size_t len = strlen(text);

	if (len == 0 || len >= cap)
		return error_set(err, -EINVAL, "%s must have 1 to %zu characters", what, cap - 1);
	memcpy(out, text, len + 1);
	return 0;
}

static int set_state_dir(struct daemon_options *o, const char *text, struct error *err)
{
	if (text[0] != '/')
		return error_set(err, -EINVAL,
				 "the state directory \"%.100s\" must be an absolute path", text);
	return copy_text(o->state_dir, sizeof(o->state_dir), text, "the state directory", err);
}

static int set_socket(struct daemon_options *o, const char *text, struct error *err)
{
	if (text[0] != '/')
		return error_set(err, -EINVAL, "the socket \"%.100s\" must be an absolute path",
				 text);
	return copy_text(o->socket, sizeof(o->socket), text, "the path of the socket", err);
}

static int set_sshd_config(struct daemon_options *o, const char *text, struct error *err)
{
	if (text[0] != '/')
		return error_set(err, -EINVAL,
				 "the SSH server's configuration \"%.100s\" must be an absolute path",
				 text);
	return copy_text(o->sshd_config, sizeof(o->sshd_config), text,
			 "the path of the SSH server's configuration", err);
}

static int set_issuer_ca_file(struct daemon_options *o, const char *text, struct error *err)
{
	if (text[0] != '/')
		return error_set(
			err, -EINVAL,
			"the file of the provider's CA \"%.100s\" must be an absolute path", text);
	return copy_text(o->issuer_ca_file, sizeof(o->issuer_ca_file), text,
			 "the path of the provider's CA", err);
}

static int set_interface(struct daemon_options *o, const char *text, struct error *err)
{
	if (strpbrk(text, "/ \t\n:%") || strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
		return error_set(err, -EINVAL,
				 "\"%.40s\" is no name for an interface: use letters and digits",
				 text);
	return copy_text(o->interface, sizeof(o->interface), text, "the name of the interface",
			 err);
}

static int set_port(struct daemon_options *o, const char *text, struct error *err)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (errno || end == text || *end || value < 1 || value > 65535)
		return error_set(err, -EINVAL, "the WireGuard port \"%.40s\" must be 1 to 65535",
				 text);
	o->wireguard_port = (uint16_t)value;
	return 0;
}

static int set_shards(struct daemon_options *o, const char *text, struct error *err)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (errno || end == text || *end || value < 1 || value > DAEMON_MAX_SHARDS)
		return error_set(err, -EINVAL, "the number of shards \"%.40s\" must be 1 to %d",
				 text, DAEMON_MAX_SHARDS);
	o->shards = (unsigned)value;
	return 0;
}

static int set_log_level(struct daemon_options *o, const char *text, struct error *err)
{
	if (log_level_parse(text, &o->log_level) < 0)
		return error_set(err, -EINVAL,
				 "the log level \"%.40s\" must be error, warn, info or debug",
				 text);
	return 0;
}

static int set_prefix(struct ip_prefix *out, const char *text, uint8_t family, struct error *err)
{
	struct ip_prefix prefix;

	if (ip_prefix_parse(text, &prefix) < 0 || prefix.addr.family != family || prefix.bits < 8)
		return error_set(err, -EINVAL, "\"%.60s\" is no IPv%u prefix such as %s", text,
				 family, family == 4 ? "100.64.0.0/10" : "fd00::/8");
	*out = prefix;
	return 0;
}

/* Line and column of the member `key` of the outermost object (of the text's start, when there is
 * no such key as it is written here). */
static void locate(const char *text, size_t len, const char *key, unsigned *ret_line,
		   unsigned *ret_col)
{
	const size_t key_len = strlen(key);
	unsigned line = 1, depth = 0;
	size_t line_start = 0;

	*ret_line = *ret_col = 1;
	for (size_t i = 0; i < len; i++) {
		size_t start = i;

		if (text[i] == '\n') {
			line++;
			line_start = i + 1;
		} else if (text[i] == '{' || text[i] == '[') {
			depth++;
		} else if (text[i] == '}' || text[i] == ']') {
			depth--;
		} else if (text[i] == '"') {
			for (i++; i < len && text[i] != '"'; i++)
				i += text[i] == '\\';
			if (depth == 1 && i - start - 1 == key_len &&
			    memcmp(text + start + 1, key, key_len) == 0) {
				*ret_line = line;
				*ret_col = (unsigned)(start - line_start + 1);
				return;
			}
		}
	}
}

struct config_key {
	const char *name;
	int (*set)(struct daemon_options *o, const json_t *object, const char *key,
		   struct error *err);
};

/* text (borrowed) of a string member. */
static int member_text(const json_t *object, const char *key, const char **ret_text,
		       struct error *err)
{
	return json_get_text(object, key, 255, ret_text, err);
}

static int config_text(struct daemon_options *o, const json_t *object, const char *key,
		       struct error *err)
{
	const char *text;
	int rc = member_text(object, key, &text, err);

	if (rc < 0)
		return rc;
	if (strcmp(key, "socket") == 0)
		return set_socket(o, text, err);
	if (strcmp(key, "state_dir") == 0)
		return set_state_dir(o, text, err);
	if (strcmp(key, "interface") == 0)
		return set_interface(o, text, err);
	if (strcmp(key, "sshd_config") == 0)
		return set_sshd_config(o, text, err);
	if (strcmp(key, "issuer_ca_file") == 0)
		return set_issuer_ca_file(o, text, err);
	if (strcmp(key, "log_level") == 0)
		return set_log_level(o, text, err);
	if (strcmp(key, "overlay_prefix4") == 0)
		return set_prefix(&o->prefix4, text, 4, err);
	return set_prefix(&o->prefix6, text, 6, err);
}

static int config_number(struct daemon_options *o, const json_t *object, const char *key,
			 struct error *err)
{
	bool is_port = strcmp(key, "wireguard_port") == 0;
	bool is_mtu = strcmp(key, "mtu") == 0;
	int64_t value;
	int rc = json_get_int(object, key, is_mtu ? MIN_MTU : 1,
			      is_port  ? 65535
			      : is_mtu ? MAX_MTU
				       : DAEMON_MAX_SHARDS,
			      &value, err);

	if (rc < 0)
		return rc;
	if (is_port)
		o->wireguard_port = (uint16_t)value;
	else if (is_mtu)
		o->mtu = (unsigned)value;
	else
		o->shards = (unsigned)value;
	return 0;
}

static const struct config_key config_keys[] = {
	{"socket", config_text},	  {"state_dir", config_text},
	{"interface", config_text},	  {"wireguard_port", config_number},
	{"overlay_prefix4", config_text}, {"overlay_prefix6", config_text},
	{"mtu", config_number},		  {"log_level", config_text},
	{"issuer_ca_file", config_text},  {"sshd_config", config_text},
	{"shards", config_number},
};

static const struct config_key *find_key(const char *name)
{
	for (size_t i = 0; i < sizeof(config_keys) / sizeof(config_keys[0]); i++)
		if (strcmp(config_keys[i].name, name) == 0)
			return &config_keys[i];
	return NULL;
}

int options_config(const char *file, const char *text, size_t len, struct daemon_options *options,
		   struct error *err)
{
	struct daemon_options o = *options;
	struct error inner = {0};
	json_error_t where;
	unsigned line, col;
	const char *name;
	json_t *object, *value;
	int rc = 0;

	if (len > MAX_CONFIG_BYTES)
		return error_set(err, -EMSGSIZE, "%s is longer than %d bytes", file,
				 MAX_CONFIG_BYTES);
	object = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
	if (!object)
		return error_set(err, -EINVAL, "%s:%d:%d: %s", file, where.line, where.column,
				 where.text);
	if (!json_is_object(object)) {
		json_decref(object);
		return error_set(err, -EINVAL, "%s:1:1: expected an object: { … }", file);
	}
	json_object_foreach(object, name, value)
	{
		const struct config_key *key = find_key(name);

		rc = key ? key->set(&o, object, name, &inner)
			 : error_set(&inner, -EINVAL,
				     "unknown key \"%.60s\": the keys are socket, state_dir, "
				     "interface, "
				     "wireguard_port, overlay_prefix4, overlay_prefix6, mtu, "
				     "shards, log_level, issuer_ca_file, sshd_config",
				     name);
		if (rc < 0) {
			locate(text, len, name, &line, &col);
			error_set(err, rc, "%s:%u:%u: %s", file, line, col, error_text(&inner));
			break;
		}
	}
	json_decref(object);
	if (rc == 0)
		*options = o;
	return rc;
}

static int load_config(const char *file, bool may_be_missing, struct daemon_options *o,
		       struct error *err)
{
	struct buffer text;
	int rc;

	buffer_init(&text, MAX_CONFIG_BYTES);
	rc = file_read(file, &text);
	if (rc == 0)
		rc = options_config(file, (const char *)text.data, text.len, o, err);
	else if (rc == -ENOENT && may_be_missing)
		rc = 0;
	else
		error_set(err, rc, "cannot read %s: %s", file, strerror(-rc));
	buffer_done(&text);
	/* Something is wrong in a file, not on the command line. */
	return rc == -EINVAL ? -EBADMSG : rc;
}

void options_defaults(struct daemon_options *ret_options)
{
	*ret_options = (struct daemon_options){
		.state_dir = "/var/lib/warren",
		.socket = "/run/warren/warrend.sock",
		.interface = "wrn0",
		.wireguard_port = 51820,
		.shards = 1,
		.prefix4 = {{4, {100, 64}}, 10},
		.prefix6 = {{6, {0xfd}}, 8},
		.log_level = LOG_LEVEL_INFO,
		.sshd_config = SSHD_CONFIG_DIR,
	};
}

enum option_id {
	OPTION_STATE_DIR = 256,
	OPTION_SOCKET,
	OPTION_INTERFACE,
	OPTION_PORT,
	OPTION_SHARDS,
	OPTION_LOG_LEVEL,
	OPTION_LOG_JSON,
	OPTION_CONFIG,
	OPTION_SSHD_CONFIG,
	OPTION_ROLE,
	OPTION_FOREGROUND,
	OPTION_HELP,
	OPTION_VERSION,
};

static int apply(struct daemon_options *o, int id, const char *value, struct error *err)
{
	switch (id) {
	case OPTION_STATE_DIR:
		return set_state_dir(o, value, err);
	case OPTION_SOCKET:
		return set_socket(o, value, err);
	case OPTION_INTERFACE:
		return set_interface(o, value, err);
	case OPTION_PORT:
		return set_port(o, value, err);
	case OPTION_SHARDS:
		return set_shards(o, value, err);
	case OPTION_LOG_LEVEL:
		return set_log_level(o, value, err);
	case OPTION_SSHD_CONFIG:
		return set_sshd_config(o, value, err);
	case OPTION_LOG_JSON:
		o->log_json = true;
		return 0;
	case OPTION_ROLE:
		return copy_text(o->role, sizeof(o->role), value, "the role", err);
	case OPTION_HELP:
		o->help = true;
		return 0;
	case OPTION_VERSION:
		o->version = true;
		return 0;
	case OPTION_CONFIG:
	case OPTION_FOREGROUND: /* warrend always stays there; scripts may say so */
		return 0;
	default:
		return -EINVAL;
	}
}

/* One run over argv: *ret_config is the last --config. */
static int scan(int argc, char *const *argv, struct daemon_options *o, const char **ret_config,
		struct error *err)
{
	static const struct option options[] = {
		{"state-dir", required_argument, NULL, OPTION_STATE_DIR},
		{"socket", required_argument, NULL, OPTION_SOCKET},
		{"interface-name", required_argument, NULL, OPTION_INTERFACE},
		{"wireguard-port", required_argument, NULL, OPTION_PORT},
		{"shards", required_argument, NULL, OPTION_SHARDS},
		{"log-level", required_argument, NULL, OPTION_LOG_LEVEL},
		{"log-json", no_argument, NULL, OPTION_LOG_JSON},
		{"sshd-config", required_argument, NULL, OPTION_SSHD_CONFIG},
		{"config", required_argument, NULL, OPTION_CONFIG},
		{"role", required_argument, NULL, OPTION_ROLE},
		{"foreground", no_argument, NULL, OPTION_FOREGROUND},
		{"help", no_argument, NULL, OPTION_HELP},
		{"version", no_argument, NULL, OPTION_VERSION},
		{0},
	};
	int id, rc;

	optind = 0; /* glibc: start over */
	opterr = 0;
	while ((id = getopt_long(argc, argv, "+:", options, NULL)) != -1) {
		const char *given = argv[optind - 1];

		if (id == ':')
			return error_set(err, -EINVAL, "%.60s needs a value", given);
		if (id == '?')
			return error_set(err, -EINVAL, "there is no option %.60s", given);
		if (id == OPTION_CONFIG)
			*ret_config = optarg;
		rc = apply(o, id, optarg, err);
		if (rc < 0)
			return rc;
	}
	if (optind < argc)
		return error_set(err, -EINVAL, "unexpected argument \"%.60s\"", argv[optind]);
	return 0;
}

int options_parse(int argc, char *const *argv, struct daemon_options *ret_options,
		  struct error *err)
{
	const char *config = NULL;
	struct daemon_options o, first;
	int rc;

	options_defaults(&o);
	first = o;
	rc = scan(argc, argv, &first, &config, err);
	/* The roles are started by a broker that has read the file, perhaps long ago. */
	if (rc == 0 && first.role[0] == '\0' && !first.help && !first.version)
		rc = load_config(config ? config : OPTIONS_DEFAULT_CONFIG, !config, &o, err);
	if (rc == 0)
		rc = scan(argc, argv, &o, &config, err);
	if (rc < 0)
		return rc;
	*ret_options = o;
	return 0;
}
