/* SPDX-License-Identifier: Apache-2.0
 *
 * In-process measurements for tests/bench/tunnel, one "name=value" a line: responder handshakes and
 * rejected mac1 junk per second, memory per peer, and what the machine takes for the AEAD, a curve
 * and a wake-up ("costs": only those; "handshakes": only they). "filter N": runs packets through two
 * devices with N rules (0: no filter) for callgrind to count instructions of bench_filter_path.
 */
#include <pthread.h>
#include <sched.h>
#include <sodium.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "../unit/tunnel/pair.h"
#include "lib_rules.h"
#include "tunnel/coalesce.h"
#include "tunnel/segment.h"

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double resident_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	long pages = 0;

	if (!f || fscanf(f, "%*d %ld", &pages) != 1)
		abort();
	fclose(f);
	return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

/* Delivers all that flies; returns the time that device `number` took. */
static double deliver(struct pair *p, int number)
{
	double spent = 0;

	while (p->flying_count) {
		struct pair_datagram d = p->flying[0];
		bool timed = d.from != number;
		double start;

		memmove(&p->flying[0], &p->flying[1], --p->flying_count * sizeof(d));
		start = seconds();
		pair_receive(p, &d);
		if (timed)
			spent += seconds() - start;
		free(d.data);
	}
	return spent;
}

static void add_peer(struct tunnel *t, unsigned i, const uint8_t public_key[32])
{
	char hex[65], request[256];

	encode_hex(hex, public_key, 32);
	snprintf(request, sizeof(request), "set=1\npublic_key=%s\nallowed_ip=10.%u.%u.%u/32\n", hex,
		 64 + (i >> 16), i >> 8 & 255, i & 255);
	if (pair_uapi(t, request) != 0)
		abort();
}

static void handshakes(unsigned count)
{
	struct pair *p = calloc(1, sizeof(*p));
	uint8_t(*keys)[32] = calloc(count, 32);
	uint8_t packet[64];
	struct noise_identity id = {0};
	double start, spent = 0;
	struct tunnel *client, *server;

	if (!p || !keys)
		abort();
	p->roaming = true;
	pair_init(p, 3);
	client = p->side[0].t;
	server = p->side[1].t;
	server->load_limit = ~0u;
	pair_join(p, 0, true, "");
	start = resident_bytes();
	for (unsigned i = 0; i < count; i++) {
		random_bytes(&random_system, keys[i], 32);
		noise_identity_set(&id, keys[i]);
		add_peer(server, i, id.public_key);
	}
	printf("peer_bytes=%.0f\n", (resident_bytes() - start) / count);
	for (unsigned i = 0; i < count; i++) {
		for (int s = 0; s < 2; s++) {
			p->side[s].time.monotonic_ns += NSEC_PER_MSEC;
			p->side[s].time.realtime_ns += 20 * NSEC_PER_MSEC;
		}
		if (device_set_private_key(client, keys[i]) < 0)
			abort();
		pair_tx(p, 0, packet, pair_udp4(packet, 0, "x", 1));
		spent += deliver(p, 1);
	}
	printf("session_bytes=%.0f\n", (resident_bytes() - start) / count);
	if (server->stats[STAT_HANDSHAKES] != count) {
		fprintf(stderr, "%llu of %u handshakes\n",
			(unsigned long long)server->stats[STAT_HANDSHAKES], count);
		exit(1);
	}
	printf("handshakes=%.0f\n", count / spent);
	pair_done(p);
	free(keys);
	free(p);
}

static void junk(unsigned rounds)
{
	enum { TRAIN = 64 };
	static uint8_t data[TRAIN * sizeof(struct wire_initiation)];
	struct pair *p = calloc(1, sizeof(*p));
	struct udp_source source = {0};
	struct tunnel *t;
	double start;

	if (!p)
		abort();
	pair_init(p, 4);
	t = p->side[1].t;
	random_bytes(&random_system, data, sizeof(data));
	for (size_t i = 0; i < TRAIN; i++)
		bytes_put_le32(data + i * sizeof(struct wire_initiation), WIRE_INITIATION);
	start = seconds();
	for (unsigned i = 0; i < rounds; i++)
		rx_train(t, data, sizeof(data), sizeof(struct wire_initiation),
			 &p->side[0].endpoint, &source, p->side[1].time.monotonic_ns);
	start = seconds() - start;
	if (t->drops[DROP_RX_BAD_MAC] != (uint64_t)rounds * TRAIN)
		exit(1);
	printf("mac1_junk=%.0f\n", rounds * TRAIN / start);
	pair_done(p);
	free(p);
}

/* ---- the AEAD alone ---- */

/* ns per packet of len bytes, sealed in batches. */
static double seal_ns(struct aead_engine *e, struct aead *a, uint32_t len, size_t batch)
{
	static uint8_t data[AEAD_BATCH][1536];
	struct aead_job jobs[AEAD_BATCH];
	unsigned rounds = 60000u / (unsigned)batch / (1 + len / 500);
	double best = 1e9;

	for (unsigned try = 0; try < 5; try++) {
		double start = seconds();

		for (unsigned i = 0; i < rounds; i++) {
			for (size_t k = 0; k < batch; k++)
				jobs[k] = (struct aead_job){
					.data = data[k], .len = len, .counter = i};
			aead_seal_many(e, a, jobs, batch);
		}
		start = (seconds() - start) / (double)rounds / (double)batch * 1e9;
		best = start < best ? start : best;
	}
	return best;
}

