/* SPDX-License-Identifier: Apache-2.0
 *
 * Two devices whose datagrams are changed, dropped, doubled and reordered as the input says, under
 * load and not, while time passes. Nothing that was not sent may come up.
 */
#include "../unit/tunnel/pair.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void mutate(struct pair *p, uint8_t which, uint8_t where, uint8_t how)
{
	struct pair_datagram *d;

	if (!p->flying_count)
		return;
	d = &p->flying[which % p->flying_count];
	switch (how % 4) {
	case 0:
		d->data[(size_t)where * d->len / 256] ^= (uint8_t)(how | 1);
		break;
	case 1:
		d->len = (size_t)where * d->len / 256;
		break;
	case 2:
		pair_fly(p, d->from, d->data, d->len, &d->to);
		break;
	default: /* the other sender's address */
		d->from = 1 - d->from;
		d->to = p->side[1 - d->from].endpoint;
		break;
	}
}

static void check(struct pair *p)
{
	for (int i = 0; i < 2; i++) {
		for (size_t k = 0; k < p->side[i].inbox_count; k++) {
			assert(p->side[i].inbox[k].len == 32);
			assert(memcmp(p->side[i].inbox[k].data + 28, "true", 4) == 0);
		}
		pair_clear_inbox(&p->side[i]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pair *p = calloc(1, sizeof(*p));
	uint8_t packet[64];

	assert(p);
	p->roaming = true;
	p->aead = "evp"; /* ipsec-mb tests itself for a millisecond when it begins */
	pair_init(p, 5);
	pair_join(p, 0, true, "");
	pair_join(p, 1, true, "");
	for (size_t i = 0; i + 4 <= size && i < 1024; i += 4) {
		int side = data[i] >> 7;

		switch (data[i] % 8) {
		case 0:
		case 1:
			pair_tx(p, side, packet, pair_udp4(packet, side, "true", 4));
			break;
		case 2:
		case 3:
			mutate(p, data[i + 1], data[i + 2], data[i + 3]);
			break;
		case 4:
			pair_pump(p);
			break;
		case 5:
			pair_pass(p, (uint64_t)data[i + 1] * NSEC_PER_SEC);
			break;
		case 6:
			p->side[side].t->load_limit = data[i + 1] % 4;
			break;
		default:
			if (p->flying_count)
				free(p->flying[--p->flying_count].data);
			break;
		}
		check(p);
	}
	pair_done(p);
	free(p);
	return 0;
}
