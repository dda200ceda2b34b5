/* SPDX-License-Identifier: Apache-2.0
 *
 * Lists and KRLs of revoked keys: any bytes are judged or refused, and what is refused says why.
 */
#include <stdlib.h>

#include "ssh/revoked.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint8_t key[51] = "\0\0\0\13ssh-ed25519\0\0\0 key";
	const struct revoked_query plain = {
		.blob = key, .blob_len = sizeof(key), .subject = key, .subject_len = sizeof(key)};
	struct revoked_query cert = plain;
	struct error err = {0};
	int by_key = revoked_judge(data, len, &plain, &err), by_cert;

	if (by_key < 0 && error_text(&err)[0] == '\0')
		abort();
	cert.certificate = true;
	cert.serial = len;
	cert.key_id = "somebody";
	by_cert = revoked_judge(data, len, &cert, NULL);
	/* A certificate can be named in more ways than its key, and files are good for all or none. */
	if ((by_key < 0) != (by_cert < 0) || by_cert < by_key)
		abort();
	return 0;
}
