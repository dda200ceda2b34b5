/* SPDX-License-Identifier: Apache-2.0
 *
 * The parts of daemon/PROTOCOL.md that all messages share: the head of a packet, and endpoints.
 */
#include "daemon/wire.h"

#include <string.h>

void wire_begin(struct writer *w, uint8_t type, uint32_t id)
{
	writer_u8(w, type);
	writer_u32(w, id);
}

void wire_put_endpoint(struct writer *w, const struct endpoint *ep)
{
	struct ip_addr ip = {0};

	endpoint_ip(ep, &ip);
	writer_u8(w, ip.family);
	writer_bytes(w, ip.bytes, ip.family == 4 ? 4 : ip.family == 6 ? 16 : 0);
	writer_u16(w, ip.family ? endpoint_port(ep) : 0);
	writer_u32(w, ip.family == 6 ? ep->in6.sin6_scope_id : 0);
}

void wire_get_endpoint(struct reader *r, struct endpoint *ret_endpoint)
{
	struct ip_addr ip = {.family = reader_u8(r)};
	struct endpoint ep = {0};
	uint16_t port;
	uint32_t scope;

	if (ip.family != 0 && ip.family != 4 && ip.family != 6)
		r->failed = true;
	reader_bytes(r, ip.bytes, ip.family == 4 ? 4 : ip.family == 6 ? 16 : 0);
	port = reader_u16(r);
	scope = reader_u32(r);
	/* One spelling: what does not apply is zero. */
	if ((ip.family == 0 && port != 0) || (ip.family != 6 && scope != 0))
		r->failed = true;
	if (!r->failed && ip.family != 0) {
		endpoint_from_ip(&ip, port, &ep);
		if (ip.family == 6 && ep.sa.sa_family == AF_INET6)
			ep.in6.sin6_scope_id = scope;
		else if (ip.family == 6)
			r->failed = true; /* IPv4-mapped: should have come as IPv4 */
	}
	if (r->failed)
		ep = (struct endpoint){0};
	memcpy(ret_endpoint, &ep, sizeof(ep));
}
