/* SPDX-License-Identifier: Apache-2.0
 *
 * Judges a parsed user certificate: everything OpenSSH's server checks (auth2-pubkey.c's order does
 * not matter; each failure names its property), and that an empty principal list is never
 * "anybody".
 */
#include "identity/sshcert.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool ca_trusted(const struct sshcert *c, const struct sshcert_expect *x)
{
	for (size_t i = 0; i < x->ca_count; i++)
		if (memcmp(c->ca, x->cas[i], sizeof(c->ca)) == 0)
			return true;
	return false;
}

static bool principal_named(const struct sshcert *c, const char *login)
{
	for (size_t i = 0; i < c->principal_count; i++)
		if (strcmp(c->principals[i], login) == 0)
			return true;
	return false;
}

static bool source_allowed(const struct sshcert *c, const struct ip_addr *source)
{
	for (size_t i = 0; i < c->source_count; i++)
		if (ip_prefix_contains(&c->sources[i], source))
			return true;
	return false;
}

static int compare_serials(const void *a, const void *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return x < y ? -1 : x > y;
}

static int check_time(const struct sshcert *c, int64_t now_s, struct error *err)
{
	if (now_s < c->valid_after_s)
		return error_set(
			err, -EACCES,
			"certificate is not valid yet (for another %lld s); check the clocks of "
			"both machines",
			(long long)(c->valid_after_s - now_s));
	if (now_s >= c->valid_before_s)
		return error_set(err, -EACCES, "certificate has expired %lld s ago; log in again",
				 (long long)(now_s - c->valid_before_s));
	return 0;
}

int sshcert_check(const struct sshcert *cert, const struct sshcert_expect *expect,
		  struct error *err)
{
	char source[IP_ADDR_STRLEN];
	int rc;

	if (cert->type != 1)
		return error_set(err, -EACCES, "certificate is a host certificate, not a user's");
	if (!ca_trusted(cert, expect))
		return error_set(err, -EACCES,
				 "certificate was made for another machine's CA, or by nobody this "
				 "machine trusts");
	if (cert->unknown_critical)
		return error_set(
			err, -EACCES,
			"certificate has the critical option \"%s\", which is not known here",
			cert->unknown_critical_name);
	rc = check_time(cert, expect->now_s, err);
	if (rc < 0)
		return rc;
	if (expect->revoked_count > 0 &&
	    bsearch(&cert->serial, expect->revoked, expect->revoked_count, sizeof(cert->serial),
		    compare_serials))
		return error_set(err, -EACCES, "certificate %llu has been revoked",
				 (unsigned long long)cert->serial);
	if (!principal_named(cert, expect->login))
		return error_set(err, -EACCES, "certificate does not allow the login \"%s\"",
				 expect->login);
	if (expect->need_source && !cert->has_source_address)
		return error_set(err, -EACCES,
				 "certificate names no source address, which is required here");
	if (cert->has_source_address && !source_allowed(cert, &expect->source))
		return error_set(err, -EACCES,
				 "certificate was made for other addresses than %s, where this "
				 "connection comes from",
				 expect->source.family ? ip_addr_format(&expect->source, source)
						       : "an unknown one");
	return 0;
}
