/* SPDX-License-Identifier: Apache-2.0
 *
 * Inner packets: checksums against the slow form, segmentation and coalescing as each other's
 * inverse, what must not be joined, the virtio header, and the redirect of ports in all checksum
 * forms.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>

#include "tunnel/answer.h"
#include "tunnel/bytes.h"
#include "tunnel/checksum.h"
#include "tunnel/coalesce.h"
#include "tunnel/segment.h"

static uint64_t rng = 0xfeed;

static uint64_t rnd(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

static void fill(uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)rnd();
}

/* RFC 1071, word by word, in network order. */
static uint16_t slow_sum(const uint8_t *p, size_t len, uint32_t sum)
{
	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static void test_checksum_slow(void **state)
{
	static uint8_t data[66000];

	(void)state;
	fill(data, sizeof(data));
	for (int i = 0; i < 3000; i++) {
		size_t at = rnd() % 64;
		size_t len = i < 200 ? (size_t)i : rnd() % 65000;

		assert_int_equal(ntohs(checksum_fold(checksum_add(0, data + at, len))),
				 slow_sum(data + at, len, 0));
	}
	memset(data, 0xff, 65535);
	assert_int_equal(checksum_fold(checksum_add(0, data, 65534)), 0xffff);
	memset(data, 0, 65535);
	assert_int_equal(checksum_fold(checksum_add(0, data, 65534)), 0);
}

static void test_checksum_rfc1624(void **state)
{
	(void)state;
	/* The RFC's own corner: 0xDD2F, 0x5555 -> 0x3285 gives 0x0000, not 0xFFFF. */
	uint8_t field[2] = {0xdd, 0x2f}, before[2] = {0x55, 0x55}, after[2] = {0x32, 0x85};

	checksum_update16(field, before, after);
	assert_int_equal(field[0] << 8 | field[1], 0);
	for (int i = 0; i < 20000; i++) {
		uint8_t data[40];
		uint16_t sum;
		size_t at = rnd() % 20 * 2;

		fill(data, sizeof(data));
		sum = (uint16_t)~checksum_fold(checksum_add(0, data, sizeof(data)));
		memcpy(field, &sum, 2);
		memcpy(before, data + at, 2);
		fill(data + at, 2);
		checksum_update16(field, before, data + at);
		memcpy(&sum, field, 2);
		assert_int_equal(checksum_fold(checksum_add(0, data, sizeof(data)) + sum), 0xffff);
	}
}

struct shape {
	bool v6, udp;
	uint16_t seg_size, options;
	uint32_t payload;
};

/* A super-packet as a TUN hands it out: lengths of the whole, pseudo-header checksum. */
static void make(const struct shape *s, uint8_t *data, struct superpacket *ret)
{
	uint16_t l3 = s->v6 ? 40 : 20;
	uint16_t l4 = s->udp ? 8 : (uint16_t)(20 + s->options);
	uint32_t len = l3 + l4 + s->payload;
	struct ip_view ip;
	uint16_t sum;

	fill(data, len);
	if (s->v6) {
		data[0] = 0x60;
		bytes_put_be16(data + 4, (uint16_t)(len - 40));
		data[6] = s->udp ? 17 : 6;
	} else {
		data[0] = 0x45;
		bytes_put_be16(data + 2, (uint16_t)len);
		bytes_put_be16(data + 6, 0x4000);
		data[9] = s->udp ? 17 : 6;
		checksum_set_ipv4(data, 20);
	}
	*ret = (struct superpacket){
		.data = data,
		.len = len,
		.seg_size = s->seg_size,
		.count = (uint16_t)((s->payload + s->seg_size - 1) / s->seg_size),
		.csum_start = l3,
		.csum_offset = s->udp ? 6 : 16,
		.needs_csum = true,
		.gso_type = s->udp  ? SEGMENT_GSO_UDP_L4
			    : s->v6 ? SEGMENT_GSO_TCPV6
				    : SEGMENT_GSO_TCPV4};
	if (s->udp) {
		bytes_put_be16(data + l3 + 4, (uint16_t)(len - l3));
	} else {
		data[l3 + 12] = (uint8_t)((l4 / 4) << 4);
		data[l3 + 13] = TCP_ACK;
	}
	assert_true(ip_parse(data, len, &ip));
	sum = checksum_fold(checksum_pseudo(data, &ip, ip.proto, len - l3));
	memcpy(data + l3 + ret->csum_offset, &sum, 2);
}

static void random_shape(struct shape *s)
{
	s->v6 = rnd() & 1;
	s->udp = rnd() & 1;
	s->options = (uint16_t)(rnd() % 6 * 4);
	s->seg_size = (uint16_t)(100 + rnd() % 1400);
	s->payload = (uint32_t)(s->seg_size + 1 + rnd() % (s->seg_size * 40u));
}

static uint8_t whole[70000], pieces[64][2000], joined[70000];

/* Cuts, checks each piece as a receiver would, and returns the lengths. */
static void cut(const struct superpacket *p, uint32_t *lens)
{
	struct segment_plan plan;
	struct ip_view ip;

	assert_true(segment_plan(p, &plan));
	for (uint16_t i = 0; i < p->count; i++) {
		lens[i] = segment_len(p, &plan, i);
		assert_true(lens[i] <= sizeof(pieces[i]));
		segment_write(p, &plan, i, pieces[i]);
		assert_true(ip_parse(pieces[i], lens[i], &ip));
		assert_int_equal(ip.total, lens[i]);
		if (ip.version == 4)
			assert_int_equal(slow_sum(pieces[i], 20, 0), 0xffff);
		assert_int_equal(checksum_l4_valid(pieces[i], &ip), 1);
	}
}

static void test_cut_and_join(void **state)
{
	struct coalesce *c = calloc(1, sizeof(*c));

	(void)state;
	assert_non_null(c);
	for (int round = 0; round < 2000; round++) {
		struct shape s;
		struct superpacket p;
		uint32_t lens[64];
		struct iovec iov[COALESCE_MAX_COUNT];
		size_t at = 0;
		int count;

		random_shape(&s);
		make(&s, whole, &p);
		if (p.len > UINT16_MAX)
			continue;
		cut(&p, lens);
		coalesce_reset(c, true, true);
		for (uint16_t i = 0; i < p.count; i++)
			assert_true(coalesce_add(c, pieces[i], lens[i]));
		coalesce_finish(c);
		assert_int_equal(c->group_count, 1);
		count = coalesce_gather(c, 0, iov);
		assert_int_equal(count, p.count);
		for (int i = 0; i < count; i++) {
			memcpy(joined + at, iov[i].iov_base, iov[i].iov_len);
			at += iov[i].iov_len;
		}
		assert_int_equal(at, p.len);
		assert_memory_equal(joined, whole, at);
		assert_int_equal(c->superpackets[0].seg_size, p.seg_size);
		assert_int_equal(c->superpackets[0].gso_type, p.gso_type);
		assert_int_equal(c->superpackets[0].csum_start, p.csum_start);
		assert_int_equal(c->superpackets[0].csum_offset, p.csum_offset);
		assert_true(c->superpackets[0].needs_csum);
	}
	free(c);
}

/* What a change to the second of two segments does. */
static size_t groups_after(void (*change)(uint8_t *packet), bool fix_checksum, bool udp)
{
	struct shape s = {.seg_size = 500, .payload = 1000, .udp = udp};
	struct coalesce *c = calloc(1, sizeof(*c));
	struct superpacket p;
	struct ip_view ip;
	uint32_t lens[64];
	size_t groups;
	uint16_t sum;

	assert_non_null(c);
	make(&s, whole, &p);
	cut(&p, lens);
	change(pieces[1]);
	if (fix_checksum) {
		uint8_t *field = pieces[1] + (udp ? 26 : 36);

		checksum_set_ipv4(pieces[1], 20);
		assert_true(ip_parse(pieces[1], lens[1], &ip));
		memset(field, 0, 2);
		sum = (uint16_t)~checksum_fold(
			checksum_add(checksum_pseudo(pieces[1], &ip, ip.proto, lens[1] - 20),
				     pieces[1] + 20, lens[1] - 20));
		memcpy(field, &sum, 2);
	}
	coalesce_reset(c, true, true);
	assert_true(coalesce_add(c, pieces[0], lens[0]));
	assert_true(coalesce_add(c, pieces[1], lens[1]));
	coalesce_finish(c);
	groups = c->group_count;
	free(c);
	return groups;
}

static void nothing(uint8_t *p)
{
	(void)p;
}
static void change_payload(uint8_t *p)
{
	p[100] ^= 1;
}
static void change_seq(uint8_t *p)
{
	p[27] ^= 1;
}
static void change_ack(uint8_t *p)
{
	p[31] ^= 1;
}
static void change_window(uint8_t *p)
{
	p[34] ^= 1;
}
static void change_flags(uint8_t *p)
{
	p[33] |= TCP_FIN;
}
static void change_port(uint8_t *p)
{
	p[21] ^= 1;
}
static void change_ttl(uint8_t *p)
{
	p[8] ^= 1;
}
static void change_tos(uint8_t *p)
{
	p[1] ^= 1;
}
static void change_source(uint8_t *p)
{
	p[13] ^= 1;
}
static void change_df(uint8_t *p)
{
	p[6] ^= 0x40;
}
static void change_fragment(uint8_t *p)
{
	p[6] |= 0x20;
}

static void test_not_joined(void **state)
{
	static void (*const changes[])(uint8_t *) = {
		change_seq,    change_ack, change_window, change_flags, change_port,
		change_source, change_ttl, change_tos,	  change_df,	change_fragment};

	(void)state;
	assert_int_equal(groups_after(nothing, true, false), 1);
	assert_int_equal(groups_after(nothing, true, true), 1);
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
		if (groups_after(changes[i], true, false) != 2)
			fail_msg("change %zu was joined", i);
	/* A wrong checksum is never made right by joining. */
	assert_int_equal(groups_after(change_payload, true, false), 1);
	assert_int_equal(groups_after(change_payload, false, false), 2);
	assert_int_equal(groups_after(change_payload, false, true), 2);
	assert_int_equal(groups_after(change_port, true, true), 2);
}

/* Without DF ids are for who puts fragments together: only those join that cutting would number so.
 */
static void test_ids_without_df(void **state)
{
	struct shape s = {.seg_size = 500, .payload = 1000};
	struct coalesce *c = calloc(1, sizeof(*c));
	struct superpacket p;
	uint32_t lens[64];

	(void)state;
	assert_non_null(c);
	for (unsigned skip = 0; skip < 2; skip++) {
		make(&s, whole, &p);
		bytes_put_be16(whole + 6, 0);
		checksum_set_ipv4(whole, 20);
		cut(&p, lens);
		bytes_put_be16(pieces[1] + 4, (uint16_t)(bytes_get_be16(pieces[1] + 4) + skip));
		checksum_set_ipv4(pieces[1], 20);
		coalesce_reset(c, true, true);
		assert_true(coalesce_add(c, pieces[0], lens[0]));
		assert_true(coalesce_add(c, pieces[1], lens[1]));
		coalesce_finish(c);
		assert_int_equal(c->group_count, 1 + skip);
	}
	free(c);
}

/* RFC 768: a sum of zero is sent as all ones, since zero means that there is none. */
static void test_udp_sum_of_zero(void **state)
{
	struct superpacket p;
	uint32_t lens[64];

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		/* Cut into two, and whole with an offloaded checksum. */
		struct shape s = {
			.v6 = i & 1, .udp = true, .seg_size = i & 2 ? 1000 : 500, .payload = 1000};
		size_t l4 = s.v6 ? 40 : 20;
		uint8_t *word = whole + l4 + 8;
		uint32_t sum;

		make(&s, whole, &p);
		if (p.count == 1)
			p = (struct superpacket){.data = whole,
						 .len = p.len,
						 .count = 1,
						 .csum_start = p.csum_start,
						 .csum_offset = p.csum_offset,
						 .needs_csum = true};
		cut(&p, lens);
		sum = (uint32_t)bytes_get_be16(word) + bytes_get_be16(pieces[0] + l4 + 6);
		bytes_put_be16(word, (uint16_t)(sum + (sum >> 16)));
		cut(&p, lens);
		assert_int_equal(bytes_get_be16(pieces[0] + l4 + 6), 0xffff);
	}
}

