/* SPDX-License-Identifier: Apache-2.0
 *
 * Identifiers, host labels and overlay addresses (design section 3).
 */
#include "control/ident.h"

#include <errno.h>
#include <string.h>

#define RANDOM_TRIES 64
#define LABEL_MAX    48

static const char base32[] = "abcdefghijklmnopqrstuvwxyz234567";

void ident_make(char prefix, const struct random_source *random, char out[static IDENT_SIZE])
{
	uint8_t raw[16];

	random_bytes(random, raw, sizeof(raw));
	out[0] = prefix;
	out[1] = '_';
	for (size_t i = 0; i < 16; i++)
		out[2 + i] = base32[raw[i] & 31];
	out[18] = 0;
}

bool ident_valid(char prefix, const char *id)
{
	return strlen(id) == 18 && id[0] == prefix && id[1] == '_' && strspn(id + 2, base32) == 16;
}

static uint32_t addr4(const struct ip_addr *a)
{
	return (uint32_t)a->bytes[0] << 24 | (uint32_t)a->bytes[1] << 16 |
	       (uint32_t)a->bytes[2] << 8 | a->bytes[3];
}

static struct ip_addr from4(uint32_t v)
{
	return (struct ip_addr){
		.family = 4,
		.bytes = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v}};
}

static bool usable4(uint32_t v)
{
	return (v & 0xff) != 0 && (v & 0xff) != 0xff;
}

static int address4(const struct ip_prefix *prefix, const struct random_source *random,
		    ident_taken *taken, void *ctx, struct ip_addr *ret_addr)
{
	uint32_t base = addr4(&prefix->addr);
	uint32_t size = prefix->bits >= 31 ? 0 : 1u << (32 - prefix->bits);
	uint32_t v;

	for (int i = 0; size && i < RANDOM_TRIES; i++) {
		random_bytes(random, &v, sizeof(v));
		*ret_addr = from4(base + v % size);
		if (usable4(base + v % size) && !taken(ctx, ret_addr))
			return 0;
	}
	for (v = 0; v < size; v++) {
		*ret_addr = from4(base + v);
		if (usable4(base + v) && !taken(ctx, ret_addr))
			return 0;
	}
	return -ENOSPC;
}

int ident_address(const struct ip_prefix *prefix, const struct random_source *random,
		  ident_taken *taken, void *ctx, struct ip_addr *ret_addr)
{
	struct ip_addr addr;

	if (prefix->addr.family == 4) {
		int r = address4(prefix, random, taken, ctx, &addr);
		if (r == 0)
			*ret_addr = addr;
		return r;
	}
	if (prefix->addr.family != 6 || prefix->bits > 64)
		return -EINVAL;
	for (int i = 0; i < RANDOM_TRIES; i++) {
		addr = prefix->addr;
		random_bytes(random, addr.bytes + 8, 8);
		addr.bytes[8] &= 0xfd; /* a local interface identifier: RFC 4291 appendix A */
		if (!taken(ctx, &addr)) {
			*ret_addr = addr;
			return 0;
		}
	}
	return -ENOSPC;
}

void ident_ula(const struct random_source *random, struct ip_prefix *ret_prefix)
{
	*ret_prefix = (struct ip_prefix){.addr = {.family = 6, .bytes = {0xfd}}, .bits = 48};
	random_bytes(random, ret_prefix->addr.bytes + 1, 5);
}

static bool label_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

void ident_label(const char *hostname, char *out, size_t cap)
{
	size_t n = 0;

	for (; *hostname && *hostname != '.' && n + 1 < cap && n < LABEL_MAX; hostname++) {
		char c = *hostname;

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if (!label_char(c))
			c = '-';
		if (c != '-' || n > 0)
			out[n++] = c;
	}
	while (n > 0 && out[n - 1] == '-')
		n--;
	out[n] = 0;
	if (n == 0 && cap > 4)
		memcpy(out, "peer", 5);
}

bool ident_label_valid(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n > 63 || name[0] == '-' || name[n - 1] == '-')
		return false;
	for (size_t i = 0; i < n; i++)
		if (!label_char(name[i]))
			return false;
	return true;
}
