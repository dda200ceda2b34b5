/* SPDX-License-Identifier: Apache-2.0
 *
 * Identifiers and overlay addresses of a network: made here, random by injection. Pure.
 */
#ifndef WARREN_CONTROL_IDENT_H
#define WARREN_CONTROL_IDENT_H

#include <stdbool.h>

#include "platform/addr.h"
#include "platform/clock.h"
#include "platform/error.h"

#define IDENT_SIZE 24

/* prefix 'p' or 'n': "p_" + 16 characters of lower-case base32 (80 random bits). */
void ident_make(char prefix, const struct random_source *random, char out[static IDENT_SIZE]);
bool ident_valid(char prefix, const char *id);

typedef bool ident_taken(void *ctx, const struct ip_addr *addr);
/* A free address of an IPv4 prefix (never its first or last /24 end, nor x.x.x.0 and .255) or of an
 * IPv6 /48 (subnet 0, random interface). Random first, then the first free one in order.
 * -ENOSPC when there is none. */
int ident_address(const struct ip_prefix *prefix, const struct random_source *random,
		  ident_taken *taken, void *ctx, struct ip_addr *ret_addr) WARREN_MUST_USE;
/* fd00::/8 + 40 random bits: RFC 4193 section 3.2. */
void ident_ula(const struct random_source *random, struct ip_prefix *ret_prefix);
/* A DNS label out of a host name: lower case, [a-z0-9-], no dash at the ends, at most 48
 * characters; "peer" when nothing is left. */
void ident_label(const char *hostname, char *out, size_t cap);
bool ident_label_valid(const char *name);

#endif