static void test_order_in_a_flow(void **state)
{
	struct shape s = {.seg_size = 500, .payload = 2000};
	struct coalesce *c = calloc(1, sizeof(*c));
	struct superpacket p;
	uint32_t lens[64];

	(void)state;
	assert_non_null(c);
	make(&s, whole, &p);
	cut(&p, lens);
	coalesce_reset(c, true, true);
	/* 0, 2, 1, 3: 1 does not join 0 over 2. */
	assert_true(coalesce_add(c, pieces[0], lens[0]));
	assert_true(coalesce_add(c, pieces[2], lens[2]));
	assert_true(coalesce_add(c, pieces[1], lens[1]));
	assert_true(coalesce_add(c, pieces[3], lens[3]));
	coalesce_finish(c);
	assert_int_equal(c->group_count, 4);
	for (size_t i = 0; i < 4; i++) {
		assert_false(c->superpackets[i].needs_csum);
		assert_true(c->superpackets[i].csum_valid);
		assert_int_equal(c->superpackets[i].seg_size, 0);
	}
	/* Not at all when the TUN cannot take it. */
	coalesce_reset(c, false, false);
	assert_true(coalesce_add(c, pieces[0], lens[0]));
	assert_true(coalesce_add(c, pieces[1], lens[1]));
	coalesce_finish(c);
	assert_int_equal(c->group_count, 2);
	assert_false(c->superpackets[0].csum_valid);
	free(c);
}

