/* SPDX-License-Identifier: Apache-2.0
 *
 * Datagrams at a device with an established session: as they come, and sealed under the session's
 * key, so that what is behind the AEAD sees hostile input too. Input: [kind][length][bytes]….
 */
#include "../unit/tunnel/pair.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct pair *establish(void)
{
	struct pair *p = calloc(1, sizeof(*p));
	uint8_t packet[64];

	assert(p);
	p->roaming = true;
	p->aead = "evp"; /* ipsec-mb tests itself for a millisecond when it begins */
	pair_init(p, 1);
	pair_join(p, 0, true, "");
	pair_join(p, 1, true, "");
	rx_set_offloads(p->side[1].t, true, true);
	pair_tx(p, 0, packet, pair_udp4(packet, 0, "x", 1));
	pair_pump(p);
	return p;
}

/* What side 0 would send, had it gone mad. */
static size_t seal_as_peer(struct pair *p, uint8_t *out, const uint8_t *plain, size_t len)
{
	struct keypair *kp = p->side[0].t->peers.first->current;
	struct aead_job job;

	bytes_put_le32(out, WIRE_DATA);
	bytes_put_le32(out + 4, kp->remote_index);
	bytes_put_le64(out + 8, kp->send_counter);
	memcpy(out + 16, plain, len);
	job = (struct aead_job){
		.data = out + 16, .len = (uint32_t)len, .counter = kp->send_counter++};
	aead_seal_many(p->side[0].t->aead, &kp->seal, &job, 1);
	return len + 32;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t buffer[1 << 17];
	struct pair *p = establish();
	struct pair_side *s = &p->side[1];
	struct udp_source source = {0};
	size_t at = 0, used = 0;

	while (at + 2 <= size && used + 300 < sizeof(buffer) / 2) {
		uint8_t kind = data[at];
		size_t len = data[at + 1];
		size_t n;

		at += 2;
		if (len > size - at)
			len = size - at;
		if (kind & 1) {
			n = seal_as_peer(p, buffer + used, data + at, len);
		} else {
			memcpy(buffer + used, data + at, len);
			n = len;
			if ((kind & 2) && len >= 16) { /* a real receiver */
				bytes_put_le32(buffer + used, WIRE_DATA);
				bytes_put_le32(buffer + used + 4,
					       s->t->peers.first->current->local_index);
			}
		}
		rx_train(s->t, buffer + used, n, (kind & 4) ? len / 2 + 1 : 0, &p->side[0].endpoint,
			 &source, s->time.monotonic_ns);
		used += n;
		at += len;
	}
	rx_flush(s->t, s->time.monotonic_ns);
	pair_done(p);
	free(p);
	return 0;
}
