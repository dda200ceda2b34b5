/* SPDX-License-Identifier: Apache-2.0
 *
 * IP addresses, CIDR prefixes and UDP endpoints: parse, print, compare. No resolver in here.
 */
#ifndef WARREN_PLATFORM_ADDR_H
#define WARREN_PLATFORM_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "platform/error.h"

struct ip_addr {
	uint8_t family;    /* 4, 6; 0: none */
	uint8_t bytes[16]; /* network order; IPv4 in the first four, the rest zero */
};

struct ip_prefix {
	struct ip_addr addr; /* host bits are zero after ip_prefix_parse */
	uint8_t bits;
};

/* An address and port outside the mesh; all-zero: none. */
struct endpoint {
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	};
};

#define IP_ADDR_STRLEN   46
#define IP_PREFIX_STRLEN 50
#define ENDPOINT_STRLEN  72 /* [v6%scope]:port */

int ip_addr_parse(const char *text, struct ip_addr *ret_addr) WARREN_MUST_USE;
const char *ip_addr_format(const struct ip_addr *addr, char out[static IP_ADDR_STRLEN]);
bool ip_addr_equal(const struct ip_addr *a, const struct ip_addr *b);
int ip_addr_compare(const struct ip_addr *a, const struct ip_addr *b);

/* "a.b.c.d/n", or a bare address as /32 or /128. Host bits are cleared. */
int ip_prefix_parse(const char *text, struct ip_prefix *ret_prefix) WARREN_MUST_USE;
const char *ip_prefix_format(const struct ip_prefix *prefix, char out[static IP_PREFIX_STRLEN]);
bool ip_prefix_contains(const struct ip_prefix *prefix, const struct ip_addr *addr);
bool ip_prefix_equal(const struct ip_prefix *a, const struct ip_prefix *b);

/* "1.2.3.4:51820", "[fe80::1%eth0]:51820" or "[fe80::1%3]:51820". No names. */
int endpoint_parse(const char *text, struct endpoint *ret_endpoint) WARREN_MUST_USE;
const char *endpoint_format(const struct endpoint *ep, char out[static ENDPOINT_STRLEN]);
bool endpoint_equal(const struct endpoint *a, const struct endpoint *b);
bool endpoint_is_set(const struct endpoint *ep);
socklen_t endpoint_len(const struct endpoint *ep);
uint16_t endpoint_port(const struct endpoint *ep); /* host order */
/* Folds IPv4-mapped IPv6 to IPv4. */
void endpoint_from_sockaddr(const struct sockaddr *sa, socklen_t len, struct endpoint *ret_endpoint);
void endpoint_from_ip(const struct ip_addr *addr, uint16_t port, struct endpoint *ret_endpoint);
void endpoint_ip(const struct endpoint *ep, struct ip_addr *ret_addr);

#endif