static void test_full_batch(void **state)
{
	struct coalesce *c = calloc(1, sizeof(*c));
	uint8_t packet[28] = {0x45, 0, 0, 28};

	(void)state;
	assert_non_null(c);
	coalesce_reset(c, true, true);
	for (size_t i = 0; i < COALESCE_MAX_PACKETS; i++)
		assert_true(coalesce_add(c, packet, sizeof(packet)));
	assert_false(coalesce_add(c, packet, sizeof(packet)));
	assert_int_equal(c->group_count, COALESCE_MAX_PACKETS);
	free(c);
}

/* Found by fuzz_tunnel_inner: ports of a packet that is too short for them were compared. */
static void test_headless_first(void **state)
{
	struct shape s = {.seg_size = 500, .payload = 1000};
	struct coalesce *c = calloc(1, sizeof(*c));
	uint8_t *headless = malloc(20);
	struct superpacket p;
	uint32_t lens[64];

	(void)state;
	assert_non_null(c);
	assert_non_null(headless);
	make(&s, whole, &p);
	cut(&p, lens);
	memcpy(headless, pieces[0], 20);
	bytes_put_be16(headless + 2, 20);
	coalesce_reset(c, true, true);
	assert_true(coalesce_add(c, headless, 20));
	assert_true(coalesce_add(c, pieces[0], lens[0]));
	assert_true(coalesce_add(c, pieces[1], lens[1]));
	coalesce_finish(c);
	assert_int_equal(c->group_count, 2);
	free(headless);
	free(c);
}

