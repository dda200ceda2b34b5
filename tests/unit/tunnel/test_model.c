/* SPDX-License-Identifier: Apache-2.0
 *
 * A stateful model of two devices under thousands of seeds. The network loses, doubles, delays and
 * reorders; clocks jump; machines sleep, restart, move, go down and up, change keys, preshared keys
 * and MTU, remove and add each other, are under load (cookies), run out of counters. Always:
 *
 *  - a packet comes up at most once, unchanged, on the right side, never from a peer that is
 * removed;
 *  - no (session, counter) seals two datagrams, and no counter reaches REJECT_AFTER_MESSAGES;
 *  - sessions, indices and queues stay within their bounds;
 *  - when all is healed, packets go through both ways within 30 s.
 *
 * WARREN_MODEL_SEEDS=N for more, WARREN_MODEL_FIRST=N to begin at one that failed. The curve, three
 * quarters of the time, is a toy in all but every 20th run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <sodium.h>

#include "pair.h"
#include "tunnel/segment.h"

#ifdef WARREN_SANITIZE
#define SEEDS 300 /* ten times slower */
#else
#define SEEDS 3000
#endif
#define STEPS	   90
#define PACKETS	   600	/* at most, of each side */
#define NONCES	   8192 /* slots of the table of what was sealed */
#define PAYLOAD	   1300 /* at most, of a segment */
#define HEAL_S	   30
#define HEADER	   28
#define NUMBER_LEN 4

struct model {
	struct pair pair; /* first: on_send gets it */
	bool sent[2][PACKETS], seen[2][PACKETS];
	unsigned count[2];
	bool joined[2]; /* side i knows the other */
	bool up[2];
	unsigned psk[2];
	struct { /* what was sealed: sender, session and counter in one hash */
		uint64_t key;
		uint64_t run;
	} nonces[NONCES];
	size_t nonce_count;
	uint64_t run;
	unsigned boots[2];
};

static bool real_curve;

/* In the place of libsodium's: multiplication modulo 2^61 - 1, which commutes as the curve does. */
static void toy(uint8_t q[32], const uint8_t n[32], uint64_t p)
{
	uint64_t factor, value;

	memcpy(&factor, n + 8, sizeof(factor));
	value = (uint64_t)((unsigned __int128)(factor >> 4) * p % ((UINT64_C(1) << 61) - 1));
	memset(q, 0, 32);
	memcpy(q, &value, sizeof(value));
}

int crypto_scalarmult_curve25519(unsigned char *q, const unsigned char *n, const unsigned char *p)
{
	int (*real)(unsigned char *, const unsigned char *, const unsigned char *) = NULL;
	uint64_t value;

	if (real_curve) {
		*(void **)&real = dlsym(RTLD_NEXT, "crypto_scalarmult_curve25519");
		return real(q, n, p);
	}
	memcpy(&value, p, sizeof(value));
	toy(q, n, value);
	return 0;
}

int crypto_scalarmult_curve25519_base(unsigned char *q, const unsigned char *n)
{
	int (*real)(unsigned char *, const unsigned char *) = NULL;

	if (real_curve) {
		*(void **)&real = dlsym(RTLD_NEXT, "crypto_scalarmult_curve25519_base");
		return real(q, n);
	}
	toy(q, n, 9);
	return 0;
}

/* Payload bytes follow from the number of the packet. */
static void fill_payload(uint8_t *out, int from, unsigned number, size_t len)
{
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(number * 31 + i * 7 + (unsigned)from);
	bytes_put_be32(out, number);
}

static size_t payload_len(unsigned number)
{
	return NUMBER_LEN + number * 7919 % (PAYLOAD - NUMBER_LEN);
}

static void on_send(struct pair *p, int from, const uint8_t *data, size_t len)
{
	struct model *m = (struct model *)p;
	uint64_t key;
	uint8_t text[24] = {(uint8_t)from};
	uint8_t hash[8];
	static const uint8_t hash_key[16];

	assert_true(m->up[from]);
	if (data[0] != WIRE_DATA)
		return;
	assert_true(len >= WIRE_DATA_OVERHEAD);
	assert_true(bytes_get_le64(data + 8) < REJECT_AFTER_MESSAGES);
	/* The receiver's index alone could come again after a restart. */
	bytes_put_le32(text + 1, m->boots[1 - from]);
	memcpy(text + 5, data + 4, 12);
	crypto_shorthash(hash, text, sizeof(text), hash_key);
	memcpy(&key, hash, 8);
	for (size_t i = key % NONCES;; i = (i + 1) % NONCES) {
		if (m->nonces[i].run != m->run) {
			assert_true(++m->nonce_count < NONCES / 2);
			m->nonces[i].run = m->run;
			m->nonces[i].key = key;
			return;
		}
		if (m->nonces[i].key == key)
			fail_msg("seed %llu: a counter was used twice", (unsigned long long)m->run);
	}
}

