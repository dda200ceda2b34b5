/* SPDX-License-Identifier: Apache-2.0
 *
 * The configuration protocol of userspace WireGuards ("get=1", "set=1"): wireguard.com/xplatform.
 * A set is applied line by line; the first line that is wrong ends it with its errno, as in
 * wireguard-go.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "platform/encode.h"
#include "platform/secret.h"
#include "tunnel/device.h"
#include "tunnel/shards.h"

#define VALUE_MAX 128 /* the longest value is a scoped endpoint */

struct set_state {
	struct tunnel *device;
	struct peer *peer; /* NULL: the interface section, or a peer that is ignored */
	bool in_peer;
	bool created;
};

static int parse_number(const char *text, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		v = v * 10 + (uint64_t)(*text - '0');
		if (v > max)
			return -EINVAL;
	}
	*ret = v;
	return 0;
}

static int parse_true(const char *value)
{
	return strcmp(value, "true") == 0 ? 0 : -EINVAL;
}

static int set_port(struct tunnel *t, uint16_t port, uint32_t fwmark)
{
	int r;

	if (!t->bind)
		return -EOPNOTSUPP;
	r = t->bind(t->bind_ctx, port, fwmark);
	if (r < 0)
		return r;
	if (port || !t->shards->up)
		t->listen_port = port;
	t->fwmark = fwmark;
	return 0;
}

static int begin_peer(struct set_state *s, const char *value)
{
	struct tunnel *t = s->device;
	uint8_t key[NOISE_KEY_BYTES];
	int r;

	s->peer = NULL;
	s->created = false;
	s->in_peer = true;
	r = encode_hex_exact(key, sizeof(key), value);
	if (r < 0)
		return -EINVAL;
	/* Ourselves: the section is read and ignored. */
	if (t->identity.set && memcmp(key, t->identity.public_key, sizeof(key)) == 0)
		return 0;
	s->peer = peer_find(t, key);
	if (s->peer)
		return 0;
	r = peer_new(t, key, &s->peer);
	s->created = r == 0;
	return r;
}

static int set_device(struct set_state *s, const char *key, const char *value)
{
	struct tunnel *t = s->device;
	uint64_t number;
	int r;

	if (strcmp(key, "private_key") == 0) {
		uint8_t private_key[NOISE_KEY_BYTES];

		r = encode_hex_exact(private_key, sizeof(private_key), value);
		r = r < 0 ? -EINVAL : device_set_private_key(t, private_key);
		secret_wipe(private_key, sizeof(private_key));
		return r;
	}
	if (strcmp(key, "listen_port") == 0) {
		r = parse_number(value, UINT16_MAX, &number);
		if (r < 0 || (number && number == t->listen_port))
			return r;
		return set_port(t, (uint16_t)number, t->fwmark);
	}
	if (strcmp(key, "fwmark") == 0) {
		r = parse_number(value, UINT32_MAX, &number);
		if (r < 0 || number == t->fwmark)
			return r;
		return set_port(t, t->listen_port, (uint32_t)number);
	}
	if (strcmp(key, "replace_peers") == 0) {
		r = parse_true(value);
		while (r == 0 && t->peers.first)
			peer_remove(t->peers.first);
		return r;
	}
	return -EINVAL;
}

static int set_allowed_ip(struct set_state *s, const char *value)
{
	struct ip_prefix prefix;
	bool removing = *value == '-';

	if (*value == '-' || *value == '+')
		value++;
	if (ip_prefix_parse(value, &prefix) < 0)
		return -EINVAL;
	if (!s->peer)
		return 0;
	if (removing) {
		shards_unroute(s->peer, &prefix);
		return 0;
	}
	return shards_route(s->peer, &prefix);
}

static int set_endpoint(struct set_state *s, const char *value)
{
	struct endpoint endpoint, now;

	if (endpoint_parse(value, &endpoint) < 0)
		return -EINVAL;
	if (!s->peer)
		return 0;
	if (s->peer->change.endpoint_set)
		now = s->peer->change.endpoint;
	else
		peer_shown_endpoint(s->peer, &now);
	if (endpoint_equal(&now, &endpoint))
		return 0;
	s->peer->change.endpoint = endpoint;
	s->peer->change.endpoint_set = true;
	peer_changed(s->peer);
	return 0;
}

static int set_preshared(struct set_state *s, const char *value)
{
	uint8_t key[NOISE_KEY_BYTES];
	int r = encode_hex_exact(key, sizeof(key), value) < 0 ? -EINVAL : 0;

	if (r == 0 && s->peer)
		memcpy(s->peer->handshake.preshared, key, sizeof(key));
	secret_wipe(key, sizeof(key));
	return r;
}

static int set_keepalive(struct set_state *s, const char *value)
{
	uint64_t seconds;
	int r = parse_number(value, UINT16_MAX, &seconds);

	if (r < 0 || !s->peer)
		return r;
	s->peer->change.keepalive_on = !s->peer->configured_keepalive_s && seconds;
	s->peer->change.keepalive_s = s->peer->configured_keepalive_s = (uint16_t)seconds;
	s->peer->change.keepalive_set = true;
	peer_changed(s->peer);
	return 0;
}

