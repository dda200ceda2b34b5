/* SPDX-License-Identifier: Apache-2.0
 *
 * GRO for inner TCP and UDP. A packet joins the youngest group of its flow when it is what the
 * kernel's GSO would have cut there: same headers, next sequence number, full size, checksum right.
 * Packets of one flow never overtake each other; when one cannot join, its flow's group is closed.
 */
#include "tunnel/coalesce.h"

#include <string.h>

#include "tunnel/bytes.h"
#include "tunnel/checksum.h"
#include "tunnel/ip.h"
#include "tunnel/segment.h"

#define END_OF_CHAIN 0xffff
#define LOOK_BACK    8 /* groups that a packet is compared with */

void coalesce_reset(struct coalesce *c, bool tcp, bool udp)
{
	c->packet_count = 0;
	c->group_count = 0;
	c->tcp = tcp;
	c->udp = udp;
}

static bool same_flow(const uint8_t *a, const uint8_t *b, const struct ip_view *ip)
{
	return a[0] == b[0] && memcmp(a + ip->src, b + ip->src, (size_t)ip->addr_bytes * 2) == 0 &&
	       memcmp(a + ip->l4, b + ip->l4, 4) == 0;
}

/* Everything in the IP header but lengths, id and checksum. */
static bool same_ip(const uint8_t *a, const uint8_t *b, const struct ip_view *ip, uint16_t count)
{
	if (ip->version == 6)
		return memcmp(a, b, 4) == 0 && a[6] == b[6] && a[7] == b[7];
	if (a[1] != b[1] || memcmp(a + 6, b + 6, 4) != 0)
		return false;
	/* Without DF ids must survive, and segmentation counts them up. */
	return (a[6] & 0x40) || (uint16_t)(bytes_get_be16(a + 4) + count) == bytes_get_be16(b + 4);
}

static bool same_tcp(const uint8_t *a, const uint8_t *b, uint16_t header)
{
	/* ack, data offset, window, options; flags but PSH; no urgent pointer */
	return memcmp(a + 8, b + 8, 5) == 0 && ((a[13] ^ b[13]) & ~TCP_PSH) == 0 &&
	       memcmp(a + 14, b + 14, 2) == 0 && memcmp(a + 20, b + 20, header - 20u) == 0;
}

static bool tcp_flags_fit(const uint8_t *tcp)
{
	return (tcp[13] & ~(TCP_PSH | TCP_ECE)) == TCP_ACK;
}

/* What a packet is to coalescing. */
struct candidate {
	struct ip_view ip;
	uint16_t header; /* IP and transport */
	uint32_t payload;
	bool plain; /* no IP options, no fragment, TCP or UDP with a whole header */
	bool joins; /* may start or extend a group */
};

static void look(const struct coalesce *c, const uint8_t *data, uint32_t len, struct candidate *ret)
{
	uint16_t l4_header = 0;

	memset(ret, 0, sizeof(*ret));
	if (!ip_parse(data, len, &ret->ip) || ret->ip.fragment ||
	    (ret->ip.version == 4 && ret->ip.l4 != 20))
		return;
	l4_header = ip_l4_header(data, ret->ip.total, &ret->ip);
	if (!l4_header)
		return;
	ret->plain = true;
	ret->header = (uint16_t)(ret->ip.l4 + l4_header);
	ret->payload = ret->ip.total - ret->header;
	if (ret->ip.proto == IP_PROTO_TCP)
		ret->joins = c->tcp && ret->payload && tcp_flags_fit(data + ret->ip.l4);
	else
		ret->joins = c->udp && ret->payload &&
			     bytes_get_be16(data + ret->ip.l4 + 4) == ret->ip.total - ret->ip.l4;
}

static bool fits(const struct coalesce *c, size_t i, const uint8_t *data,
		 const struct candidate *cand)
{
	const struct coalesce_group *g = &c->groups[i];
	const struct superpacket *p = &c->superpackets[i];
	const uint8_t *head = p->data;
	uint16_t l4 = cand->ip.l4;

	if (!g->open || !g->summed || g->header != cand->header || p->count >= COALESCE_MAX_COUNT ||
	    cand->payload > p->seg_size || p->len + cand->payload > UINT16_MAX ||
	    !same_ip(head, data, &cand->ip, p->count))
		return false;
	if (cand->ip.proto == IP_PROTO_TCP)
		return bytes_get_be32(data + l4 + 4) == g->next_seq &&
		       same_tcp(head + l4, data + l4, (uint16_t)(cand->header - l4));
	return true;
}