static void test_vnet_header(void **state)
{
	struct shape s = {.seg_size = 700, .payload = 5000};
	struct virtio_net_hdr h = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				   .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
				   .hdr_len = 40,
				   .gso_size = 700,
				   .csum_start = 20,
				   .csum_offset = 16};
	uint8_t vnet[SEGMENT_VNET_BYTES], back[SEGMENT_VNET_BYTES];
	struct superpacket p, got;

	(void)state;
	make(&s, whole, &p);
	memcpy(vnet, &h, sizeof(h));
	assert_true(segment_from_vnet(vnet, whole, p.len, &got));
	assert_int_equal(got.count, 8);
	assert_int_equal(got.seg_size, 700);
	segment_to_vnet(&got, back);
	assert_memory_equal(vnet, back, sizeof(vnet));
	/* One segment is a plain packet. */
	h.gso_size = 5000;
	memcpy(vnet, &h, sizeof(h));
	assert_true(segment_from_vnet(vnet, whole, p.len, &got));
	assert_int_equal(got.count, 1);
	assert_int_equal(got.gso_type, 0);
	/* Lies. */
	h.gso_size = 0;
	memcpy(vnet, &h, sizeof(h));
	assert_false(segment_from_vnet(vnet, whole, p.len, &got));
	h.gso_size = 700;
	h.gso_type = VIRTIO_NET_HDR_GSO_TCPV6;
	memcpy(vnet, &h, sizeof(h));
	assert_false(segment_from_vnet(vnet, whole, p.len, &got));
	h.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	h.csum_start = 24;
	memcpy(vnet, &h, sizeof(h));
	assert_false(segment_from_vnet(vnet, whole, p.len, &got));
	h.gso_type = 0;
	h.csum_start = (uint16_t)(p.len - 17);
	memcpy(vnet, &h, sizeof(h));
	assert_false(segment_from_vnet(vnet, whole, p.len, &got));
}

