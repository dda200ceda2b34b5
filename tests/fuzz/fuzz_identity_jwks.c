/* SPDX-License-Identifier: Apache-2.0
 *
 * jwks_parse on arbitrary text; a set that is taken must survive being asked.
 */
#include "identity/jwks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t sig[64] = {1};
	struct jwks *jwks = NULL;

	if (jwks_parse((const char *)data, size, &jwks, NULL) < 0)
		return 0;
	for (int alg = 0; alg < JWS_ALG_COUNT; alg++)
		if (jwks_verify(jwks, NULL, (enum jws_alg)alg, "x", 1, sig, sizeof(sig)) == JWT_OK)
			__builtin_trap();
	(void)jwks_has_kid(jwks, "k");
	jwks_free(jwks);
	return 0;
}
