/* SPDX-License-Identifier: Apache-2.0
 *
 * jwt_verify and jwt_peek on arbitrary tokens; then the claims alone, which a signature keeps away
 * from the fuzzer otherwise.
 */
#include <string.h>

#include "identity/jwt.h"
#include "identity/jwt_claims.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* RFC 8037 appendix A.2. */
static const char keys[] = "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"k\",\"x\":"
			   "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const audiences[] = {"a", NULL};
	const struct jwt_expect expect = {.issuer = "i",
					  .audiences = audiences,
					  .now_s = 1000,
					  .skew_s = 60,
					  .max_age_s = 100};
	static struct jwks *jwks;
	struct jwt_identity id = {0};
	char issuer[32], kid[32];
	struct error err = {0};
	json_t *claims;

	if (!jwks && jwks_parse(keys, sizeof(keys) - 1, &jwks, NULL) < 0)
		__builtin_trap();
	if (jwt_verify((const char *)data, size, jwks, &expect, &id, &err) == JWT_OK)
		jwt_identity_done(&id);
	if (jwt_peek((const char *)data, size, issuer, sizeof(issuer), kid, sizeof(kid)) == 0 &&
	    (strlen(issuer) >= sizeof(issuer) || strlen(kid) >= sizeof(kid)))
		__builtin_trap();
	claims = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
	if (json_is_object(claims) && jwt_claims_check(claims, &expect, &id, &err) == JWT_OK)
		jwt_identity_done(&id);
	else
		json_decref(claims);
	return 0;
}