static void test_offloaded_checksum(void **state)
{
	struct segment_plan plan;
	struct ip_view ip;

	(void)state;
	for (int i = 0; i < 500; i++) {
		struct shape s = {.v6 = i & 1, .udp = i & 2, .seg_size = 2000};
		struct superpacket p;

		s.payload = (uint32_t)(1 + rnd() % 1400);
		make(&s, whole, &p);
		p.gso_type = 0;
		p.seg_size = 0;
		assert_int_equal(p.count, 1);
		assert_true(segment_plan(&p, &plan));
		assert_int_equal(segment_len(&p, &plan, 0), p.len);
		segment_write(&p, &plan, 0, pieces[0]);
		assert_true(ip_parse(pieces[0], p.len, &ip));
		assert_int_equal(checksum_l4_valid(pieces[0], &ip), 1);
	}
}

static void test_flags_when_cut(void **state)
{
	struct shape s = {.seg_size = 300, .payload = 900};
	struct superpacket p;
	uint32_t lens[64];

	(void)state;
	make(&s, whole, &p);
	whole[33] = TCP_ACK | TCP_PSH | TCP_FIN | TCP_CWR | TCP_ECE;
	p.gso_type |= SEGMENT_GSO_ECN;
	cut(&p, lens);
	assert_int_equal(pieces[0][33], TCP_ACK | TCP_CWR | TCP_ECE);
	assert_int_equal(pieces[1][33], TCP_ACK | TCP_ECE);
	assert_int_equal(pieces[2][33], TCP_ACK | TCP_PSH | TCP_FIN | TCP_ECE);
	assert_int_equal((uint16_t)(bytes_get_be16(pieces[2] + 4) - bytes_get_be16(pieces[0] + 4)),
			 2);
	assert_int_equal(bytes_get_be32(pieces[2] + 24) - bytes_get_be32(pieces[0] + 24), 600);
}

static void test_redirect(void **state)
{
	struct ip_view ip;

	(void)state;
	for (int i = 0; i < 400; i++) {
		struct shape s = {.v6 = i & 1, .seg_size = 600, .payload = 1500};
		struct superpacket p, single;
		struct segment_plan plan;
		uint32_t lens[64];
		uint16_t l3 = s.v6 ? 40 : 20;
		enum tunnel_direction dir = i & 2 ? TUNNEL_TX : TUNNEL_RX;
		uint16_t field = (uint16_t)(l3 + (dir == TUNNEL_TX ? 0 : 2));

		make(&s, whole, &p);
		/* Offloaded and cut: the checksum is made of the new port. */
		p.rewrite_port = 22022;
		assert_true(segment_rewrite_port(&p, dir));
		assert_int_equal(bytes_get_be16(whole + field), 22022);
		cut(&p, lens);
		/* Complete: changed by RFC 1624. */
		assert_true(segment_plan(&p, &plan));
		single = (struct superpacket){.data = pieces[1],
					      .len = lens[1],
					      .count = 1,
					      .rewrite_port = (uint16_t)(1 + rnd() % 65535)};
		assert_true(segment_rewrite_port(&single, dir));
		assert_int_equal(bytes_get_be16(pieces[1] + field), single.rewrite_port);
		assert_true(ip_parse(pieces[1], lens[1], &ip));
		assert_int_equal(checksum_l4_valid(pieces[1], &ip), 1);
	}
	/* Only TCP, whole, and not a fragment. */
	{
		struct shape s = {.udp = true, .seg_size = 600, .payload = 1500};
		struct superpacket p;

		make(&s, whole, &p);
		p.rewrite_port = 1;
		assert_false(segment_rewrite_port(&p, TUNNEL_RX));
		s.udp = false;
		make(&s, whole, &p);
		p.rewrite_port = 1;
		p.len = 39;
		assert_false(segment_rewrite_port(&p, TUNNEL_RX));
		p.len = 1540;
		whole[7] = 1;
		assert_false(segment_rewrite_port(&p, TUNNEL_RX));
	}
}

