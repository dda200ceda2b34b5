/* SPDX-License-Identifier: Apache-2.0
 *
 * Two devices in one process, joined by a network in memory that loses, doubles, delays and
 * reorders as it is told, with a fake clock. For unit tests and fuzz targets of the tunnel.
 */
#ifndef WARREN_TESTS_TUNNEL_PAIR_H
#define WARREN_TESTS_TUNNEL_PAIR_H

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/buffer.h"
#include "platform/encode.h"
#include "tunnel/bytes.h"
#include "tunnel/checksum.h"
#include "tunnel/device.h"
#include "tunnel/timers.h"

#define PAIR_FLYING 4096
#define PAIR_INBOX  1024

struct pair_packet {
	uint8_t *data;
	size_t len;
	uint16_t count, seg_size;
	enum tunnel_port port;
};

struct pair_datagram {
	uint8_t *data;
	size_t len;
	int from; /* device number */
	struct endpoint source;
	struct endpoint to;
	uint64_t due_ns;
};

struct pair;

struct pair_side {
	struct pair *pair;
	int number;
	struct tunnel *t;
	struct clock_fake time;
	struct clock clock;
	struct random_fake seed;
	struct random_source random;
	struct endpoint endpoint;
	uint8_t private_key[32], public_key[32];
	struct pair_packet inbox[PAIR_INBOX]; /* what came up */
	size_t inbox_count;
	size_t sent; /* datagrams */
	uint8_t last_type;
	struct tunnel_event events[64];
	size_t event_count;
	size_t foreign;
	struct udp_source arrives; /* our address and interface that datagrams come to */
	struct udp_source source;  /* of the last that was sent */
};

struct pair {
	struct pair_side side[2];
	struct pair_datagram flying[PAIR_FLYING];
	size_t flying_count;
	uint64_t rng;
	unsigned loss_percent, dup_percent, delay_ms;
	bool socket_full;
	struct tunnel_hooks hooks; /* of both, before pair_init: filter */
	bool roaming;
	const char *aead; /* NULL: best for this CPU */
	bool trains;	  /* neighbours of one size arrive as one, as GRO makes them */
	/* Sees each datagram that a device sends, before the network does something to it. */
	void (*on_send)(struct pair *p, int from, const uint8_t *data, size_t len);
};

static inline uint64_t pair_rand(struct pair *p)
{
	p->rng ^= p->rng << 13;
	p->rng ^= p->rng >> 7;
	p->rng ^= p->rng << 17;
	return p->rng;
}

static inline void pair_fly(struct pair *p, int from, const uint8_t *data, size_t len,
			    const struct endpoint *to)
{
	struct pair_datagram *d;

	if (p->flying_count == PAIR_FLYING)
		return;
	d = &p->flying[p->flying_count++];
	d->data = malloc(len ? len : 1);
	assert(d->data);
	memcpy(d->data, data, len);
	d->len = len;
	d->from = from;
	d->source = p->side[from].endpoint;
	d->to = *to;
	d->due_ns = p->side[0].time.monotonic_ns +
		    (p->delay_ms ? pair_rand(p) % p->delay_ms * NSEC_PER_MSEC : 0);
}

static inline size_t pair_send(void *ctx, struct train *trains, size_t count)
{
	struct pair_side *s = ctx;
	struct pair *p = s->pair;

	if (p->socket_full)
		return 0;
	for (size_t i = 0; i < count; i++) {
		for (uint32_t at = 0; at < trains[i].len; at += trains[i].seg_size) {
			uint32_t left = trains[i].len - at;
			uint32_t n = left < trains[i].seg_size ? left : trains[i].seg_size;

			s->sent++;
			s->last_type = trains[i].data[at];
			s->source = trains[i].source;
			if (p->on_send)
				p->on_send(p, s->number, trains[i].data + at, n);
			if (pair_rand(p) % 100 < p->loss_percent)
				continue;
			pair_fly(p, s->number, trains[i].data + at, n, &trains[i].to);
			if (pair_rand(p) % 100 < p->dup_percent)
				pair_fly(p, s->number, trains[i].data + at, n, &trains[i].to);
		}
	}
	return count;
}