static void check_segment(struct model *m, int i, const uint8_t *payload, size_t len)
{
	uint8_t expected[PAYLOAD];
	uint32_t number;

	assert_true(len >= NUMBER_LEN);
	number = bytes_get_be32(payload);
	assert_true(number < PACKETS);
	assert_true(m->sent[1 - i][number]);
	if (m->seen[1 - i][number])
		fail_msg("seed %llu: packet %u came twice", (unsigned long long)m->run, number);
	m->seen[1 - i][number] = true;
	assert_int_equal(len, payload_len(number));
	fill_payload(expected, 1 - i, number, len);
	assert_memory_equal(payload, expected, len);
}

static void check_bounds(const struct tunnel *t)
{
	size_t chunks = 0;

	assert_true(t->peers.count <= 1);
	assert_true(t->timers.count <= t->peers.count);
	assert_true(t->index.used <= 4 * t->peers.count);
	for (const struct peer *p = t->peers.first; p; p = p->next)
		chunks += p->staged.chunks;
	assert_true(chunks <= STAGING_PEER_CHUNKS);
	assert_true(t->staging.fresh <= STAGING_PEER_CHUNKS);
}

static void check(struct model *m)
{
	for (int i = 0; i < 2; i++) {
		struct pair_side *s = &m->pair.side[i];

		for (size_t k = 0; k < s->inbox_count; k++) {
			const struct pair_packet *packet = &s->inbox[k];
			size_t cut = packet->count > 1 ? packet->seg_size : packet->len - HEADER;

			/* "Host unreachable" to our own sender. */
			if (!m->joined[i] && packet->data[9] == 1 && packet->data[20] == 3)
				continue;
			if (!m->joined[i] || !m->up[i])
				fail_msg("seed %llu: side %d: a packet came up (joined %d, up %d)",
					 (unsigned long long)m->run, i, m->joined[i], m->up[i]);
			assert_true(packet->len > HEADER);
			assert_int_equal(packet->data[15], 2 - i);
			assert_int_equal(packet->data[19], i + 1);
			for (size_t at = HEADER; at < packet->len; at += cut)
				check_segment(m, i, packet->data + at,
					      packet->len - at < cut ? packet->len - at : cut);
		}
		pair_clear_inbox(s);
		check_bounds(s->t);
	}
}

static int next_number(struct model *m, int from)
{
	if (m->count[from] == PACKETS)
		return -1;
	m->sent[from][m->count[from]] = true;
	return (int)m->count[from]++;
}

static int send_one(struct model *m, int from)
{
	uint8_t payload[PAYLOAD], packet[PAYLOAD + HEADER];
	int number = next_number(m, from);
	size_t len;

	if (number < 0)
		return -1;
	len = payload_len((unsigned)number);
	fill_payload(payload, from, (unsigned)number, len);
	pair_tx(&m->pair, from, packet, pair_udp4(packet, from, payload, len));
	return number;
}

/* A UDP super-packet as a TUN with USO gives it: segments of one size, so numbers are looked for
 * whose packets have it. */
static void send_train(struct model *m, int from)
{
	static uint8_t packet[DEVICE_PACKET_MAX];
	struct pair_side *s = &m->pair.side[from];
	struct superpacket sp = {.data = packet,
				 .count = 0,
				 .seg_size = 0,
				 .csum_start = 20,
				 .csum_offset = 6,
				 .needs_csum = true,
				 .gso_type = SEGMENT_GSO_UDP_L4};
	unsigned room = 2 + (unsigned)(pair_rand(&m->pair) % 10);
	struct ip_view ip;
	uint16_t sum;
	uint32_t used = 0;

	for (; sp.count < room; sp.count++) {
		int number = next_number(m, from);
		size_t len = number < 0 ? 0 : payload_len((unsigned)number);

		/* Only the last may be shorter; a longer one is left unsent. */
		if (number < 0 || (sp.count && len > sp.seg_size))
			break;
		if (!sp.count)
			sp.seg_size = (uint16_t)len;
		fill_payload(packet + HEADER + used, from, (unsigned)number, len);
		used += (uint32_t)len;
		if (len < sp.seg_size) {
			sp.count++;
			break;
		}
	}
	if (sp.count < 2)
		return;
	sp.len = HEADER + used;
	{
		static uint8_t head[DEVICE_PACKET_MAX];

		pair_udp4(head, from, packet + HEADER, used);
		memcpy(packet, head, HEADER);
	}
	assert_true(ip_parse(packet, sp.len, &ip));
	sum = checksum_fold(checksum_pseudo(packet, &ip, 17, sp.len - 20));
	memcpy(packet + 26, &sum, 2);
	tx_packets(s->t, &sp, 1, s->time.monotonic_ns);
}

