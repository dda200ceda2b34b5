/* SPDX-License-Identifier: Apache-2.0
 *
 * ICMP unreachable (RFC 792, RFC 4443) and ECN marks. Pure functions on packets.
 */
#include "tunnel/answer.h"

#include <string.h>

#include "tunnel/bytes.h"
#include "tunnel/checksum.h"
#include "tunnel/ip.h"

#define ICMP		1
#define ICMPV6		58
#define ICMP_HEADER	8
#define V4_MAX		576 /* RFC 1812 section 4.3.2.3 */
#define V4_UNREACHABLE	3
#define V4_HOST		1
#define V6_UNREACHABLE	1
#define V6_ADDRESS	3
#define V6_ERRORS_BELOW 128
#define TTL		64
#define ECN_MASK	3
#define ECN_ECT0	2
#define ECN_CE		3

static bool v4_answerable(const uint8_t *data, uint32_t len, const struct ip_view *ip)
{
	const uint8_t *src = data + ip->src;
	const uint8_t *dst = data + ip->dst;

	if ((bytes_get_be16(data + 6) & 0x1fff) != 0) /* a later fragment */
		return false;
	if (src[0] == 0 || src[0] == 127 || src[0] >= 224 || dst[0] >= 224)
		return false;
	if (ip->proto != ICMP)
		return true;
	/* Of ICMP only questions are answered. */
	return len > ip->l4 && (data[ip->l4] == 8 || data[ip->l4] == 13);
}

static bool v6_answerable(const uint8_t *data, uint32_t len, const struct ip_view *ip)
{
	static const uint8_t unspecified[16];
	const uint8_t *src = data + ip->src;
	const uint8_t *dst = data + ip->dst;

	if (src[0] == 0xff || dst[0] == 0xff || memcmp(src, unspecified, 16) == 0)
		return false;
	if ((dst[0] == 0xfe && (dst[1] & 0xc0) == 0x80) || ip->proto == 44)
		return false;
	return ip->proto != ICMPV6 || (len > ip->l4 && data[ip->l4] >= V6_ERRORS_BELOW);
}

static uint32_t answer_v4(const uint8_t *data, uint32_t len, const struct ip_view *ip, uint8_t *out)
{
	uint32_t quote = len < V4_MAX - 20 - ICMP_HEADER ? len : V4_MAX - 20 - ICMP_HEADER;
	uint32_t total = 20 + ICMP_HEADER + quote;
	uint16_t sum;

	memset(out, 0, 20 + ICMP_HEADER);
	out[0] = 0x45;
	bytes_put_be16(out + 2, (uint16_t)total);
	out[8] = TTL;
	out[9] = ICMP;
	memcpy(out + 12, data + ip->dst, 4);
	memcpy(out + 16, data + ip->src, 4);
	checksum_set_ipv4(out, 20);
	out[20] = V4_UNREACHABLE;
	out[21] = V4_HOST;
	memcpy(out + 28, data, quote);
	sum = (uint16_t)~checksum_fold(checksum_add(0, out + 20, total - 20));
	memcpy(out + 22, &sum, sizeof(sum));
	return total;
}

static uint32_t answer_v6(const uint8_t *data, uint32_t len, const struct ip_view *ip, uint8_t *out)
{
	uint32_t quote = len < ANSWER_MAX - 40 - ICMP_HEADER ? len : ANSWER_MAX - 40 - ICMP_HEADER;
	uint32_t total = 40 + ICMP_HEADER + quote;
	struct ip_view mine;
	uint16_t sum;

	memset(out, 0, 40 + ICMP_HEADER);
	out[0] = 0x60;
	bytes_put_be16(out + 4, (uint16_t)(total - 40));
	out[6] = ICMPV6;
	out[7] = TTL;
	memcpy(out + 8, data + ip->dst, 16);
	memcpy(out + 24, data + ip->src, 16);
	out[40] = V6_UNREACHABLE;
	out[41] = V6_ADDRESS;
	memcpy(out + 48, data, quote);
	if (!ip_parse(out, total, &mine))
		return 0;
	sum = (uint16_t)~checksum_fold(checksum_add(checksum_pseudo(out, &mine, ICMPV6, total - 40),
						    out + 40, total - 40));
	memcpy(out + 42, &sum, sizeof(sum));
	return total;
}

uint32_t answer_unreachable(const uint8_t *data, uint32_t len, uint8_t out[static ANSWER_MAX])
{
	struct ip_view ip;

	if (!ip_parse_gso(data, len, &ip))
		return 0;
	if (ip.version == 4)
		return v4_answerable(data, len, &ip) ? answer_v4(data, len, &ip, out) : 0;
	return v6_answerable(data, len, &ip) ? answer_v6(data, len, &ip, out) : 0;
}

static uint8_t ecn_of(const uint8_t *data)
{
	return data[0] >> 4 == 4 ? data[1] & ECN_MASK : data[1] >> 4 & ECN_MASK;
}

uint8_t answer_outer_ecn(const uint8_t *data)
{
	uint8_t ecn = ecn_of(data);

	return ecn == ECN_CE ? ECN_ECT0 : ecn;
}

void answer_mark_ce(uint8_t *data)
{
	uint8_t before[2], ecn = ecn_of(data);

	if (ecn == 0 || ecn == ECN_CE) /* a sender without ECN would not understand it */
		return;
	if (data[0] >> 4 != 4) {
		data[1] |= ECN_CE << 4;
		return;
	}
	memcpy(before, data, 2);
	data[1] |= ECN_CE;
	checksum_update16(data + 10, before, data);
}
