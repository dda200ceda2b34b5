/* SPDX-License-Identifier: Apache-2.0
 *
 * The loopback redirect's request parser; whole and in two pieces it must say the same.
 */
#include <errno.h>
#include <string.h>

#include "identity/oidc_redirect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct oidc_redirect r;
	int rc;

	memset(&r, 0, sizeof(r));
	rc = oidc_redirect_parse((const char *)data, size, 40001, &r);
	if (rc != 0 && rc != -EAGAIN && rc != -EBADMSG)
		__builtin_trap();
	if (rc != 0 && r.for_us)
		__builtin_trap();
	if (rc == -EAGAIN && oidc_redirect_parse((const char *)data, size / 2, 40001, &r) == 0)
		__builtin_trap();
	return 0;
}