static void join(struct model *m, int i, bool endpoint)
{
	char extra[128];

	snprintf(extra, sizeof(extra), "preshared_key=%064u\n", m->psk[i]);
	pair_join(&m->pair, i, endpoint, extra);
	m->joined[i] = true;
}

static void boot(struct model *m, int i)
{
	struct pair *p = &m->pair;

	m->boots[i]++;
	pair_boot(p, i);
	rx_set_offloads(p->side[i].t, i == 0, true);
	m->up[i] = true;
	m->joined[i] = false;
	join(m, i, true);
}

static void leave(struct model *m, int i)
{
	char hex[65], request[128];

	encode_hex(hex, m->pair.side[1 - i].public_key, 32);
	snprintf(request, sizeof(request), "set=1\npublic_key=%s\nremove=true\n", hex);
	assert_int_equal(pair_uapi(m->pair.side[i].t, request), 0);
	check(m);
	m->joined[i] = false;
	assert_int_equal(m->pair.side[i].t->index.used, 0);
}

static void new_key(struct model *m, int i)
{
	struct pair_side *s = &m->pair.side[i];
	bool other = m->joined[1 - i];
	char hex[65], request[128];

	if (other)
		leave(m, 1 - i);
	random_bytes(&s->random, s->private_key, 32);
	encode_hex(hex, s->private_key, 32);
	snprintf(request, sizeof(request), "set=1\nprivate_key=%s\n", hex);
	assert_int_equal(pair_uapi(s->t, request), 0);
	memcpy(s->public_key, s->t->identity.public_key, 32);
	if (other)
		join(m, 1 - i, true);
}

static void near_the_end(struct model *m, int i)
{
	struct peer *p = m->pair.side[i].t->peers.first;
	uint64_t r = pair_rand(&m->pair);

	if (p && p->current && p->current->send_counter < REKEY_AFTER_MESSAGES / 2)
		p->current->send_counter =
			r % 2 ? REKEY_AFTER_MESSAGES - 2 : REJECT_AFTER_MESSAGES - 1 - r % 8;
}

static void change_network(struct model *m, int i)
{
	struct pair *p = &m->pair;
	char text[32];

	switch (pair_rand(p) % 6) {
	case 0:
		p->loss_percent = (unsigned)(pair_rand(p) % 101);
		break;
	case 1:
		p->dup_percent = (unsigned)(pair_rand(p) % 60);
		break;
	case 2:
		p->delay_ms = (unsigned)(pair_rand(p) % 400);
		break;
	case 3: /* moves: the other follows what it can authenticate */
		snprintf(text, sizeof(text), "192.0.2.%u:%u", 10 + (unsigned)i,
			 1 + (unsigned)(pair_rand(p) % 60000));
		assert_int_equal(endpoint_parse(text, &p->side[i].endpoint), 0);
		break;
	case 4:
		p->trains = !p->trains;
		break;
	default:
		p->socket_full = !p->socket_full;
		for (int k = 0; k < 2; k++)
			tx_flush(p->side[k].t);
		break;
	}
}

static void change_clock(struct model *m, int i)
{
	struct pair_side *s = m->pair.side;

	switch (pair_rand(&m->pair) % 4) {
	case 0: /* both sleep */
		s[0].time.monotonic_ns += 200 * NSEC_PER_SEC;
		s[1].time.monotonic_ns += 200 * NSEC_PER_SEC;
		break;
	case 1: /* one sleeps */
		s[i].time.monotonic_ns += pair_rand(&m->pair) % (300 * NSEC_PER_SEC);
		break;
	case 2: /* a wall clock jumps ahead, or back by what it jumped */
		if (s[i].time.realtime_ns % 2 == 0)
			s[i].time.realtime_ns += 3600 * NSEC_PER_SEC + 1;
		else
			s[i].time.realtime_ns -= 3600 * NSEC_PER_SEC + 1;
		break;
	default: /* one restarts; its wall clock is right */
		s[i].time.realtime_ns += 3601 * NSEC_PER_SEC;
		s[1 - i].time.realtime_ns = s[i].time.realtime_ns;
		boot(m, i);
		break;
	}
}