/* The checksum of a whole ICMP packet. */
static uint16_t icmp_sum(const uint8_t *data, uint32_t len)
{
	struct ip_view ip;

	assert_true(ip_parse(data, len, &ip));
	if (ip.version == 4)
		return checksum_fold(checksum_add(0, data + 20, len - 20));
	return checksum_fold(
		checksum_add(checksum_pseudo(data, &ip, 58, len - 40), data + 40, len - 40));
}

/* An error speaks of a segment that went the other way: its port moves with the others. */
static void test_rewrite_errors(void **state)
{
	static uint8_t error[ANSWER_MAX];

	(void)state;
	for (int i = 0; i < 64; i++) {
		struct shape s = {.v6 = i & 1, .seg_size = 600, .payload = 1500};
		enum tunnel_direction dir = i & 2 ? TUNNEL_TX : TUNNEL_RX;
		uint32_t l3 = s.v6 ? 40 : 20;
		uint32_t field = l3 + 8 + l3 + (dir == TUNNEL_TX ? 2 : 0);
		struct superpacket p, e = {.data = error, .count = 1};

		make(&s, whole, &p);
		whole[s.v6 ? 8 : 12] = whole[s.v6 ? 24 : 16] = s.v6 ? 0xfd : 10;
		e.len = answer_unreachable(whole, p.len, error);
		assert_true(e.len > field);
		e.rewrite_port = (uint16_t)(1 + rnd() % 65535);
		assert_true(segment_rewrite_port(&e, dir));
		assert_int_equal(bytes_get_be16(error + field), e.rewrite_port);
		assert_int_equal(bytes_get_be16(error + field + (dir == TUNNEL_TX ? -2 : 2)),
				 bytes_get_be16(whole + l3 + (dir == TUNNEL_TX ? 0 : 2)));
		assert_int_equal(icmp_sum(error, e.len), 0xffff);
		/* Cut off before the port, about a later fragment, or not about TCP. */
		for (uint32_t len = 0; len < field + 2; len++) {
			e.len = len;
			assert_false(segment_rewrite_port(&e, dir));
		}
		e.len = answer_unreachable(whole, p.len, error);
		if (!s.v6) {
			error[28 + 7] = 1;
			assert_false(segment_rewrite_port(&e, dir));
			error[28 + 7] = 0;
		}
		error[l3 + 8 + (s.v6 ? 6 : 9)] = 17;
		assert_false(segment_rewrite_port(&e, dir));
	}
}

static void test_ip_lengths(void **state)
{
	uint8_t v4[20] = {0x45, 0, 0, 20};
	uint8_t v6[48] = {0x60, 0, 0, 0, 0, 8, 17};
	struct ip_view ip;

	(void)state;
	assert_true(ip_parse(v4, 20, &ip));
	assert_false(ip_parse(v4, 19, &ip));
	v4[3] = 21;
	assert_false(ip_parse(v4, 20, &ip));
	v4[3] = 19;
	assert_false(ip_parse(v4, 20, &ip));
	v4[3] = 20;
	v4[0] = 0x46;
	assert_false(ip_parse(v4, 20, &ip));
	v4[0] = 0x44;
	assert_false(ip_parse(v4, 20, &ip));
	v4[0] = 0x55;
	assert_false(ip_parse(v4, 20, &ip));
	assert_true(ip_parse(v6, 48, &ip));
	assert_false(ip_parse(v6, 47, &ip));
	assert_false(ip_parse(v6, 39, &ip));
	v6[5] = 9;
	assert_false(ip_parse(v6, 48, &ip));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_checksum_slow),	   cmocka_unit_test(test_checksum_rfc1624),
		cmocka_unit_test(test_cut_and_join),	   cmocka_unit_test(test_not_joined),
		cmocka_unit_test(test_ids_without_df),	   cmocka_unit_test(test_udp_sum_of_zero),
		cmocka_unit_test(test_order_in_a_flow),	   cmocka_unit_test(test_full_batch),
		cmocka_unit_test(test_headless_first),	   cmocka_unit_test(test_vnet_header),
		cmocka_unit_test(test_offloaded_checksum), cmocka_unit_test(test_flags_when_cut),
		cmocka_unit_test(test_redirect),	   cmocka_unit_test(test_rewrite_errors),
		cmocka_unit_test(test_ip_lengths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
