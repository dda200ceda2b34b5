/* SPDX-License-Identifier: Apache-2.0
 *
 * Inner packets: what a TUN may hand out is cut, rewritten and put together again; what a peer may
 * send is coalesced. Input: [10 bytes of virtio header][packet], or packets [length][bytes]….
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tunnel/coalesce.h"
#include "tunnel/segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void cut(const uint8_t *data, size_t size)
{
	uint8_t vnet[SEGMENT_VNET_BYTES];
	uint8_t *packet, *out;
	struct superpacket p;
	struct segment_plan plan;

	if (size < sizeof(vnet) + 1 || size > 60000)
		return;
	memcpy(vnet, data, sizeof(vnet));
	size -= sizeof(vnet);
	packet = malloc(size);
	assert(packet);
	memcpy(packet, data + sizeof(vnet), size);
	if (!segment_from_vnet(vnet, packet, (uint32_t)size, &p))
		goto out;
	p.rewrite_port = 22;
	(void)segment_rewrite_port(&p, TUNNEL_TX);
	if (!segment_plan(&p, &plan))
		goto out;
	for (uint32_t i = 0; i < p.count; i++) {
		uint32_t len = segment_len(&p, &plan, (uint16_t)i);

		assert(len > 0 && len <= size);
		out = malloc(len);
		assert(out);
		segment_write(&p, &plan, (uint16_t)i, out);
		free(out);
	}
	segment_to_vnet(&p, vnet);
out:
	free(packet);
}

static void join(const uint8_t *data, size_t size)
{
	struct coalesce *c = calloc(1, sizeof(*c));
	uint8_t *copies[64];
	size_t count = 0, total = 0, gathered = 0;
	struct iovec iov[COALESCE_MAX_COUNT];
	struct ip_view ip;

	assert(c);
	coalesce_reset(c, true, true);
	while (size > 1 && count < 64) {
		size_t len = data[0] < size - 1 ? data[0] : size - 1;

		if (ip_parse(data + 1, len, &ip)) {
			copies[count] = malloc(ip.total);
			assert(copies[count]);
			memcpy(copies[count], data + 1, ip.total);
			assert(coalesce_add(c, copies[count], ip.total));
			count++;
		}
		data += 1 + len;
		size -= 1 + len;
	}
	coalesce_finish(c);
	for (size_t i = 0; i < c->group_count; i++) {
		uint8_t vnet[SEGMENT_VNET_BYTES];
		int n = coalesce_gather(c, i, iov);
		size_t sum = 0;

		gathered += (size_t)n;
		for (int k = 0; k < n; k++)
			sum += iov[k].iov_len;
		assert(sum == c->superpackets[i].len && n == c->superpackets[i].count);
		total += c->superpackets[i].count;
		segment_to_vnet(&c->superpackets[i], vnet);
		c->superpackets[i].rewrite_port = 22022;
		(void)segment_rewrite_port(&c->superpackets[i], TUNNEL_RX);
	}
	assert(total == count && gathered == count);
	while (count)
		free(copies[--count]);
	free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cut(data, size);
	join(data, size);
	return 0;
}
