/* SPDX-License-Identifier: Apache-2.0
 *
 * Software segmentation (TSO4, TSO6, USO) and checksum completion, as the kernel's GSO does them:
 * IPv4 ids count up, sequence numbers advance, FIN and PSH stay on the last segment, CWR on the
 * first.
 */
#include "tunnel/segment.h"

#include <assert.h>
#include <linux/virtio_net.h>
#include <string.h>

#include "tunnel/bytes.h"
#include "tunnel/checksum.h"

#define IP_PROTO_ICMP	1
#define IP_PROTO_ICMPV6 58
#define ICMP_HEADER	8

static_assert(sizeof(struct virtio_net_hdr) == SEGMENT_VNET_BYTES, "vnet header layout");

static uint8_t gso_of(const struct superpacket *p)
{
	return (uint8_t)(p->gso_type & ~SEGMENT_GSO_ECN);
}

static bool gso_fits(uint8_t gso, const struct ip_view *ip)
{
	switch (gso) {
	case SEGMENT_GSO_TCPV4:
		return ip->version == 4 && ip->proto == IP_PROTO_TCP;
	case SEGMENT_GSO_TCPV6:
		return ip->version == 6 && ip->proto == IP_PROTO_TCP;
	case SEGMENT_GSO_UDP_L4:
		return ip->proto == IP_PROTO_UDP;
	default:
		return false;
	}
}

bool segment_from_vnet(const uint8_t vnet[static SEGMENT_VNET_BYTES], uint8_t *data, uint32_t len,
		       struct superpacket *ret)
{
	struct virtio_net_hdr h;
	struct superpacket p = {.data = data, .len = len, .count = 1};
	struct segment_plan plan;

	memcpy(&h, vnet, sizeof(h));
	p.needs_csum = h.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;
	if (p.needs_csum) {
		p.csum_start = h.csum_start;
		p.csum_offset = h.csum_offset;
		if ((uint32_t)p.csum_start + p.csum_offset + 2 > len)
			return false;
	}
	if (h.gso_type != SEGMENT_GSO_NONE) {
		if (!h.gso_size || !p.needs_csum)
			return false;
		p.gso_type = h.gso_type;
		p.seg_size = h.gso_size;
		if (!segment_plan(&p, &plan))
			return false;
		p.count = (uint16_t)((plan.payload + p.seg_size - 1) / p.seg_size);
		if (p.count <= 1) { /* one segment is a plain packet */
			p.count = 1;
			p.seg_size = 0;
			p.gso_type = SEGMENT_GSO_NONE;
		}
	}
	*ret = p;
	return true;
}

void segment_to_vnet(const struct superpacket *p, uint8_t vnet[static SEGMENT_VNET_BYTES])
{
	struct virtio_net_hdr h = {0};

	if (p->needs_csum) {
		h.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		h.csum_start = p->csum_start;
		h.csum_offset = p->csum_offset;
	} else if (p->csum_valid) {
		h.flags = VIRTIO_NET_HDR_F_DATA_VALID;
	}
	if (p->count > 1) {
		uint16_t l4 = p->csum_start;

		h.gso_type = p->gso_type;
		h.gso_size = p->seg_size;
		/* So that the kernel's linear part is only the headers. */
		h.hdr_len = (uint16_t)(l4 + (gso_of(p) == SEGMENT_GSO_UDP_L4
						     ? 8
						     : (p->data[l4 + 12] >> 4) * 4));
	}
	memcpy(vnet, &h, sizeof(h));
}

bool segment_plan(const struct superpacket *p, struct segment_plan *ret)
{
	uint16_t l4_header;

	if (p->gso_type == SEGMENT_GSO_NONE)
		return true;
	if (!ip_parse_gso(p->data, p->len, &ret->ip) || ret->ip.fragment ||
	    !gso_fits(gso_of(p), &ret->ip))
		return false;
	l4_header = ip_l4_header(p->data, p->len, &ret->ip);
	if (!l4_header || p->csum_start != ret->ip.l4)
		return false;
	ret->proto = ret->ip.proto;
	ret->header = (uint16_t)(ret->ip.l4 + l4_header);
	ret->csum_offset = (uint16_t)(ret->ip.l4 + (ret->proto == IP_PROTO_TCP ? 16 : 6));
	ret->payload = p->len - ret->header;
	return ret->payload > 0 && ret->payload <= UINT16_MAX;
}

uint32_t segment_len(const struct superpacket *p, const struct segment_plan *plan, uint16_t i)
{
	uint32_t at;

	if (p->count == 1)
		return p->len;
	at = (uint32_t)i * p->seg_size;
	return plan->header + (plan->payload - at < p->seg_size ? plan->payload - at : p->seg_size);
}

