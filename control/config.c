/* SPDX-License-Identifier: Apache-2.0
 *
 * /etc/warren/control.json: strict, every key known, every value in bounds. The keys are documented
 * in warren-control(8).
 */
#include "control/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/file.h"
#include "platform/json.h"
#include "platform/netlink.h"

#define MAX_FILE (1u << 20)

void config_defaults(struct control_config *config, struct config_more *more)
{
	*config = (struct control_config){
		.state_dir = "/var/lib/warren-control",
		.listen = "0.0.0.0:8443",
		.stun_listen = "0.0.0.0:3478",
		.admin_socket = CONFIG_SOCKET,
		.domain = "warren.internal",
		.user_claim = "email",
		.groups_claim = "groups",
		.map_ttl_s = 86400,
		.login_ttl_s = 86400,
		.prefix4 = "100.64.0.0/10",
		.ssh_default = true,
	};
	*more = (struct config_more){.log_level = "info"};
}

/* ---- the file ---- */

static json_t *read_file(const char *file, struct error *err)
{
	struct buffer text;
	json_t *root = NULL;
	int r;

	buffer_init(&text, MAX_FILE);
	r = file_read(file, &text);
	if (r < 0) {
		error_set(err, r, "%s cannot be read: %s", file, strerror(-r));
	} else {
		root = json_load_strict((const char *)text.data, text.len, MAX_FILE, err);
		if (!root)
			error_prefix(err, "%s", file);
	}
	buffer_done(&text);
	if (root && !json_is_object(root)) {
		error_set(err, -EINVAL, "%s is not a JSON object", file);
		json_decref(root);
		return NULL;
	}
	return root;
}

struct text_key {
	const char *key;
	char *out;
	size_t cap;
};

static int get_texts(const json_t *root, const struct text_key *keys, size_t count,
		     struct error *err)
{
	int r = 0;

	for (size_t i = 0; i < count && (r == 0 || r == -ENOENT); i++)
		r = json_get_string(root, keys[i].key, keys[i].out, keys[i].cap, err);
	return r == -ENOENT ? 0 : r;
}

static int get_bools(const json_t *root, struct control_config *config, struct config_more *more,
		     struct error *err)
{
	int r = json_get_bool(root, "demo", &config->demo, err);

	if (r == 0 || r == -ENOENT)
		r = json_get_bool(root, "ssh_default", &config->ssh_default, err);
	if (r == 0 || r == -ENOENT)
		r = json_get_bool(root, "log_json", &more->log_json, err);
	if (r == 0 || r == -ENOENT)
		r = json_get_bool(root, "login_enrolls", &config->login_enrolls, err);
	if (r == 0)
		more->login_enrolls_set = true;
	return r == -ENOENT ? 0 : r;
}

static int get_ttl(const json_t *root, const char *key, uint32_t *ret_s, struct error *err)
{
	int64_t v;
	int r = json_get_int(root, key, 60, INT64_C(7) * 86400, &v, err);

	if (r == 0)
		*ret_s = (uint32_t)v;
	return r == -ENOENT ? 0 : r;
}

static int apply(const json_t *root, struct control_config *c, struct config_more *more,
		 struct error *err)
{
	static const char *const known[] = {
		"state_dir",	  "listen",	"stun",		"public_url",
		"socket",	  "tls_cert",	"tls_key",	"domain",
		"demo",		  "issuer",	"client_id",	"client_secret_file",
		"issuer_ca_file", "user_claim", "groups_claim", "map_ttl_s",
		"login_ttl_s",	  "prefix4",	"ssh_default",	"login_enrolls",
		"issuers",	  "log_level",	"log_json",	NULL,
	};
	const struct text_key texts[] = {
		{"state_dir", c->state_dir, sizeof(c->state_dir)},
		{"listen", c->listen, sizeof(c->listen)},
		{"stun", c->stun_listen, sizeof(c->stun_listen)},
		{"public_url", c->public_url, sizeof(c->public_url)},
		{"socket", c->admin_socket, sizeof(c->admin_socket)},
		{"tls_cert", c->tls_cert, sizeof(c->tls_cert)},
		{"tls_key", c->tls_key, sizeof(c->tls_key)},
		{"domain", c->domain, sizeof(c->domain)},
		{"issuer", c->issuer, sizeof(c->issuer)},
		{"client_id", c->client_id, sizeof(c->client_id)},
		{"client_secret_file", c->client_secret_file, sizeof(c->client_secret_file)},
		{"issuer_ca_file", c->issuer_ca_file, sizeof(c->issuer_ca_file)},
		{"user_claim", c->user_claim, sizeof(c->user_claim)},
		{"groups_claim", c->groups_claim, sizeof(c->groups_claim)},
		{"prefix4", c->prefix4, sizeof(c->prefix4)},
		{"log_level", more->log_level, sizeof(more->log_level)},
	};
	int r = json_only_keys(root, known, err);