static inline bool pair_deliver(void *ctx, enum tunnel_port port, const struct superpacket *sp,
				const struct iovec *iov, int count)
{
	struct pair_side *s = ctx;
	struct pair_packet *packet;
	size_t at = 0;

	if (s->inbox_count == PAIR_INBOX)
		return false;
	packet = &s->inbox[s->inbox_count++];
	packet->data = malloc(sp->len);
	assert(packet->data);
	packet->len = sp->len;
	packet->count = sp->count;
	packet->seg_size = sp->seg_size;
	packet->port = port;
	for (int i = 1; i < count; i++) {
		assert(at + iov[i].iov_len <= sp->len);
		memcpy(packet->data + at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	assert(at == sp->len);
	return true;
}

static inline void pair_event(void *ctx, const struct tunnel_event *event)
{
	struct pair_side *s = ctx;

	if (s->event_count < 64)
		s->events[s->event_count++] = *event;
}

static inline void pair_foreign(void *ctx, const struct endpoint *from, const uint8_t *data,
				size_t len)
{
	struct pair_side *s = ctx;

	(void)from;
	(void)data;
	(void)len;
	s->foreign++;
}

static inline int pair_uapi(struct tunnel *t, const char *request)
{
	struct buffer reply;
	int code = -999;
	const char *text;

	buffer_init(&reply, 1 << 20);
	assert(tunnel_uapi(t, request, strlen(request), &reply) == 0);
	text = strstr(buffer_cstring(&reply), "errno=");
	if (text)
		sscanf(text, "errno=%d", &code);
	buffer_done(&reply);
	return code;
}

static inline uint64_t pair_mono(void *ctx)
{
	return ((struct clock_fake *)ctx)->monotonic_ns;
}

static inline uint64_t pair_real(void *ctx)
{
	return ((struct clock_fake *)ctx)->realtime_ns;
}

/* Device i with its key and nothing else, in the place of a former one. */
static inline void pair_boot(struct pair *p, int i)
{
	struct pair_side *s = &p->side[i];
	struct tunnel_config config = {.clock = &s->clock,
				       .random = &s->random,
				       .hooks = p->hooks,
				       .roaming = p->roaming,
				       .aead = p->aead};
	char hex[65], request[160];

	config.hooks.ctx = s;
	config.hooks.event = pair_event;
	config.hooks.foreign = pair_foreign;
	s->clock = (struct clock){pair_mono, pair_real, &s->time};
	tunnel_free(s->t);
	assert(device_new(&config, &s->t) == 0);
	s->t->io = (struct device_io){s, s, pair_send, pair_deliver};
	encode_hex(hex, s->private_key, 32);
	snprintf(request, sizeof(request), "set=1\nprivate_key=%s\n", hex);
	assert(pair_uapi(s->t, request) == 0);
	memcpy(s->public_key, s->t->identity.public_key, 32);
	tunnel_set_up(s->t, true);
}

/* Makes device i know the other: 10.0.0.(i+1), fd00::(i+1). extra: more UAPI lines. */
static inline void pair_join(struct pair *p, int i, bool endpoint, const char *extra)
{
	struct pair_side *other = &p->side[1 - i];
	char hex[65], text[ENDPOINT_STRLEN], request[1024];

	encode_hex(hex, other->public_key, 32);
	snprintf(request, sizeof(request),
		 "set=1\npublic_key=%s\nreplace_allowed_ips=true\nallowed_ip=10.0.0.%d/32\n"
		 "allowed_ip=fd00::%d/128\n%s%s%s%s",
		 hex, 2 - i, 2 - i, endpoint ? "endpoint=" : "",
		 endpoint ? endpoint_format(&other->endpoint, text) : "", endpoint ? "\n" : "",
		 extra);
	assert(pair_uapi(p->side[i].t, request) == 0);
}

static inline void pair_init(struct pair *p, uint64_t seed)
{
	p->rng = seed * 2654435761u + 88172645463325252u;
	for (int i = 0; i < 2; i++) {
		struct pair_side *s = &p->side[i];
		char text[32];

		s->pair = p;
		s->number = i;
		s->time = (struct clock_fake){1000 * NSEC_PER_SEC, 1700000000 * NSEC_PER_SEC};
		s->seed = (struct random_fake){seed * 2 + (uint64_t)i + 1};
		s->random = random_fake_source(&s->seed);
		random_bytes(&s->random, s->private_key, 32);
		snprintf(text, sizeof(text), "192.0.2.%d:51820", i + 1);
		assert(endpoint_parse(text, &s->endpoint) == 0);
		pair_boot(p, i);
	}
}

static inline void pair_clear_inbox(struct pair_side *s)
{
	while (s->inbox_count)
		free(s->inbox[--s->inbox_count].data);
}

static inline void pair_done(struct pair *p)
{
	for (int i = 0; i < 2; i++) {
		tunnel_free(p->side[i].t);
		pair_clear_inbox(&p->side[i]);
	}
	while (p->flying_count)
		free(p->flying[--p->flying_count].data);
}

/* total: more than d->len for a train. */
static inline void pair_receive_train(struct pair *p, const struct pair_datagram *d, size_t total)
{
	for (int i = 0; i < 2; i++) {
		struct pair_side *s = &p->side[i];
		struct udp_source source = s->arrives;

		if (i == d->from || !endpoint_equal(&s->endpoint, &d->to))
			continue;
		source.addr.family = 4;
		rx_train(s->t, d->data, total, total > d->len ? d->len : 0, &d->source, &source,
			 s->time.monotonic_ns);
		rx_flush(s->t, s->time.monotonic_ns);
	}
}

static inline void pair_receive(struct pair *p, const struct pair_datagram *d)
{
	pair_receive_train(p, d, d->len);
}

/* With trains: takes the datagrams behind `pick` that would arrive together with *d into it. */
static inline void pair_gather(struct pair *p, size_t pick, struct pair_datagram *d,
			       size_t *ret_total)
{
	size_t n = pick;

	*ret_total = d->len;
	while (n < p->flying_count && n - pick < 40 && p->flying[n].from == d->from &&
	       p->flying[n].len == d->len && p->flying[n].due_ns == d->due_ns &&
	       endpoint_equal(&p->flying[n].to, &d->to) &&
	       endpoint_equal(&p->flying[n].source, &d->source))
		n++;
	if (n == pick)
		return;
	d->data = realloc(d->data, d->len * (n - pick + 1));
	assert(d->data);
	for (size_t i = pick; i < n; i++) {
		memcpy(d->data + *ret_total, p->flying[i].data, d->len);
		*ret_total += d->len;
		free(p->flying[i].data);
	}
	memmove(&p->flying[pick], &p->flying[n], (p->flying_count - n) * sizeof(*d));
	p->flying_count -= n - pick;
}

/* Delivers what is due until nothing is; in random order when there is delay. */
static inline void pair_pump(struct pair *p)
{
	for (;;) {
		size_t pick = p->flying_count;
		struct pair_datagram d;
		size_t total;

		for (size_t i = 0; i < p->flying_count; i++)
			if (p->flying[i].due_ns <= p->side[0].time.monotonic_ns &&
			    (pick == p->flying_count ||
			     p->flying[i].due_ns < p->flying[pick].due_ns))
				pick = i;
		if (pick == p->flying_count)
			return;
		d = p->flying[pick];
		memmove(&p->flying[pick], &p->flying[pick + 1],
			(--p->flying_count - pick) * sizeof(d));
		total = d.len;
		if (p->trains)
			pair_gather(p, pick, &d, &total);
		pair_receive_train(p, &d, total);
		free(d.data);
	}
}

/* Lets ns pass in steps of at most 10 ms while there is something to do. */
static inline void pair_pass(struct pair *p, uint64_t ns)
{
	while (ns) {
		uint64_t step = ns;

		if (p->flying_count && step > 10 * NSEC_PER_MSEC)
			step = 10 * NSEC_PER_MSEC;
		for (int i = 0; i < 2; i++) {
			uint64_t next = timers_next(p->side[i].t);
			uint64_t now = p->side[i].time.monotonic_ns;

			if (next <= now)
				step = step < 1 ? step : 1;
			else if (next - now < step)
				step = next - now;
		}
		for (int i = 0; i < 2; i++) {
			p->side[i].time.monotonic_ns += step;
			p->side[i].time.realtime_ns += step;
		}
		ns -= step;
		for (int i = 0; i < 2; i++)
			timers_run(p->side[i].t, p->side[i].time.monotonic_ns);
		pair_pump(p);
	}
}

/* An inner UDP packet 10.0.0.(from+1) -> the other, with this payload; returns its length. */
static inline size_t pair_udp4(uint8_t *out, int from, const void *payload, size_t len)
{
	memset(out, 0, 28);
	out[0] = 0x45;
	bytes_put_be16(out + 2, (uint16_t)(28 + len));
	out[8] = 64;
	out[9] = 17;
	out[12] = out[16] = 10;
	out[15] = (uint8_t)(from + 1);
	out[19] = (uint8_t)(2 - from);
	bytes_put_be16(out + 20, 1000);
	bytes_put_be16(out + 22, 2000);
	bytes_put_be16(out + 24, (uint16_t)(8 + len));
	memcpy(out + 28, payload, len);
	checksum_set_ipv4(out, 20);
	return 28 + len;
}

static inline void pair_tx(struct pair *p, int from, const uint8_t *packet, size_t len)
{
	struct pair_side *s = &p->side[from];
	uint8_t *copy = malloc(len);
	struct superpacket sp = {.data = copy, .len = (uint32_t)len, .count = 1};

	assert(copy);
	memcpy(copy, packet, len);
	tx_packets(s->t, &sp, 1, s->time.monotonic_ns);
	free(copy);
}

#endif
