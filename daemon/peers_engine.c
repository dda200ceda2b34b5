/* SPDX-License-Identifier: Apache-2.0
 *
 * What the engine has and what it should have, in the words of the UAPI protocol
 * (wireguard.com/xplatform). A restarted main asks first and then changes only what differs, so
 * that tunnels stay up.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/peers.h"
#include "platform/encode.h"
#include "platform/secret.h"

static uint64_t fnv(const char *text, size_t len)
{
	uint64_t h = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint8_t)text[i]) * UINT64_C(1099511628211);
	return h;
}

static int parse_u64(const char *text, uint64_t *ret_value)
{
	char *end;
	unsigned long long v;

	if (text[0] < '0' || text[0] > '9')
		return -EBADMSG;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno != 0 || *end != '\0')
		return -EBADMSG;
	*ret_value = v;
	return 0;
}

static int take_peer_line(struct peers_engine_peer *p, const char *key, const char *value)
{
	uint64_t number = 0;
	int r = 0;

	if (strcmp(key, "endpoint") == 0)
		r = endpoint_parse(value, &p->endpoint);
	else if (strcmp(key, "last_handshake_time_sec") == 0)
		r = parse_u64(value, &number), p->handshake_s = (int64_t)number;
	else if (strcmp(key, "rx_bytes") == 0)
		r = parse_u64(value, &p->rx_bytes);
	else if (strcmp(key, "tx_bytes") == 0)
		r = parse_u64(value, &p->tx_bytes);
	else if (strcmp(key, "allowed_ip") == 0)
		p->allowed_hash += fnv(value, strlen(value));
	return r;
}

static int take_line(struct peers_engine *e, size_t *cap, const char *key, const char *value)
{
	uint64_t number;

	if (strcmp(key, "public_key") == 0) {
		if (e->count == *cap) {
			size_t grown = *cap == 0 ? 16 : 2 * *cap;
			struct peers_engine_peer *list = realloc(e->list, grown * sizeof(*list));

			if (list == NULL)
				return -ENOMEM;
			e->list = list;
			*cap = grown;
		}
		memset(&e->list[e->count], 0, sizeof(e->list[0]));
		return encode_hex_exact(e->list[e->count++].key, 32, value);
	}
	if (e->count > 0)
		return take_peer_line(&e->list[e->count - 1], key, value);
	if (strcmp(key, "private_key") == 0) {
		e->has_key = true;
		return encode_hex_exact(e->private_key, 32, value);
	}
	if (strcmp(key, "listen_port") == 0) {
		if (parse_u64(value, &number) < 0 || number > 65535)
			return -EBADMSG;
		e->listen_port = (uint16_t)number;
	}
	return 0;
}

int peers_engine_parse(const char *text, size_t len, struct peers_engine *ret_engine)
{
	struct peers_engine e = {0};
	char line[256];
	size_t cap = 0, at = 0;
	int r = -EBADMSG;

	while (at < len) {
		const char *end = memchr(text + at, '\n', len - at);
		size_t line_len = end == NULL ? 0 : (size_t)(end - (text + at));
		char *equals;

		if (end == NULL || line_len >= sizeof(line))
			break;
		if (line_len == 0)
			break; /* the empty line without errno before it */
		memcpy(line, text + at, line_len);
		line[line_len] = '\0';
		at += line_len + 1;
		equals = strchr(line, '=');
		if (equals == NULL)
			break;
		*equals = '\0';
		if (strcmp(line, "errno") == 0) {
			r = strcmp(equals + 1, "0") == 0 ? 0 : -EREMOTEIO;
			break;
		}
		if (take_line(&e, &cap, line, equals + 1) < 0)
			break;
	}
	secret_wipe(line, sizeof(line));
	if (r < 0) {
		peers_engine_done(&e);
		return r;
	}
	*ret_engine = e;
	secret_wipe(&e.private_key, sizeof(e.private_key));
	return 0;
}

void peers_engine_done(struct peers_engine *e)
{
	free(e->list);
	secret_wipe(e, sizeof(*e));
}

const struct peers_engine_peer *peers_engine_find(const struct peers_engine *e,
						  const uint8_t key[32])
{
	for (size_t i = 0; i < e->count; i++)
		if (memcmp(e->list[i].key, key, 32) == 0)
			return &e->list[i];
	return NULL;
}

static int put_key(struct buffer *out, const char *name, const uint8_t key[32])
{
	char hex[ENCODE_HEX_SIZE(32)];
	int r;

	encode_hex(hex, key, 32);
	r = buffer_printf(out, "%s=%s\n", name, hex);
	secret_wipe(hex, sizeof(hex));
	return r;
}

static int put_peer(struct buffer *out, const struct peer *p)
{
	char v4[IP_ADDR_STRLEN], v6[IP_ADDR_STRLEN];
	int r = put_key(out, "public_key", p->node_key);

	if (r == 0)
		r = buffer_printf(
			out, "replace_allowed_ips=true\nallowed_ip=%s/32\nallowed_ip=%s/128\n",
			ip_addr_format(&p->overlay4, v4), ip_addr_format(&p->overlay6, v6));
	return r;
}

static uint64_t wanted_hash(const struct peer *p)
{
	char text[IP_PREFIX_STRLEN];
	struct ip_prefix v4 = {p->overlay4, 32}, v6 = {p->overlay6, 128};
	uint64_t hash;

	(void)ip_prefix_format(&v4, text);
	hash = fnv(text, strlen(text));
	(void)ip_prefix_format(&v6, text);
	return hash + fnv(text, strlen(text));
}

int peers_engine_diff(const struct peers *p, const struct peers_engine *e,
		      const uint8_t private_key[32], struct buffer *out, size_t *ret_changes)
{
	int r = buffer_printf(out, "set=1\n");

	*ret_changes = 0;
	if (r == 0 && (!e->has_key || !secret_equal(e->private_key, private_key, 32))) {
		r = put_key(out, "private_key", private_key);
		++*ret_changes;
	}
	/* Removals first: an address may have moved from one peer to another. */
	for (size_t i = 0; i < e->count && r == 0; i++) {
		if (peers_by_node_key(p, e->list[i].key) != NULL)
			continue;
		r = put_key(out, "public_key", e->list[i].key);
		if (r == 0)
			r = buffer_printf(out, "remove=true\n");
		++*ret_changes;
	}
	for (size_t i = 0; i < p->count && r == 0; i++) {
		const struct peers_engine_peer *has = peers_engine_find(e, p->list[i].node_key);

		if (has != NULL && has->allowed_hash == wanted_hash(&p->list[i]))
			continue;
		r = put_peer(out, &p->list[i]);
		++*ret_changes;
	}
	return r;
}
