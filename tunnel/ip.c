/* SPDX-License-Identifier: Apache-2.0
 *
 * Header parsing for inner packets: RFC 791, RFC 8200, RFC 9293, RFC 768.
 */
#include "tunnel/ip.h"

#include "tunnel/bytes.h"

#define V4_HEADER  20
#define V6_HEADER  40
#define TCP_HEADER 20
#define UDP_HEADER 8

static bool parse(const uint8_t *data, size_t len, bool any_total, struct ip_view *ret)
{
	if (len < V4_HEADER || len > UINT16_MAX + (size_t)V6_HEADER)
		return false;
	ret->version = data[0] >> 4;
	if (ret->version == 4) {
		ret->l4 = (uint16_t)((data[0] & 15) * 4);
		ret->total = any_total ? (uint32_t)len : bytes_get_be16(data + 2);
		ret->proto = data[9];
		ret->fragment = (bytes_get_be16(data + 6) & 0x3fff) != 0;
		ret->addr_bytes = 4;
		ret->src = 12;
		ret->dst = 16;
		return ret->l4 >= V4_HEADER && ret->l4 <= ret->total && ret->total <= len;
	}
	if (ret->version == 6 && len >= V6_HEADER) {
		ret->l4 = V6_HEADER;
		ret->total = any_total ? (uint32_t)len
				       : (uint32_t)(V6_HEADER + bytes_get_be16(data + 4));
		ret->proto = data[6];
		ret->fragment = false;
		ret->addr_bytes = 16;
		ret->src = 8;
		ret->dst = 24;
		return ret->total <= len;
	}
	return false;
}

bool ip_parse(const uint8_t *data, size_t len, struct ip_view *ret)
{
	return parse(data, len, false, ret);
}

bool ip_parse_gso(const uint8_t *data, size_t len, struct ip_view *ret)
{
	return parse(data, len, true, ret);
}

uint16_t ip_l4_header(const uint8_t *data, size_t len, const struct ip_view *ip)
{
	uint16_t header;

	if (ip->proto == IP_PROTO_UDP)
		return len >= (size_t)ip->l4 + UDP_HEADER ? UDP_HEADER : 0;
	if (ip->proto != IP_PROTO_TCP || len < (size_t)ip->l4 + TCP_HEADER)
		return 0;
	header = (uint16_t)((data[ip->l4 + 12] >> 4) * 4);
	return header >= TCP_HEADER && len >= (size_t)ip->l4 + header ? header : 0;
}
