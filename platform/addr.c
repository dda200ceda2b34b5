/* SPDX-License-Identifier: Apache-2.0
 *
 * Addresses as text and bytes. Only numeric forms; inet_pton decides what an address is (it refuses
 * leading zeros and short forms of IPv4), the rest is checked here.
 */
#include "platform/addr.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

static size_t addr_len(const struct ip_addr *addr)
{
	switch (addr->family) {
	case 4:
		return 4;
	case 6:
		return 16;
	default:
		return 0;
	}
}

/* Decimal without sign, leading zero or surroundings. */
static int parse_number(const char *text, uint32_t max, uint32_t *ret_value)
{
	uint64_t v = 0;

	if (text[0] == '\0' || (text[0] == '0' && text[1] != '\0'))
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		v = v * 10 + (uint64_t)(*text - '0');
		if (v > max)
			return -EINVAL;
	}
	*ret_value = (uint32_t)v;
	return 0;
}

/* Copies text[len] with a NUL; false when it does not fit. */
static bool copy_part(char *out, size_t cap, const char *text, size_t len)
{
	if (len >= cap)
		return false;
	memcpy(out, text, len);
	out[len] = '\0';
	return true;
}

int ip_addr_parse(const char *text, struct ip_addr *ret_addr)
{
	struct ip_addr addr = {0};

	if (inet_pton(AF_INET, text, addr.bytes) == 1)
		addr.family = 4;
	else if (inet_pton(AF_INET6, text, addr.bytes) == 1)
		addr.family = 6;
	else
		return -EINVAL;
	*ret_addr = addr;
	return 0;
}

const char *ip_addr_format(const struct ip_addr *addr, char out[static IP_ADDR_STRLEN])
{
	static_assert(IP_ADDR_STRLEN >= INET6_ADDRSTRLEN, "room for every address");

	out[0] = '\0';
	if (addr->family == 4 || addr->family == 6)
		inet_ntop(addr->family == 4 ? AF_INET : AF_INET6, addr->bytes, out, IP_ADDR_STRLEN);
	return out;
}

bool ip_addr_equal(const struct ip_addr *a, const struct ip_addr *b)
{
	return ip_addr_compare(a, b) == 0;
}

int ip_addr_compare(const struct ip_addr *a, const struct ip_addr *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->bytes, b->bytes, addr_len(a));
}

int ip_prefix_parse(const char *text, struct ip_prefix *ret_prefix)
{
	const char *slash = strchr(text, '/');
	char address[IP_ADDR_STRLEN];
	struct ip_prefix prefix;
	uint32_t bits;
	int rc;

	if (!copy_part(address, sizeof(address), text,
		       slash ? (size_t)(slash - text) : strlen(text)))
		return -EINVAL;
	rc = ip_addr_parse(address, &prefix.addr);
	if (rc < 0)
		return rc;
	bits = (uint32_t)addr_len(&prefix.addr) * 8;
	if (slash) {
		rc = parse_number(slash + 1, bits, &bits);
		if (rc < 0)
			return rc;
	}
	prefix.bits = (uint8_t)bits;
	for (uint32_t i = 0; i < addr_len(&prefix.addr); i++) {
		uint32_t kept = bits > i * 8 ? bits - i * 8 : 0;

		if (kept < 8)
			prefix.addr.bytes[i] &= (uint8_t)(0xff00U >> kept);
	}
	*ret_prefix = prefix;
	return 0;
}

const char *ip_prefix_format(const struct ip_prefix *prefix, char out[static IP_PREFIX_STRLEN])
{
	char address[IP_ADDR_STRLEN];

	ip_addr_format(&prefix->addr, address);
	out[0] = '\0';
	if (address[0] != '\0')
		snprintf(out, IP_PREFIX_STRLEN, "%s/%u", address, prefix->bits);
	return out;
}

bool ip_prefix_contains(const struct ip_prefix *prefix, const struct ip_addr *addr)
{
	uint32_t bytes = prefix->bits / 8, rest = prefix->bits % 8;

	if (prefix->addr.family != addr->family || addr_len(addr) == 0 ||
	    prefix->bits > addr_len(addr) * 8)
		return false;
	if (memcmp(prefix->addr.bytes, addr->bytes, bytes) != 0)
		return false;
	return rest == 0 || ((prefix->addr.bytes[bytes] ^ addr->bytes[bytes]) >> (8 - rest)) == 0;
}

bool ip_prefix_equal(const struct ip_prefix *a, const struct ip_prefix *b)
{
	return a->bits == b->bits && ip_addr_equal(&a->addr, &b->addr);
}

/* "%eth0" or "%3" behind a link-local address; scope 0 means none and is refused. */
static int parse_scope(const char *text, uint32_t *ret_scope)
{
	unsigned index;

	if (parse_number(text, UINT32_MAX, ret_scope) == 0)
		return *ret_scope > 0 ? 0 : -EINVAL;
	if (text[0] == '\0' || strlen(text) >= IFNAMSIZ)
		return -EINVAL;
	index = if_nametoindex(text);
	if (index == 0)
		return -ENODEV;
	*ret_scope = index;
	return 0;
}