static int set_peer(struct set_state *s, const char *key, const char *value)
{
	int r;

	if (strcmp(key, "update_only") == 0) {
		r = parse_true(value);
		if (r == 0 && s->created) {
			peer_remove(s->peer);
			s->peer = NULL;
			s->created = false;
		}
		return r;
	}
	if (strcmp(key, "remove") == 0) {
		r = parse_true(value);
		if (r == 0 && s->peer) {
			peer_remove(s->peer);
			s->peer = NULL;
			s->created = false;
		}
		return r;
	}
	if (strcmp(key, "preshared_key") == 0)
		return set_preshared(s, value);
	if (strcmp(key, "endpoint") == 0)
		return set_endpoint(s, value);
	if (strcmp(key, "persistent_keepalive_interval") == 0)
		return set_keepalive(s, value);
	if (strcmp(key, "replace_allowed_ips") == 0) {
		r = parse_true(value);
		if (r == 0 && s->peer)
			shards_unroute_all(s->peer);
		return r;
	}
	if (strcmp(key, "allowed_ip") == 0)
		return set_allowed_ip(s, value);
	if (strcmp(key, "protocol_version") == 0)
		return strcmp(value, "1") == 0 ? 0 : -EINVAL;
	return -EINVAL;
}

/* One line without its newline. */
static int set_line(struct set_state *s, const char *line, size_t len)
{
	char text[VALUE_MAX];
	char *value;
	int r;

	if (len >= sizeof(text) || memchr(line, 0, len))
		return -EINVAL;
	memcpy(text, line, len);
	text[len] = 0;
	value = strchr(text, '=');
	if (!value) {
		r = -EINVAL;
	} else {
		*value++ = 0;
		if (strcmp(text, "public_key") == 0)
			r = begin_peer(s, value);
		else if (s->in_peer)
			r = set_peer(s, text, value);
		else
			r = set_device(s, text, value);
	}
	secret_wipe(text, sizeof(text));
	return r;
}

static int set_all(struct tunnel *t, const char *at, const char *end)
{
	struct set_state s = {.device = t};
	int r = 0, r2;

	while (at < end && r == 0) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));

		if (!newline) {
			r = -EINVAL;
			break;
		}
		if (newline > at)
			r = set_line(&s, at, (size_t)(newline - at));
		at = newline + 1;
	}
	/* Only now are peers complete enough to talk. */
	r2 = shards_publish(t, NULL, NULL);
	return r < 0 ? r : r2;
}

static int put_key(struct buffer *reply, const char *name,
		   const uint8_t key[static NOISE_KEY_BYTES])
{
	char hex[ENCODE_HEX_SIZE(NOISE_KEY_BYTES)];
	int r;

	encode_hex(hex, key, NOISE_KEY_BYTES);
	r = buffer_printf(reply, "%s=%s\n", name, hex);
	secret_wipe(hex, sizeof(hex));
	return r;
}

static int get_peer(const struct peer *p, struct buffer *reply)
{
	char text[ENDPOINT_STRLEN];
	const struct allowedips_node *at = NULL;
	uint64_t handshake_ns = DEVICE_READ(p->last_handshake_real_ns);
	struct endpoint endpoint;
	struct ip_prefix prefix;
	int r = put_key(reply, "public_key", p->key);

	if (r == 0)
		r = put_key(reply, "preshared_key", p->handshake.preshared);
	if (r == 0)
		r = buffer_printf(reply, "protocol_version=1\n");
	peer_shown_endpoint(p, &endpoint);
	if (r == 0 && endpoint_is_set(&endpoint))
		r = buffer_printf(reply, "endpoint=%s\n", endpoint_format(&endpoint, text));
	if (r == 0)
		r = buffer_printf(reply,
				  "last_handshake_time_sec=%llu\nlast_handshake_time_nsec=%llu\n"
				  "tx_bytes=%llu\nrx_bytes=%llu\n"
				  "persistent_keepalive_interval=%u\n",
				  (unsigned long long)(handshake_ns / NSEC_PER_SEC),
				  (unsigned long long)(handshake_ns % NSEC_PER_SEC),
				  (unsigned long long)DEVICE_READ(p->tx_bytes),
				  (unsigned long long)DEVICE_READ(p->rx_bytes),
				  p->configured_keepalive_s);
	while (r == 0 && allowedips_next(&p->allowed, &at, &prefix)) {
		char cidr[IP_PREFIX_STRLEN];

		r = buffer_printf(reply, "allowed_ip=%s\n", ip_prefix_format(&prefix, cidr));
	}
	return r;
}

static int get_all(const struct tunnel *t, struct buffer *reply)
{
	int r = 0;

	if (t->identity.set)
		r = put_key(reply, "private_key", t->identity.private_key);
	if (r == 0 && t->listen_port)
		r = buffer_printf(reply, "listen_port=%u\n", t->listen_port);
	if (r == 0 && t->fwmark)
		r = buffer_printf(reply, "fwmark=%u\n", t->fwmark);
	for (const struct peer *p = t->peers.first; p && r == 0; p = p->next)
		r = get_peer(p, reply);
	return r;
}

int tunnel_uapi(struct tunnel *t, const char *request, size_t len, struct buffer *reply)
{
	static const char get[] = "get=1\n";
	static const char set[] = "set=1\n";
	size_t start = reply->len;
	int r = -EINVAL;

	if (len == sizeof(get) - 1 && memcmp(request, get, len) == 0) {
		r = get_all(t, reply);
		if (r < 0) { /* no half answers */
			secret_wipe(reply->data + start, reply->len - start);
			reply->len = start;
		}
	} else if (len >= sizeof(set) - 1 && memcmp(request, set, sizeof(set) - 1) == 0) {
		r = set_all(t, request + sizeof(set) - 1, request + len);
	}
	return buffer_printf(reply, "errno=%d\n\n", r);
}
