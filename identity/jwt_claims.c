/* SPDX-License-Identifier: Apache-2.0
 *
 * What a token says, judged (RFC 7519 section 4.1, OpenID Connect Core section 3.1.3.7): issuer
 * exact, audience, times, authorized party, nonce, then who it is. iss, aud, exp and sub are
 * required.
 */
#include "identity/jwt_claims.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "platform/json.h"
#include "platform/secret.h"

enum { AUDIENCES_MAX = 64 };

#define TIME_MAX INT64_C(253402300799) /* end of the year 9999 */
#define SHOWN	 160

const char *jwt_printable(const char *text, char *out, size_t cap)
{
	size_t n = 0;

	for (; *text && n + 1 < cap; text++)
		out[n++] = *text >= 0x20 && *text < 0x7f && *text != '"' ? *text : '?';
	out[n] = '\0';
	return out;
}

static enum jwt_fault claim_fault(struct error *err, const char *name, const char *what)
{
	error_set(err, -EACCES, "the token's claim \"%s\" %s", name, what);
	return JWT_CLAIM;
}

/* A NumericDate: whole or broken seconds. 0 and *ret_time, -ENOENT, -EINVAL. */
static int get_time(const json_t *claims, const char *name, int64_t *ret_time)
{
	const json_t *value = json_object_get(claims, name);
	double number;

	if (!value)
		return -ENOENT;
	if (!json_is_number(value))
		return -EINVAL;
	number = json_number_value(value);
	if (!(number >= 0) || number > (double)TIME_MAX)
		return -EINVAL;
	*ret_time = (int64_t)number; /* cut, and not below 0: floor(3) without libm */
	return 0;
}

static bool in_list(const char *text, const char *const *list)
{
	for (; list && *list; list++)
		if (strcmp(text, *list) == 0)
			return true;
	return false;
}

static enum jwt_fault check_issuer(const json_t *claims, const struct jwt_expect *x,
				   struct error *err)
{
	char issuer[1024], shown[SHOWN];

	if (json_get_string(claims, "iss", issuer, sizeof(issuer), NULL) < 0) {
		claim_fault(err, "iss", "is missing or not a short string");
		return JWT_ISSUER;
	}
	if (strcmp(issuer, x->issuer) == 0)
		return JWT_OK;
	error_set(err, -EACCES,
		  "the token's issuer is \"%s\", expected exactly \"%s\"; both must be equal to "
		  "the last "
		  "character",
		  jwt_printable(issuer, shown, sizeof(shown)), x->issuer);
	return JWT_ISSUER;
}

/* *ret_several: more than one audience is named. */
static enum jwt_fault check_audience(const json_t *claims, const struct jwt_expect *x,
				     bool *ret_several, struct error *err)
{
	const json_t *aud = json_object_get(claims, "aud"), *item = NULL;
	const char *first = "";
	char shown[SHOWN];
	size_t i;

	*ret_several = false;
	if (json_is_string(aud)) {
		first = json_string_value(aud);
		if (in_list(first, x->audiences))
			return JWT_OK;
	} else if (json_is_array(aud) && json_array_size(aud) > 0 &&
		   json_array_size(aud) <= AUDIENCES_MAX) {
		bool found = false;

		json_array_foreach(aud, i, item)
		{
			if (!json_is_string(item)) {
				claim_fault(err, "aud", "holds something that is not a string");
				return JWT_AUDIENCE;
			}
			found = found || in_list(json_string_value(item), x->audiences);
		}
		*ret_several = json_array_size(aud) > 1;
		first = json_string_value(json_array_get(aud, 0));
		if (found)
			return JWT_OK;
	} else {
		claim_fault(err, "aud", "is missing or not a list of strings");
		return JWT_AUDIENCE;
	}
	error_set(err, -EACCES, "the token was made for the audience \"%s\", expected \"%s\"",
		  jwt_printable(first, shown, sizeof(shown)),
		  x->audiences && x->audiences[0] ? x->audiences[0] : "");
	return JWT_AUDIENCE;
}

