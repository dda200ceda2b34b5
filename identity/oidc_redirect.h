/* SPDX-License-Identifier: Apache-2.0
 *
 * The one HTTP request that the loopback redirect (RFC 8252 section 7.3) has to understand. Pure;
 * only identity/ and its tests include this.
 */
#ifndef WARREN_IDENTITY_OIDC_REDIRECT_H
#define WARREN_IDENTITY_OIDC_REDIRECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/error.h"

struct oidc_redirect {
	bool for_us; /* GET of /callback with the right Host; else answer 404 */
	char code[2048], state[256], error[64], description[256], issuer[1024]; /* "" when absent */
};

/* 0 when the head is complete, -EAGAIN when more must come, -EBADMSG for what is no request.
 * port: ours, which Host must name. *ret is filled for 0 only. */
int oidc_redirect_parse(const char *data, size_t len, uint16_t port,
			struct oidc_redirect *ret) WARREN_MUST_USE;

#endif
