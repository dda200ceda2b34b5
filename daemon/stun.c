/* SPDX-License-Identifier: Apache-2.0
 *
 * STUN client codec, RFC 8489: Binding request (section 5, 14.14 SOFTWARE as padding) and success
 * response (14.2 XOR-MAPPED-ADDRESS). Refuses responses with attributes that must be understood and
 * are not, wrong lengths and trailing bytes.
 */
#include "daemon/stun.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "platform/buffer.h"

#define STUN_COOKIE		0x2112a442u
#define STUN_BINDING_REQUEST	0x0001
#define STUN_BINDING_SUCCESS	0x0101
#define STUN_MAPPED_ADDRESS	0x0001
#define STUN_XOR_MAPPED_ADDRESS 0x0020
#define STUN_SOFTWARE		0x8022

static const char software[] = "warren path machine1"; /* 20 bytes: no padding needed */
static_assert(sizeof(software) - 1 == STUN_REQUEST_BYTES - 24, "length of the request");

bool stun_looks_like(const uint8_t *data, size_t len)
{
	static const uint8_t cookie[4] = {0x21, 0x12, 0xa4, 0x42};

	return len >= 20 && (data[0] & 0xc0) == 0 && memcmp(data + 4, cookie, 4) == 0;
}

void stun_request(const uint8_t txid[STUN_TXID_BYTES], uint8_t out[static STUN_REQUEST_BYTES])
{
	struct writer w = writer_init(out, STUN_REQUEST_BYTES);

	writer_u16(&w, STUN_BINDING_REQUEST);
	writer_u16(&w, STUN_REQUEST_BYTES - 20);
	writer_u32(&w, STUN_COOKIE);
	writer_bytes(&w, txid, STUN_TXID_BYTES);
	writer_u16(&w, STUN_SOFTWARE);
	writer_u16(&w, sizeof(software) - 1);
	writer_bytes(&w, software, sizeof(software) - 1);
}

/* Value of XOR-MAPPED-ADDRESS: zero, family, port and address XORed with cookie and transaction id.
 */
static int read_mapped(struct reader *r, const uint8_t mask[16], struct endpoint *ret_mapped)
{
	struct ip_addr addr = {0};
	uint16_t port;
	size_t len;

	(void)reader_u8(r);
	switch (reader_u8(r)) {
	case 1:
		addr.family = 4;
		len = 4;
		break;
	case 2:
		addr.family = 6;
		len = 16;
		break;
	default:
		return -EBADMSG;
	}
	port = (uint16_t)(reader_u16(r) ^ (STUN_COOKIE >> 16));
	reader_bytes(r, addr.bytes, len);
	if (!reader_done(r) || port == 0)
		return -EBADMSG;
	for (size_t i = 0; i < len; i++)
		addr.bytes[i] ^= mask[i];
	endpoint_from_ip(&addr, port, ret_mapped);
	return 0;
}

int stun_response(const uint8_t *data, size_t len, uint8_t ret_txid[STUN_TXID_BYTES],
		  struct endpoint *ret_mapped)
{
	struct reader r = reader_init(data, len);
	uint16_t type = reader_u16(&r);
	uint16_t length = reader_u16(&r);
	uint32_t cookie = reader_u32(&r);
	struct endpoint mapped = {0};
	bool found = false;
	uint8_t mask[16]; /* cookie and transaction id */

	if (type != STUN_BINDING_SUCCESS || cookie != STUN_COOKIE || length % 4 != 0 ||
	    len != 20u + length)
		return -EBADMSG;
	memcpy(mask, data + 4, sizeof(mask));
	(void)reader_take(&r, STUN_TXID_BYTES);
	while (reader_left(&r) > 0 && !r.failed) {
		uint16_t attribute = reader_u16(&r);
		uint16_t value_len = reader_u16(&r);
		const uint8_t *value = reader_take(&r, value_len);
		struct reader inner;

		(void)reader_take(&r, (4u - value_len % 4u) % 4u);
		if (r.failed)
			return -EBADMSG;
		inner = reader_init(value, value_len);
		if (attribute == STUN_XOR_MAPPED_ADDRESS && !found) {
			if (read_mapped(&inner, mask, &mapped) < 0)
				return -EBADMSG;
			found = true;
		} else if (attribute < 0x8000 && attribute != STUN_MAPPED_ADDRESS &&
			   attribute != STUN_XOR_MAPPED_ADDRESS) {
			return -EBADMSG; /* comprehension-required, section 14 */
		}
	}
	if (!found || !reader_done(&r))
		return -EBADMSG;
	memcpy(ret_txid, mask + 4, STUN_TXID_BYTES);
	*ret_mapped = mapped;
	return 0;
}