/* OpenID Connect Core section 3.1.3.7, steps 4 and 5. */
static enum jwt_fault check_party(const json_t *claims, const struct jwt_expect *x, bool several,
				  struct error *err)
{
	char azp[256], shown[SHOWN];

	if (x->any_party)
		return JWT_OK;
	if (!json_object_get(claims, "azp"))
		return several ? claim_fault(err, "azp",
					     "is missing although there are several audiences")
			       : JWT_OK;
	if (json_get_string(claims, "azp", azp, sizeof(azp), NULL) < 0)
		return claim_fault(err, "azp", "is not a short string");
	if (in_list(azp, x->audiences) || (x->party && strcmp(azp, x->party) == 0))
		return JWT_OK;
	error_set(err, -EACCES, "the token was issued to another client, \"%s\"",
		  jwt_printable(azp, shown, sizeof(shown)));
	return JWT_CLAIM;
}

static enum jwt_fault check_times(const json_t *claims, const struct jwt_expect *x,
				  struct jwt_identity *id, struct error *err)
{
	int64_t nbf = 0;
	int rc;

	if (get_time(claims, "exp", &id->expires_s) < 0)
		return claim_fault(err, "exp", "is missing or not a time");
	if (x->now_s - x->skew_s >= id->expires_s) {
		error_set(err, -EACCES, "the token expired %lld s ago; log in again",
			  (long long)(x->now_s - id->expires_s));
		return JWT_EXPIRED;
	}
	rc = get_time(claims, "nbf", &nbf);
	if (rc == -EINVAL)
		return claim_fault(err, "nbf", "is not a time");
	if (rc == 0 && nbf > x->now_s + x->skew_s) {
		error_set(err, -EACCES,
			  "the token is valid only in %lld s (\"nbf\"); check this machine's clock",
			  (long long)(nbf - x->now_s));
		return JWT_NOT_YET;
	}
	rc = get_time(claims, "iat", &id->issued_s);
	if (rc == -EINVAL)
		return claim_fault(err, "iat", "is not a time");
	if (rc == 0 && id->issued_s > x->now_s + x->skew_s) {
		error_set(
			err, -EACCES,
			"the token was issued %lld s in the future (\"iat\"); check this machine's "
			"clock",
			(long long)(id->issued_s - x->now_s));
		return JWT_NOT_YET;
	}
	id->auth_time_s = id->issued_s;
	rc = get_time(claims, "auth_time", &id->auth_time_s);
	if (rc == -EINVAL || id->auth_time_s > x->now_s + x->skew_s)
		return claim_fault(err, "auth_time", "is not a time of the past");
	if (x->max_age_s <= 0)
		return JWT_OK;
	if (id->auth_time_s == 0) /* some providers write 0 for "unknown" */
		return rc == 0 ? claim_fault(err, "auth_time",
					     "is 0, so nobody knows how old the login is")
			       : claim_fault(err, "iat",
					     "is missing, so nobody knows how old the login is");
	if (x->now_s - id->auth_time_s > x->max_age_s + x->skew_s) {
		error_set(err, -EACCES, "the login is %lld s old, allowed are %lld; log in again",
			  (long long)(x->now_s - id->auth_time_s), (long long)x->max_age_s);
		return JWT_TOO_OLD;
	}
	return JWT_OK;
}

static enum jwt_fault check_nonce(const json_t *claims, const struct jwt_expect *x,
				  struct error *err)
{
	const char *nonce;

	if (!x->nonce)
		return JWT_OK;
	if (json_get_text(claims, "nonce", 512, &nonce, NULL) < 0 ||
	    strlen(nonce) != strlen(x->nonce) || !secret_equal(nonce, x->nonce, strlen(nonce)))
		return claim_fault(err, "nonce", "is not the one of this login");
	return JWT_OK;
}

static bool plain_text(const char *text)
{
	if (*text == '\0')
		return false;
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return false;
	return true;
}

/* The policy's group members use these prefixes; nobody may be called so. */
static bool reserved_name(const char *user)
{
	static const char *const prefixes[] = {"group:", "setup-key:", "peer:",
					       "workload:", "break-glass:", NULL};

	for (const char *const *p = prefixes; *p; p++)
		if (strncmp(user, *p, strlen(*p)) == 0)
			return true;
	return false;
}

