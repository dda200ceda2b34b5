/* SPDX-License-Identifier: Apache-2.0
 *
 * Parser of inner packets. Every length is checked before the bytes are read; what a host's stack
 * might read differently from us (tiny first fragments, source routes, odd TCP flags) is refused.
 */
#include "policy/packet.h"

#include <string.h>

#define MAX_EXTENSIONS 8
#define TCP_HEADER     20u
#define QUOTED_HEADER  8u

enum { NEXT_HOP_BY_HOP = 0, NEXT_ROUTING = 43, NEXT_FRAGMENT = 44, NEXT_AH = 51, NEXT_DEST = 60 };

static uint16_t be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)be16(p) << 16 | be16(p + 2);
}

static bool parse_tcp(const uint8_t *data, size_t len, bool quoted, struct filter_packet *out)
{
	if (len < (quoted ? QUOTED_HEADER : TCP_HEADER))
		return false;
	out->src_port = be16(data);
	out->dst_port = be16(data + 2);
	if (quoted)
		return true;
	size_t header = (size_t)(data[12] >> 4) * 4;
	uint8_t flags =
		data[13] & (FILTER_TCP_FIN | FILTER_TCP_SYN | FILTER_TCP_RST | FILTER_TCP_ACK);
	if (header < TCP_HEADER || header > len || flags == 0 ||
	    ((flags & FILTER_TCP_SYN) && (flags & (FILTER_TCP_FIN | FILTER_TCP_RST))))
		return false;
	out->tcp_flags = flags;
	return true;
}

static bool parse_transport(const uint8_t *data, size_t len, bool quoted, struct filter_packet *out)
{
	switch (out->proto) {
	case FILTER_PROTO_TCP:
		return parse_tcp(data, len, quoted, out);
	case FILTER_PROTO_UDP:
		if (len < 8)
			return false;
		out->src_port = be16(data);
		out->dst_port = be16(data + 2);
		return true;
	case FILTER_PROTO_ICMP:
	case FILTER_PROTO_ICMPV6:
		if ((out->proto == FILTER_PROTO_ICMP) != (out->family == 4) || len < 8)
			return false;
		out->icmp_type = data[0];
		out->icmp_id = be16(data + 4);
		out->quote = data + 8;
		out->quote_len = len - 8;
		return true;
	default:
		return true;
	}
}

/* A later fragment must not reach back into the TCP header that was judged (RFC 3128). */
static bool tiny_offset(const struct filter_packet *p)
{
	return p->frag_offset > 0 && p->frag_offset < TCP_HEADER && p->proto == FILTER_PROTO_TCP;
}

static bool has_source_route(const uint8_t *options, size_t len)
{
	for (size_t at = 0; at < len && options[at] != 0;) {
		if (options[at] == 131 || options[at] == 137)
			return true;
		if (options[at] == 1) {
			at++;
			continue;
		}
		if (len - at < 2 || options[at + 1] < 2)
			return true; /* does not parse: as bad */
		at += options[at + 1];
	}
	return false;
}

static bool parse_v4(const uint8_t *data, size_t len, bool quoted, struct filter_packet *out)
{
	if (len < 20)
		return false;
	size_t header = (size_t)(data[0] & 0x0f) * 4;
	size_t total = be16(data + 2);
	if (header < 20 || header > len || total < header || (total > len && !quoted))
		return false;
	if (total < len)
		len = total;
	if (has_source_route(data + 20, header - 20))
		return false;
	out->family = 4;
	out->proto = data[9];
	out->src = data + 12;
	out->dst = data + 16;
	out->frag_id = be16(data + 4);
	out->frag_offset = (be16(data + 6) & 0x1fffu) * 8;
	out->fragment = out->frag_offset > 0 || (be16(data + 6) & 0x2000);
	if (out->frag_offset > 0)
		return !tiny_offset(out);
	return parse_transport(data + header, len - header, quoted, out);
}

static bool parse_v6(const uint8_t *data, size_t len, bool quoted, struct filter_packet *out)
{
	if (len < 40)
		return false;
	size_t total = 40 + (size_t)be16(data + 4), at = 40;
	if (total > len && !quoted)
		return false;
	if (total < len)
		len = total;
	out->family = 6;
	out->proto = data[6];
	out->src = data + 8;
	out->dst = data + 24;
	for (int i = 0;; i++) {
		size_t size;

		if (out->proto != NEXT_HOP_BY_HOP && out->proto != NEXT_ROUTING &&
		    out->proto != NEXT_FRAGMENT && out->proto != NEXT_AH && out->proto != NEXT_DEST)
			break;
		if (i == MAX_EXTENSIONS || len - at < 8 || (out->proto == NEXT_HOP_BY_HOP && i > 0))
			return false;
		if (out->proto == NEXT_ROUTING && data[at + 2] == 0)
			return false; /* RFC 5095 */
		size = out->proto == NEXT_FRAGMENT ? 8
		       : out->proto == NEXT_AH	   ? ((size_t)data[at + 1] + 2) * 4
						   : ((size_t)data[at + 1] + 1) * 8;
		if (size > len - at)
			return false;
		if (out->proto == NEXT_FRAGMENT) {
			if (out->fragment)
				return false; /* a fragment of a fragment */
			out->frag_offset = be16(data + at + 2) & 0xfff8u;
			out->fragment = out->frag_offset > 0 || (data[at + 3] & 1);
			out->frag_id = be32(data + at + 4);
		}
		out->proto = data[at];
		at += size;
		if (out->frag_offset > 0)
			return !tiny_offset(out);
	}
	return parse_transport(data + at, len - at, quoted, out);
}

bool filter_packet_parse(const uint8_t *data, size_t len, bool quoted, struct filter_packet *ret)
{
	struct filter_packet out = {0};
	bool good = false;

	if (len > 0 && data[0] >> 4 == 4)
		good = parse_v4(data, len, quoted, &out);
	else if (len > 0 && data[0] >> 4 == 6)
		good = parse_v6(data, len, quoted, &out);
	if (good)
		*ret = out;
	return good;
}