static void change_device(struct model *m, int i)
{
	struct tunnel *t = m->pair.side[i].t;
	char request[160], hex[65];

	switch (pair_rand(&m->pair) % 8) {
	case 0:
		if (m->joined[i])
			leave(m, i);
		else
			join(m, i, pair_rand(&m->pair) % 4 != 0);
		break;
	case 1:
		m->psk[i] = (unsigned)(pair_rand(&m->pair) % 3);
		if (m->joined[i])
			join(m, i, false);
		break;
	case 2:
		m->up[i] = !m->up[i];
		if (m->up[i]) {
			tunnel_set_up(t, true);
		} else {
			m->up[i] = true; /* what is sealed may still leave */
			tunnel_set_up(t, false);
			check(m);
			m->up[i] = false;
		}
		break;
	case 3:
		t->load_limit = pair_rand(&m->pair) % 2 ? 0 : 128;
		break;
	case 4:
		new_key(m, i);
		break;
	case 5:
		tunnel_set_mtu(t, TUNNEL_PORT_MAIN, (uint16_t)(1280 + pair_rand(&m->pair) % 300));
		break;
	case 6:
		if (!m->joined[i])
			break;
		encode_hex(hex, m->pair.side[1 - i].public_key, 32);
		snprintf(request, sizeof(request),
			 "set=1\npublic_key=%s\npersistent_keepalive_interval=%u\n", hex,
			 pair_rand(&m->pair) % 2 ? 0 : 7);
		assert_int_equal(pair_uapi(t, request), 0);
		break;
	default:
		near_the_end(m, i);
		break;
	}
}

static void step(struct model *m)
{
	struct pair *p = &m->pair;
	int i = (int)(pair_rand(p) & 1);

	switch (pair_rand(p) % 16) {
	case 0:
	case 1:
		change_network(m, i);
		break;
	case 2:
		change_clock(m, i);
		break;
	case 3:
	case 4:
		change_device(m, i);
		break;
	case 5:
		pair_pass(p, pair_rand(p) % (150 * NSEC_PER_SEC));
		break;
	case 6:
		pair_pass(p, pair_rand(p) % (12 * NSEC_PER_SEC));
		break;
	case 7:
	case 8:
	case 9:
		send_train(m, i);
		pair_pass(p, pair_rand(p) % (50 * NSEC_PER_MSEC));
		break;
	default:
		send_one(m, i);
		pair_pass(p, pair_rand(p) % (50 * NSEC_PER_MSEC));
		break;
	}
	check(m);
}

static void heal(struct model *m)
{
	struct pair *p = &m->pair;

	p->loss_percent = p->dup_percent = p->delay_ms = 0;
	p->socket_full = false;
	for (int i = 0; i < 2; i++) {
		m->up[i] = true;
		tunnel_set_up(p->side[i].t, true);
		tx_flush(p->side[i].t);
		m->psk[i] = 1;
		join(m, i, true);
	}
}

static void run(struct model *m, uint64_t seed)
{
	struct pair *p = &m->pair;
	bool through[2] = {false, false};

	memset(m->sent, 0, sizeof(m->sent));
	memset(m->seen, 0, sizeof(m->seen));
	memset(m->count, 0, sizeof(m->count));
	m->nonce_count = 0;
	m->run = seed;
	memset(p, 0, offsetof(struct pair, flying));
	p->flying_count = 0;
	p->loss_percent = p->dup_percent = p->delay_ms = 0;
	p->socket_full = p->trains = false;
	p->roaming = true;
	/* ipsec-mb tests itself when it begins, which takes longer than a run. */
	p->aead = seed % 50 ? "evp" : NULL;
	real_curve = seed % 20 == 0;
	p->on_send = on_send;
	m->psk[0] = m->psk[1] = 0;
	m->up[0] = m->up[1] = true;
	m->joined[0] = m->joined[1] = false;
	pair_init(p, seed);
	for (int i = 0; i < 2; i++) {
		rx_set_offloads(p->side[i].t, i == 0, true);
		join(m, i, true);
	}
	for (int i = 0; i < STEPS; i++)
		step(m);
	heal(m);
	for (int tries = 0; tries < HEAL_S && !(through[0] && through[1]); tries++) {
		for (int i = 0; i < 2; i++) {
			int number = send_one(m, i);

			pair_pass(p, NSEC_PER_SEC / 2);
			check(m);
			through[i] |= number < 0 || m->seen[i][number];
		}
	}
	if (!through[0] || !through[1])
		fail_msg("seed %llu: nothing goes through after healing", (unsigned long long)seed);
	pair_done(p);
}

static unsigned long number_of(const char *variable, unsigned long otherwise)
{
	const char *text = getenv(variable);

	return text ? strtoul(text, NULL, 10) : otherwise;
}

static void test_model(void **state)
{
	unsigned long first = number_of("WARREN_MODEL_FIRST", 1);
	unsigned long count = number_of("WARREN_MODEL_SEEDS", SEEDS);
	struct model *m = calloc(1, sizeof(*m));

	(void)state;
	assert_non_null(m);
	for (unsigned long seed = first; seed < first + count; seed++)
		run(m, seed);
	free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