/* email_verified counts where the e-mail address is the identity. Some providers send strings. */
static enum jwt_fault check_verified(const json_t *claims, const struct jwt_expect *x,
				     struct error *err)
{
	const json_t *value = json_object_get(claims, "email_verified");
	bool yes = json_is_true(value) ||
		   (json_is_string(value) && strcmp(json_string_value(value), "true") == 0);

	if (!value && !x->require_email_verified)
		return JWT_OK;
	if (yes)
		return JWT_OK;
	return claim_fault(err, "email_verified",
			   value ? "says that the e-mail address is not verified" : "is missing");
}

static enum jwt_fault read_user(const json_t *claims, const struct jwt_expect *x,
				struct jwt_identity *id, struct error *err)
{
	const char *claim = x->user_claim ? x->user_claim : "email";

	if (json_get_string(claims, "sub", id->subject, sizeof(id->subject), NULL) < 0 ||
	    !plain_text(id->subject))
		return claim_fault(err, "sub", "is missing, too long or not plain text");
	if (json_get_string(claims, claim, id->user, sizeof(id->user), NULL) < 0)
		id->user[0] = '\0';
	/* Policy knows no case of people; two who differ in nothing else would be one, and "Workload:ci"
	 * a workload. */
	for (char *c = id->user; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	if (!plain_text(id->user) || reserved_name(id->user))
		return claim_fault(
			err, claim,
			"is missing, too long or no name; the provider must put the user into "
			"it (scope \"email\"?)");
	return strcmp(claim, "email") == 0 ? check_verified(claims, x, err) : JWT_OK;
}

static enum jwt_fault read_groups(const json_t *claims, const struct jwt_expect *x,
				  struct jwt_identity *id, struct error *err)
{
	const char *claim = x->groups_claim ? x->groups_claim : "groups";
	const json_t *value = json_object_get(claims, claim), *item;
	size_t i, count;

	if (!value || json_is_null(value))
		return JWT_OK;
	if (!json_is_array(value) && !json_is_string(value))
		return claim_fault(err, claim, "is not a list of strings");
	count = json_is_array(value) ? json_array_size(value) : 1;
	if (count == 0)
		return JWT_OK;
	if (count > JWT_MAX_GROUPS)
		return claim_fault(err, claim, "has more than 256 groups");
	id->groups = calloc(count, sizeof(*id->groups));
	if (!id->groups)
		return claim_fault(err, claim, "does not fit into memory");
	for (i = 0; i < count; i++) {
		const char *text;

		item = json_is_array(value) ? json_array_get(value, i) : value;
		text = json_string_value(item);
		if (!text || strlen(text) != json_string_length(item) ||
		    strlen(text) >= sizeof(*id->groups) || !plain_text(text))
			return claim_fault(err, claim, "holds something that is no group name");
		memcpy(id->groups[id->group_count++], text, strlen(text) + 1);
	}
	return JWT_OK;
}

enum jwt_fault jwt_claims_check(json_t *claims, const struct jwt_expect *expect,
				struct jwt_identity *ret_identity, struct error *err)
{
	struct jwt_identity id = {0};
	bool several = false;
	enum jwt_fault fault;

	fault = check_issuer(claims, expect, err);
	if (fault == JWT_OK)
		fault = check_audience(claims, expect, &several, err);
	if (fault == JWT_OK)
		fault = check_times(claims, expect, &id, err);
	if (fault == JWT_OK)
		fault = check_party(claims, expect, several, err);
	if (fault == JWT_OK)
		fault = check_nonce(claims, expect, err);
	if (fault == JWT_OK)
		fault = read_user(claims, expect, &id, err);
	if (fault == JWT_OK)
		fault = read_groups(claims, expect, &id, err);
	if (fault != JWT_OK) {
		free(id.groups);
		return fault;
	}
	id.claims = claims;
	*ret_identity = id;
	return JWT_OK;
}