	if (r == 0)
		r = get_texts(root, texts, sizeof(texts) / sizeof(texts[0]), err);
	if (r == 0)
		r = get_bools(root, c, more, err);
	if (r == 0)
		r = config_issuers(root, c, err);
	if (r == 0)
		r = get_ttl(root, "map_ttl_s", &c->map_ttl_s, err);
	if (r == 0)
		r = get_ttl(root, "login_ttl_s", &c->login_ttl_s, err);
	return r;
}

int config_load(const char *file, bool missing_ok, struct control_config *config,
		struct config_more *more, struct error *err)
{
	int r = 0;

	if (missing_ok && access(file, F_OK) < 0 && errno == ENOENT)
		return 0;
	json_t *root = read_file(file, err);
	if (!root)
		return err && err->code ? err->code : -EINVAL;
	r = apply(root, config, more, err);
	if (r < 0)
		r = error_prefix(err, "%s", file);
	json_decref(root);
	return r;
}

bool config_socket(const char *file, char *out, size_t cap)
{
	json_t *root = read_file(file, NULL);
	bool found = root && json_get_string(root, "socket", out, cap, NULL) == 0;

	json_decref(root);
	return found;
}

/* ---- what depends on the rest ---- */

/* Where peers reach us when nobody said: the listening address, else the first address of this
 * machine, else its name. */
static void guess_host(const struct endpoint *listen, char *out, size_t cap)
{
	struct netlink_local_addr addrs[64];
	struct ip_addr addr, none = {0};
	char text[IP_ADDR_STRLEN];
	size_t count = 0;

	endpoint_ip(listen, &addr);
	none.family = addr.family;
	if (ip_addr_equal(&addr, &none)) {
		addr.family = 0;
		if (netlink_list_addrs(addrs, 64, &count) < 0)
			count = 0;
		for (size_t i = 0; i < count && addr.family != 4; i++)
			if (!addrs[i].link_local && (addr.family == 0 || addrs[i].addr.family == 4))
				addr = addrs[i].addr;
	}
	if (addr.family) {
		snprintf(out, cap, addr.family == 6 ? "[%s]" : "%s", ip_addr_format(&addr, text));
		return;
	}
	if (gethostname(out, cap) < 0 || !out[0])
		snprintf(out, cap, "localhost");
	out[cap - 1] = 0;
}

static int finish_url(struct control_config *c, struct error *err)
{
	struct endpoint ep;
	char host[128];
	size_t len;

	if (endpoint_parse(c->listen, &ep) < 0)
		return error_set(err, -EINVAL,
				 "\"listen\" is \"%s\": write an address and a port, such as "
				 "0.0.0.0:8443",
				 c->listen);
	if (!c->public_url[0]) {
		guess_host(&ep, host, sizeof(host));
		snprintf(c->public_url, sizeof(c->public_url), "https://%s:%u", host,
			 (unsigned)endpoint_port(&ep));
	}
	len = strlen(c->public_url);
	while (len && c->public_url[len - 1] == '/')
		c->public_url[--len] = 0;
	if (strncmp(c->public_url, "https://", 8) != 0 || strchr(c->public_url + 8, '/') ||
	    strpbrk(c->public_url, " ?#@\"\\"))
		return error_set(
			err, -EINVAL,
			"\"public_url\" is \"%s\": write the address under which peers and "
			"browsers reach this server, such as https://control.example.com:8443",
			c->public_url);
	return 0;
}

int config_finish(struct control_config *c, struct config_more *more, struct error *err)
{
	int r = finish_url(c, err);

	if (r < 0)
		return r;
	if ((c->tls_cert[0] == 0) != (c->tls_key[0] == 0))
		return error_set(
			err, -EINVAL,
			"\"tls_cert\" and \"tls_key\" belong together: give both or neither");
	c->tls_self_made = c->tls_cert[0] == 0;
	r = config_issuers_finish(c, err);
	if (r < 0)
		return r;
	if (!c->issuer[0]) {
		snprintf(c->client_id, sizeof(c->client_id), "warren");
		if (!more->login_enrolls_set)
			c->login_enrolls = true; /* its users are this network's own */
	}
	if (!c->domain[0] || strlen(c->domain) > 120 || strpbrk(c->domain, " /:\"\\"))
		return error_set(err, -EINVAL,
				 "\"domain\" is \"%s\": write a domain such as "
				 "warren.internal",
				 c->domain);
	return 0;
}