static void complete_checksum(const struct superpacket *p, uint8_t *out)
{
	uint16_t sum;

	/* The field holds the pseudo-header's sum, so it counts as part of the data. */
	sum = (uint16_t)~checksum_fold(
		checksum_add(0, out + p->csum_start, p->len - p->csum_start));
	if (!sum && p->csum_offset == 6)
		sum = 0xffff; /* UDP: zero would mean "none" (RFC 768) */
	memcpy(out + p->csum_start + p->csum_offset, &sum, sizeof(sum));
}

static void fix_ip(const struct segment_plan *plan, uint16_t i, uint32_t len, uint8_t *out)
{
	if (plan->ip.version == 6) {
		bytes_put_be16(out + 4, (uint16_t)(len - 40));
		return;
	}
	bytes_put_be16(out + 2, (uint16_t)len);
	bytes_put_be16(out + 4, (uint16_t)(bytes_get_be16(out + 4) + i));
	checksum_set_ipv4(out, plan->ip.l4);
}

static void fix_l4(const struct superpacket *p, const struct segment_plan *plan, uint16_t i,
		   uint32_t len, uint8_t *out)
{
	uint8_t *l4 = out + plan->ip.l4;
	uint32_t l4_len = len - plan->ip.l4;
	uint16_t sum;

	if (plan->proto == IP_PROTO_TCP) {
		bytes_put_be32(l4 + 4, bytes_get_be32(l4 + 4) + (uint32_t)i * p->seg_size);
		if (i + 1 < p->count)
			l4[13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
		if (i > 0)
			l4[13] &= (uint8_t)~TCP_CWR;
	} else {
		bytes_put_be16(l4 + 4, (uint16_t)l4_len);
	}
	memset(out + plan->csum_offset, 0, 2);
	sum = (uint16_t)~checksum_fold(
		checksum_add(checksum_pseudo(out, &plan->ip, plan->proto, l4_len), l4, l4_len));
	if (!sum && plan->proto == IP_PROTO_UDP)
		sum = 0xffff;
	memcpy(out + plan->csum_offset, &sum, sizeof(sum));
}

void segment_write(const struct superpacket *p, const struct segment_plan *plan, uint16_t i,
		   uint8_t *out)
{
	uint32_t len;

	if (p->count == 1) {
		memcpy(out, p->data, p->len);
		if (p->needs_csum)
			complete_checksum(p, out);
		return;
	}
	len = segment_len(p, plan, i);
	memcpy(out, p->data, plan->header);
	memcpy(out + plan->header, p->data + plan->header + (uint32_t)i * p->seg_size,
	       len - plan->header);
	fix_ip(plan, i, len, out);
	fix_l4(p, plan, i, len, out);
}

/* An ICMP error names a segment that went the other way, so its other port is ours. */
static bool rewrite_quote(struct superpacket *p, size_t len, const struct ip_view *ip,
			  enum tunnel_direction dir)
{
	size_t at = ip->l4 + ICMP_HEADER;
	struct ip_view quote;
	uint8_t before[2];
	uint8_t *field;

	/* Of the quoted packet there may be the beginning only. */
	if (len < at || !ip_parse_gso(p->data + at, len - at, &quote) ||
	    quote.proto != IP_PROTO_TCP || quote.version != ip->version ||
	    (quote.version == 4 && (bytes_get_be16(p->data + at + 6) & 0x1fff) != 0))
		return false;
	at += quote.l4 + (dir == TUNNEL_TX ? 2u : 0u);
	if (at + 2 > len)
		return false;
	field = p->data + at;
	memcpy(before, field, 2);
	bytes_put_be16(field, p->rewrite_port);
	if (!p->needs_csum)
		checksum_update16(p->data + ip->l4 + 2, before, field);
	return true;
}

bool segment_rewrite_port(struct superpacket *p, enum tunnel_direction dir)
{
	/* RX super-packets are gathered: only the first segment lies at data. */
	size_t len = p->head_len ? p->head_len : p->len;
	struct ip_view ip;
	uint8_t *field;
	uint8_t before[2];

	if (!ip_parse_gso(p->data, len, &ip) || ip.fragment)
		return false;
	if (ip.proto == (ip.version == 4 ? IP_PROTO_ICMP : IP_PROTO_ICMPV6))
		return p->count == 1 && rewrite_quote(p, len, &ip, dir);
	if (ip.proto != IP_PROTO_TCP || !ip_l4_header(p->data, len, &ip))
		return false;
	field = p->data + ip.l4 + (dir == TUNNEL_TX ? 0 : 2);
	memcpy(before, field, 2);
	bytes_put_be16(field, p->rewrite_port);
	/* A pseudo-header has no ports in it. */
	if (!p->needs_csum)
		checksum_update16(p->data + ip.l4 + 16, before, field);
	return true;
}