static void aead_costs(void)
{
	static const char *const engines[] = {"evp", "ipsec-mb"};
	static const struct {
		uint32_t len;
		size_t batch;
	} shapes[] = {{1424, 45}, {1424, 1}, {112, 45}, {112, 4}, {112, 1}};
	static const uint8_t key[AEAD_KEY_BYTES] = {1};

	for (size_t i = 0; i < 2; i++) {
		struct aead_engine *e;
		struct aead a;

		if (aead_engine_new(engines[i], &e) < 0)
			continue;
		if (aead_init(&a, key) < 0)
			abort();
		for (size_t k = 0; k < sizeof(shapes) / sizeof(shapes[0]); k++)
			printf("aead_ns %s, %u bytes, batch of %zu=%.0f\n", engines[i],
			       shapes[k].len, shapes[k].batch,
			       seal_ns(e, &a, shapes[k].len, shapes[k].batch));
		aead_done(&a);
		aead_engine_free(e);
	}
}

/* ---- what handshakes and wake-ups are made of ---- */

static void curve_costs(void)
{
	enum { ROUNDS = 300 };
	uint8_t private_key[32], public_key[32], out[32];
	double best[3] = {1e9, 1e9, 1e9};

	random_bytes(&random_system, private_key, sizeof(private_key));
	if (crypto_scalarmult_curve25519_base(public_key, private_key) != 0)
		abort();
	for (unsigned try = 0; try < 7; try++) {
		for (unsigned what = 0; what < 3; what++) {
			double start = seconds();
			bool ok = true;

			for (unsigned i = 0; i < ROUNDS; i++) {
				if (what == 0)
					ok &= crypto_scalarmult_curve25519(out, private_key,
									   public_key) == 0;
				else if (what == 1)
					ok &= crypto_scalarmult_curve25519_base(out,
										private_key) == 0;
				else
					blake2s_kdf(out, out, NULL, out, out, sizeof(out));
			}
			start = (seconds() - start) / ROUNDS * 1e6;
			best[what] = start < best[what] ? start : best[what];
			if (!ok)
				abort();
		}
	}
	printf("x25519_us, of another's key=%.1f\nx25519_us, of the base point=%.1f\n"
	       "kdf_us=%.2f\n",
	       best[0], best[1], best[2]);
}

struct echo {
	int to, back, rounds;
};

static void pin(unsigned core)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(core, &set);
	/* Without the right to do so, or with one core, it is not told apart. */
	(void)pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

static void pass(int from, int to)
{
	eventfd_t one;

	if ((from >= 0 && eventfd_read(from, &one) < 0) || (to >= 0 && eventfd_write(to, 1) < 0))
		abort();
}

static void *echo(void *arg)
{
	const struct echo *e = arg;

	for (int i = 0; i < e->rounds; i++)
		pass(e->to, e->back);
	return NULL;
}

/* From a thread that writes to the one that waits for it to run, wall time. */
static double wake_us(unsigned core)
{
	struct echo e = {eventfd(0, 0), eventfd(0, 0), 2000};
	struct timespec before, after;
	pthread_t other;

	pin(core);
	if (e.to < 0 || e.back < 0 || pthread_create(&other, NULL, echo, &e) != 0)
		abort();
	pin(0);
	clock_gettime(CLOCK_MONOTONIC, &before);
	for (int i = 0; i < e.rounds; i++) {
		pass(-1, e.to);
		pass(e.back, -1);
	}
	clock_gettime(CLOCK_MONOTONIC, &after);
	pthread_join(other, NULL);
	close(e.to);
	close(e.back);
	return ((double)(after.tv_sec - before.tv_sec) * 1e6 +
		(double)(after.tv_nsec - before.tv_nsec) / 1e3) /
	       (2 * e.rounds);
}

static void machine_costs(void)
{
	curve_costs();
	printf("wake_us, of the same core=%.1f\n", wake_us(0));
	printf("wake_us, of another core=%.1f\n", wake_us(1));
}

/* ---- instructions of the filter ---- */

static struct filter *filters[2];
static uint8_t wires[2][DEVICE_SLAB_BYTES];
static struct train waiting[2][DEVICE_TRAINS];
static size_t waiting_count[2];

static void judge(void *ctx, enum tunnel_direction dir, const uint8_t peer_key[32],
		  struct superpacket *packets, size_t count, uint64_t now_ns)
{
	const struct pair_side *s = ctx;

	(void)peer_key;
	for (size_t i = 0; i < count; i++) {
		struct superpacket *p = &packets[i];
		struct filter_result result;

		filter_check(filters[s->number], dir == TUNNEL_TX ? FILTER_OUT : FILTER_IN, false,
			     p->data, p->len, now_ns, &result);
		p->drop = result.drop != FILTER_PASS;
	}
}

