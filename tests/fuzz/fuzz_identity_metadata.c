/* SPDX-License-Identifier: Apache-2.0
 *
 * A provider's discovery document: whatever is in it, endpoints that come out are printable URLs.
 */
#include <stdlib.h>
#include <string.h>

#include "identity/oidc_internal.h"

static void check(const char *url)
{
	for (; url && *url; url++)
		if (*url <= 0x20 || *url >= 0x7f || *url == '"')
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct oidc_metadata m = {0};
	struct error err = {0};
	char *text = malloc(size + 1); /* as HTTP answers come: with a NUL behind them */

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (oidc_metadata_parse(text, size, "https://id.example.com", &m, &err) == 0) {
		if (!m.token_endpoint || !m.jwks_uri)
			abort();
		check(m.token_endpoint);
		check(m.jwks_uri);
		check(m.authorization_endpoint);
		check(m.device_endpoint);
		check(m.revocation_endpoint);
		oidc_metadata_done(&m);
	} else if (err.code == 0 || err.text[0] == '\0') {
		abort();
	}
	free(text);
	return 0;
}
