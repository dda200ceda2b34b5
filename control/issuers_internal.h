/* SPDX-License-Identifier: Apache-2.0
 *
 * What issuers.c (the clients) and issuers_verify.c (the choice between them) share.
 */
#ifndef WARREN_CONTROL_ISSUERS_INTERNAL_H
#define WARREN_CONTROL_ISSUERS_INTERNAL_H

#include "control/issuers.h"

struct issuers_client {
	const struct control_issuer *config; /* NULL: the embedded provider */
	struct oidc *oidc;
	char *secret; /* secret memory or NULL */
};

struct issuers {
	struct control *c;
	size_t count;
	struct issuers_client clients[CONTROL_MAX_ISSUERS + 1];
};

/* A NULL-terminated list of texts. */
void issuers_list(const char texts[][CONTROL_AUDIENCE_SIZE], size_t count,
		  const char *out[static CONTROL_MAX_AUDIENCES + 1]);

#endif