static size_t keep(void *ctx, struct train *trains, size_t count)
{
	const struct pair_side *s = ctx;
	uint8_t *at = wires[s->number];

	for (size_t i = 0; i < count; i++) {
		waiting[s->number][i] = trains[i];
		waiting[s->number][i].data = at;
		memcpy(at, trains[i].data, trains[i].len);
		at += trains[i].len;
	}
	waiting_count[s->number] = count;
	return count;
}

static bool swallow(void *ctx, enum tunnel_port port, const struct superpacket *sp,
		    const struct iovec *iov, int count)
{
	(void)port;
	(void)sp;
	(void)iov;
	(void)count;
	((struct pair_side *)ctx)->sent++;
	return true;
}

/* A TCP segment run as a TUN gives it; payload 0: an acknowledgement. */
static struct superpacket tcp(uint8_t *data, int from, uint32_t payload, uint8_t flags)
{
	struct superpacket sp = {.data = data,
				 .len = 40 + payload,
				 .count = 1,
				 .needs_csum = true,
				 .csum_start = 20,
				 .csum_offset = 16};

	memset(data, 0, 40);
	data[0] = 0x45;
	bytes_put_be16(data + 2, (uint16_t)sp.len);
	data[6] = 0x40;
	data[8] = 64;
	data[9] = 6;
	memcpy(data + 12, (uint8_t[]){10, 9, 0, (uint8_t)(from + 1)}, 4);
	memcpy(data + 16, (uint8_t[]){10, 9, 0, (uint8_t)(2 - from)}, 4);
	bytes_put_be16(data + 20, from ? 5201 : 40000);
	bytes_put_be16(data + 22, from ? 40000 : 5201);
	data[32] = 0x50;
	data[33] = flags;
	checksum_set_ipv4(data, 20);
	if (payload > 1380) {
		sp.seg_size = 1380;
		sp.count = (uint16_t)((payload + 1379) / 1380);
		sp.gso_type = SEGMENT_GSO_TCPV4;
	}
	return sp;
}

static void across(struct pair *p, int from, struct superpacket sp)
{
	struct pair_side *other = &p->side[1 - from];
	struct udp_source source = {0};

	waiting_count[from] = 0;
	tx_packets(p->side[from].t, &sp, 1, other->time.monotonic_ns);
	for (size_t i = 0; i < waiting_count[from]; i++)
		rx_train(other->t, waiting[from][i].data, waiting[from][i].len,
			 waiting[from][i].seg_size, &p->side[from].endpoint, &source,
			 other->time.monotonic_ns);
	rx_flush(other->t, other->time.monotonic_ns);
}

void bench_filter_path(struct pair *p, uint8_t *data, unsigned rounds);

/* Bulk TCP one way, an acknowledgement for each super-packet the other way. */
__attribute__((noinline)) void bench_filter_path(struct pair *p, uint8_t *data, unsigned rounds)
{
	for (unsigned i = 0; i < rounds; i++) {
		across(p, 0, tcp(data, 0, 1380 * 45, TCP_ACK));
		across(p, 1, tcp(data, 1, 0, TCP_ACK));
	}
}

static int filter_path(unsigned rules)
{
	struct pair *p = calloc(1, sizeof(*p));
	uint8_t *data = calloc(1, DEVICE_PACKET_MAX);
	uint8_t packet[64];
	size_t before;

	if (!p || !data)
		abort();
	p->roaming = true;
	pair_init(p, 5);
	for (int i = 0; i < 2; i++) {
		char extra[64];

		snprintf(extra, sizeof(extra), "allowed_ip=10.9.0.%d/32\n", 2 - i);
		pair_join(p, i, true, extra);
		rx_set_offloads(p->side[i].t, true, true);
	}
	pair_tx(p, 0, packet, pair_udp4(packet, 0, "x", 1));
	pair_pump(p);
	for (int i = 0; i < 2; i++) {
		p->side[i].t->io = (struct device_io){&p->side[i], &p->side[i], keep, swallow};
		if (rules) {
			filters[i] = rules_filter(rules, (uint8_t)(i + 1));
			p->side[i].t->hooks.filter = judge;
		}
	}
	across(p, 0, tcp(data, 0, 0, TCP_SYN));
	across(p, 1, tcp(data, 1, 0, TCP_SYN | TCP_ACK));
	before = p->side[1].sent;
	bench_filter_path(p, data, 20);
	if (p->side[1].sent < before + 20) {
		fprintf(stderr, "packets are missing\n");
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc == 2 ? argv[1] : "full";

	if (argc == 3 && strcmp(argv[1], "filter") == 0)
		return filter_path((unsigned)strtoul(argv[2], NULL, 10));
	if (strcmp(what, "handshakes") == 0) { /* for a profile */
		handshakes(4000);
		return 0;
	}
	aead_costs();
	if (strcmp(what, "costs") != 0) {
		handshakes(strcmp(what, "quick") == 0 ? 1000 : 4000);
		junk(10000);
	}
	machine_costs();
	return 0;
}