int endpoint_parse(const char *text, struct endpoint *ret_endpoint)
{
	char host[IP_ADDR_STRLEN + 1 + IFNAMSIZ];
	bool bracket = text[0] == '[';
	const char *start = bracket ? text + 1 : text;
	const char *end = strchr(text, bracket ? ']' : ':');
	uint32_t port, scope = 0;
	struct ip_addr addr;
	char *percent;
	int rc;

	if (!end || !copy_part(host, sizeof(host), start, (size_t)(end - start)))
		return -EINVAL;
	if (bracket && *++end != ':')
		return -EINVAL;
	if (parse_number(end + 1, UINT16_MAX, &port) < 0)
		return -EINVAL;
	percent = strchr(host, '%');
	if (percent)
		*percent = '\0';
	rc = ip_addr_parse(host, &addr);
	if (rc < 0)
		return rc;
	if ((addr.family == 6) != bracket || (percent && addr.family != 6))
		return -EINVAL;
	if (percent) {
		rc = parse_scope(percent + 1, &scope);
		if (rc < 0)
			return rc;
	}
	endpoint_from_ip(&addr, (uint16_t)port, ret_endpoint);
	if (ret_endpoint->sa.sa_family == AF_INET6)
		ret_endpoint->in6.sin6_scope_id = scope;
	return 0;
}

const char *endpoint_format(const struct endpoint *ep, char out[static ENDPOINT_STRLEN])
{
	char address[IP_ADDR_STRLEN];
	struct ip_addr addr;

	out[0] = '\0';
	endpoint_ip(ep, &addr);
	ip_addr_format(&addr, address);
	if (addr.family == 4)
		snprintf(out, ENDPOINT_STRLEN, "%s:%u", address, endpoint_port(ep));
	else if (addr.family == 6 && ep->in6.sin6_scope_id != 0)
		snprintf(out, ENDPOINT_STRLEN, "[%s%%%u]:%u", address, ep->in6.sin6_scope_id,
			 endpoint_port(ep));
	else if (addr.family == 6)
		snprintf(out, ENDPOINT_STRLEN, "[%s]:%u", address, endpoint_port(ep));
	return out;
}

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	if (a->sa.sa_family != b->sa.sa_family)
		return false;
	switch (a->sa.sa_family) {
	case AF_INET:
		return a->in.sin_port == b->in.sin_port &&
		       a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
	case AF_INET6:
		return a->in6.sin6_port == b->in6.sin6_port &&
		       a->in6.sin6_scope_id == b->in6.sin6_scope_id &&
		       memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, 16) == 0;
	default:
		return true; /* both none */
	}
}

bool endpoint_is_set(const struct endpoint *ep)
{
	return ep->sa.sa_family == AF_INET || ep->sa.sa_family == AF_INET6;
}

socklen_t endpoint_len(const struct endpoint *ep)
{
	switch (ep->sa.sa_family) {
	case AF_INET:
		return sizeof(ep->in);
	case AF_INET6:
		return sizeof(ep->in6);
	default:
		return 0;
	}
}

uint16_t endpoint_port(const struct endpoint *ep)
{
	switch (ep->sa.sa_family) {
	case AF_INET:
		return ntohs(ep->in.sin_port);
	case AF_INET6:
		return ntohs(ep->in6.sin6_port);
	default:
		return 0;
	}
}

void endpoint_from_sockaddr(const struct sockaddr *sa, socklen_t len, struct endpoint *ret_endpoint)
{
	struct sockaddr_in6 in6;
	struct sockaddr_in in;
	struct ip_addr addr = {0};

	memset(ret_endpoint, 0, sizeof(*ret_endpoint));
	if (!sa || len < sizeof(sa->sa_family))
		return;
	if (sa->sa_family == AF_INET && len >= sizeof(in)) {
		memcpy(&in, sa, sizeof(in));
		addr.family = 4;
		memcpy(addr.bytes, &in.sin_addr, 4);
		endpoint_from_ip(&addr, ntohs(in.sin_port), ret_endpoint);
	} else if (sa->sa_family == AF_INET6 && len >= sizeof(in6)) {
		memcpy(&in6, sa, sizeof(in6));
		addr.family = 6;
		memcpy(addr.bytes, &in6.sin6_addr, 16);
		endpoint_from_ip(&addr, ntohs(in6.sin6_port), ret_endpoint);
		/* The kernel fills a scope for link-local peers only. */
		if (ret_endpoint->sa.sa_family == AF_INET6)
			ret_endpoint->in6.sin6_scope_id = in6.sin6_scope_id;
	}
}

void endpoint_from_ip(const struct ip_addr *addr, uint16_t port, struct endpoint *ret_endpoint)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	const uint8_t *v4 = NULL;

	memset(ret_endpoint, 0, sizeof(*ret_endpoint));
	if (addr->family == 4)
		v4 = addr->bytes;
	else if (addr->family == 6 && memcmp(addr->bytes, mapped, sizeof(mapped)) == 0)
		v4 = addr->bytes + 12;
	if (v4) {
		ret_endpoint->in.sin_family = AF_INET;
		ret_endpoint->in.sin_port = htons(port);
		memcpy(&ret_endpoint->in.sin_addr, v4, 4);
	} else if (addr->family == 6) {
		ret_endpoint->in6.sin6_family = AF_INET6;
		ret_endpoint->in6.sin6_port = htons(port);
		memcpy(&ret_endpoint->in6.sin6_addr, addr->bytes, 16);
	}
}

void endpoint_ip(const struct endpoint *ep, struct ip_addr *ret_addr)
{
	*ret_addr = (struct ip_addr){0};
	if (ep->sa.sa_family == AF_INET) {
		ret_addr->family = 4;
		memcpy(ret_addr->bytes, &ep->in.sin_addr, 4);
	} else if (ep->sa.sa_family == AF_INET6) {
		ret_addr->family = 6;
		memcpy(ret_addr->bytes, &ep->in6.sin6_addr, 16);
	}
}
