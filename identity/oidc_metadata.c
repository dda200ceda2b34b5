/* SPDX-License-Identifier: Apache-2.0
 *
 * The provider's discovery document (OpenID Connect Discovery 1.0 section 3). Its issuer must be
 * the configured one to the last character; endpoints are printable URLs (http.h refuses plain HTTP
 * that leaves the machine).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "identity/jwt_claims.h"
#include "identity/oidc_internal.h"
#include "platform/json.h"

void oidc_metadata_done(struct oidc_metadata *m)
{
	free(m->authorization_endpoint);
	free(m->token_endpoint);
	free(m->device_endpoint);
	free(m->jwks_uri);
	free(m->revocation_endpoint);
	*m = (struct oidc_metadata){0};
}

static int get_endpoint(const json_t *json, const char *name, bool needed, char **ret_url,
			struct error *err)
{
	const char *text;
	int rc = json_get_text(json, name, 2000, &text, NULL);

	if (rc == -ENOENT && !needed)
		return 0;
	if (rc < 0)
		return error_set(err, -EPROTO,
				 "the provider's discovery document has no usable \"%s\"", name);
	for (const char *c = text; *c; c++)
		if (*c <= 0x20 || *c >= 0x7f || *c == '"')
			return error_set(err, -EPROTO,
					 "\"%s\" of the provider's discovery document is not a URL",
					 name);
	*ret_url = strdup(text);
	return *ret_url ? 0 : error_set(err, -ENOMEM, "out of memory");
}

/* Is value in the list? Some do not have the list at all: then yes. */
static bool offers(const json_t *json, const char *name, const char *value)
{
	const json_t *methods = json_object_get(json, name), *item;
	size_t i;

	if (!methods)
		return true;
	json_array_foreach(methods, i,
			   item) if (json_is_string(item) &&
				     strcmp(json_string_value(item), value) == 0) return true;
	return false;
}

int oidc_metadata_parse(const char *text, size_t len, const char *expected_issuer,
			struct oidc_metadata *ret_metadata, struct error *err)
{
	struct oidc_metadata m = {0};
	char issuer[1024] = "", shown[160];
	json_t *json;
	int rc = 0;

	json = json_load_strict(text, len, OIDC_METADATA_BYTES, err);
	if (!json)
		return error_prefix(err, "the provider's discovery document");
	if (json_get_string(json, "issuer", issuer, sizeof(issuer), NULL) < 0 ||
	    strcmp(issuer, expected_issuer) != 0)
		rc = error_set(
			err, -EPROTO,
			"the provider calls itself \"%s\" but \"%s\" is configured; both must be "
			"equal to the last character",
			jwt_printable(issuer, shown, sizeof(shown)), expected_issuer);
	if (rc == 0)
		rc = get_endpoint(json, "authorization_endpoint", false, &m.authorization_endpoint,
				  err);
	if (rc == 0)
		rc = get_endpoint(json, "token_endpoint", true, &m.token_endpoint, err);
	if (rc == 0)
		rc = get_endpoint(json, "device_authorization_endpoint", false, &m.device_endpoint,
				  err);
	if (rc == 0)
		rc = get_endpoint(json, "jwks_uri", true, &m.jwks_uri, err);
	if (rc == 0)
		rc = get_endpoint(json, "revocation_endpoint", false, &m.revocation_endpoint, err);
	m.revokes_for_public = offers(json, "revocation_endpoint_auth_methods_supported", "none");
	if (rc == 0 && !offers(json, "code_challenge_methods_supported", "S256")) { /* then no browser flow */
		free(m.authorization_endpoint);
		m.authorization_endpoint = NULL;
	}
	json_decref(json);
	if (rc < 0) {
		oidc_metadata_done(&m);
		return rc;
	}
	*ret_metadata = m;
	return 0;
}
