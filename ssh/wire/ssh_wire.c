/* SPDX-License-Identifier: Apache-2.0
 *
 * The configuration of one SSH connection as the broker writes it and the monitor reads it: a
 * version, then the fields of struct ssh_wire_config in order. Read strictly: a monitor with
 * another idea of the layout must not start.
 */
#include "ssh/wire/ssh_wire.h"

#include <errno.h>

enum { CONFIG_VERSION = 4 };

enum config_flag {
	FLAG_ROOT = 1 << 0,
	FLAG_SFTP = 1 << 1,
	FLAG_LOCAL_FORWARD = 1 << 2,
	FLAG_REMOTE_FORWARD = 1 << 3,
	FLAG_NO_AUTH = 1 << 4,
	FLAG_THROUGH_MESH = 1 << 5,
	FLAG_AUTHORIZED_KEYS = 1 << 6,
	FLAG_STANDALONE = 1 << 7,
	FLAG_TOKENS = 1 << 8,
	FLAG_ALL = (1 << 9) - 1,
};

static void put_endpoint(struct writer *w, const struct endpoint *ep)
{
	struct ip_addr ip = {0};

	endpoint_ip(ep, &ip);
	writer_u8(w, ip.family);
	writer_bytes(w, ip.bytes, sizeof(ip.bytes));
	writer_u16(w, endpoint_port(ep));
	writer_u32(w, ip.family == 6 ? ep->in6.sin6_scope_id : 0);
}

static void get_endpoint(struct reader *r, struct endpoint *ret_endpoint)
{
	struct ip_addr ip = {.family = reader_u8(r)};
	uint16_t port;
	uint32_t scope;

	reader_bytes(r, ip.bytes, sizeof(ip.bytes));
	port = reader_u16(r);
	scope = reader_u32(r);
	*ret_endpoint = (struct endpoint){0};
	if (ip.family != 4 && ip.family != 6)
		r->failed = true;
	if (r->failed)
		return;
	endpoint_from_ip(&ip, port, ret_endpoint);
	if (ip.family == 6 && ret_endpoint->sa.sa_family == AF_INET6)
		ret_endpoint->in6.sin6_scope_id = scope;
}

static void put_break_glass(struct writer *w, const struct ssh_wire_config *c)
{
	writer_u32(w, c->break_glass_count);
	for (uint32_t i = 0; i < c->break_glass_count && i < SSH_WIRE_BREAK_GLASS_MAX; i++)
		writer_bytes(w, c->break_glass[i], sizeof(c->break_glass[i]));
	writer_u32(w, c->revoked_count);
	for (uint32_t i = 0; i < c->revoked_count && i < SSH_WIRE_REVOKED_MAX; i++)
		writer_u64(w, c->revoked[i]);
}

static void get_break_glass(struct reader *r, struct ssh_wire_config *c)
{
	c->break_glass_count = reader_u32(r);
	if (c->break_glass_count > SSH_WIRE_BREAK_GLASS_MAX)
		r->failed = true;
	for (uint32_t i = 0; i < c->break_glass_count && !r->failed; i++)
		reader_bytes(r, c->break_glass[i], sizeof(c->break_glass[i]));
	c->revoked_count = reader_u32(r);
	if (c->revoked_count > SSH_WIRE_REVOKED_MAX)
		r->failed = true;
	for (uint32_t i = 0; i < c->revoked_count && !r->failed; i++)
		c->revoked[i] = reader_u64(r);
}

void ssh_wire_config_put(struct writer *w, const struct ssh_wire_config *c)
{
	unsigned flags = 0;

	flags |= c->allow_root ? FLAG_ROOT : 0U;
	flags |= c->allow_sftp ? FLAG_SFTP : 0U;
	flags |= c->allow_local_forward ? FLAG_LOCAL_FORWARD : 0U;
	flags |= c->allow_remote_forward ? FLAG_REMOTE_FORWARD : 0U;
	flags |= c->no_auth ? FLAG_NO_AUTH : 0U;
	flags |= c->through_mesh ? FLAG_THROUGH_MESH : 0U;
	flags |= c->authorized_keys ? FLAG_AUTHORIZED_KEYS : 0U;
	flags |= c->standalone ? FLAG_STANDALONE : 0U;
	flags |= c->tokens ? FLAG_TOKENS : 0U;
	writer_u8(w, CONFIG_VERSION);
	writer_u32(w, c->session_id);
	writer_bytes(w, c->signing_key, sizeof(c->signing_key));
	writer_cstring(w, c->network);
	writer_cstring(w, c->peer_id);
	writer_cstring(w, c->host_name);
	writer_bytes(w, c->host_key_seed, sizeof(c->host_key_seed));
	writer_u64(w, c->min_seq);
	put_endpoint(w, &c->client);
	put_endpoint(w, &c->server);
	writer_u16(w, (uint16_t)flags);
	put_break_glass(w, c);
	writer_string(w, c->sshd_config_len > 0 ? c->sshd_config : (const uint8_t *)"",
		      c->sshd_config_len);
}

int ssh_wire_config_get(struct reader *r, struct ssh_wire_config *ret_config)
{
	struct ssh_wire_config c = {0};
	uint16_t flags;

	if (reader_u8(r) != CONFIG_VERSION)
		return -EPROTO;
	c.session_id = reader_u32(r);
	reader_bytes(r, c.signing_key, sizeof(c.signing_key));
	reader_cstring(r, c.network, sizeof(c.network));
	reader_cstring(r, c.peer_id, sizeof(c.peer_id));
	reader_cstring(r, c.host_name, sizeof(c.host_name));
	reader_bytes(r, c.host_key_seed, sizeof(c.host_key_seed));
	c.min_seq = reader_u64(r);
	get_endpoint(r, &c.client);
	get_endpoint(r, &c.server);
	flags = reader_u16(r);
	get_break_glass(r, &c);
	c.sshd_config = reader_string(r, SSH_WIRE_SSHD_CONFIG_MAX, &c.sshd_config_len);
	if (!reader_done(r) || (flags & ~FLAG_ALL) != 0)
		return -EPROTO;
	c.allow_root = flags & FLAG_ROOT;
	c.allow_sftp = flags & FLAG_SFTP;
	c.allow_local_forward = flags & FLAG_LOCAL_FORWARD;
	c.allow_remote_forward = flags & FLAG_REMOTE_FORWARD;
	c.no_auth = flags & FLAG_NO_AUTH;
	c.through_mesh = flags & FLAG_THROUGH_MESH;
	c.authorized_keys = flags & FLAG_AUTHORIZED_KEYS;
	c.standalone = flags & FLAG_STANDALONE;
	c.tokens = flags & FLAG_TOKENS;
	*ret_config = c;
	return 0;
}