static void append(struct coalesce *c, size_t i, uint16_t index, const struct candidate *cand)
{
	struct coalesce_group *g = &c->groups[i];
	struct superpacket *p = &c->superpackets[i];
	const uint8_t *data = c->packets[index].data;

	c->next[g->last] = index;
	g->last = index;
	g->next_seq += cand->payload;
	p->len += cand->payload;
	p->count++;
	if (cand->payload < p->seg_size)
		g->open = false;
	if (cand->ip.proto == IP_PROTO_TCP && data[cand->ip.l4 + 13] & TCP_PSH) {
		p->data[cand->ip.l4 + 13] |= TCP_PSH;
		g->open = false;
	}
}

static void start(struct coalesce *c, uint16_t index, const struct candidate *cand, bool summed)
{
	size_t i = c->group_count++;
	struct coalesce_group *g = &c->groups[i];
	struct superpacket *p = &c->superpackets[i];
	uint8_t *data = c->packets[index].data;

	memset(p, 0, sizeof(*p));
	p->data = data;
	p->len = c->packets[index].len;
	p->head_len = p->len;
	p->count = 1;
	p->csum_valid = summed;
	p->seg_size = (uint16_t)cand->payload; /* cleared for single packets by coalesce_finish */
	memset(g, 0, sizeof(*g));
	g->first = g->last = index;
	g->summed = summed;
	g->open = cand->joins && summed;
	g->header = cand->header;
	g->l4 = cand->plain ? cand->ip.l4 : 0; /* 0: nothing is compared with its ports */
	if (cand->plain && cand->ip.proto == IP_PROTO_TCP) {
		g->next_seq = bytes_get_be32(data + cand->ip.l4 + 4) + cand->payload;
		if (data[cand->ip.l4 + 13] & TCP_PSH)
			g->open = false;
	}
}

bool coalesce_add(struct coalesce *c, uint8_t *data, uint32_t len)
{
	struct candidate cand;
	uint16_t index = (uint16_t)c->packet_count;
	bool summed;

	if (c->packet_count == COALESCE_MAX_PACKETS)
		return false;
	c->packets[c->packet_count++] = (struct coalesce_packet){.data = data, .len = len};
	c->next[index] = END_OF_CHAIN;
	look(c, data, len, &cand);
	summed = cand.joins && checksum_l4_valid(data, &cand.ip);
	if (cand.plain) {
		size_t stop = c->group_count > LOOK_BACK ? c->group_count - LOOK_BACK : 0;

		for (size_t i = c->group_count; i-- > stop;) {
			if (c->groups[i].l4 != cand.ip.l4 ||
			    c->superpackets[i].data[cand.ip.version == 4 ? 9 : 6] !=
				    cand.ip.proto ||
			    !same_flow(c->superpackets[i].data, data, &cand.ip))
				continue;
			if (summed && fits(c, i, data, &cand)) {
				append(c, i, index, &cand);
				return true;
			}
			c->groups[i].open = false;
			break;
		}
	}
	start(c, index, &cand, summed);
	return true;
}

void coalesce_finish(struct coalesce *c)
{
	for (size_t i = 0; i < c->group_count; i++) {
		struct superpacket *p = &c->superpackets[i];
		struct coalesce_group *g = &c->groups[i];
		struct ip_view ip;
		uint16_t sum;

		if (p->count == 1) {
			p->seg_size = 0;
			continue;
		}
		if (!ip_parse_gso(p->data, p->head_len, &ip))
			continue; /* cannot be: it was parsed when it was added */
		if (ip.version == 4) {
			bytes_put_be16(p->data + 2, (uint16_t)p->len);
			checksum_set_ipv4(p->data, ip.l4);
		} else {
			bytes_put_be16(p->data + 4, (uint16_t)(p->len - 40));
		}
		p->needs_csum = true;
		p->csum_valid = false;
		p->csum_start = ip.l4;
		if (ip.proto == IP_PROTO_TCP) {
			p->gso_type = ip.version == 4 ? SEGMENT_GSO_TCPV4 : SEGMENT_GSO_TCPV6;
			p->csum_offset = 16;
		} else {
			p->gso_type = SEGMENT_GSO_UDP_L4;
			p->csum_offset = 6;
			bytes_put_be16(p->data + ip.l4 + 4, (uint16_t)(p->len - ip.l4));
		}
		sum = checksum_fold(checksum_pseudo(p->data, &ip, ip.proto, p->len - g->l4));
		memcpy(p->data + ip.l4 + p->csum_offset, &sum, sizeof(sum));
	}
}

int coalesce_gather(const struct coalesce *c, size_t i, struct iovec *iov)
{
	const struct coalesce_group *g = &c->groups[i];
	int count = 0;

	for (uint16_t at = g->first; at != END_OF_CHAIN; at = c->next[at]) {
		uint16_t skip = at == g->first ? 0 : g->header;

		iov[count].iov_base = c->packets[at].data + skip;
		iov[count].iov_len = c->packets[at].len - skip;
		count++;
	}
	return count;
}
