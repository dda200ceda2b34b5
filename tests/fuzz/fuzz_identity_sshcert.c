/* SPDX-License-Identifier: Apache-2.0
 *
 * sshcert_parse and sshcert_text_decode on arbitrary bytes. So that the fuzzer gets behind the
 * signature, the input is also taken as a certificate's body, which is signed here.
 */
#include <sodium.h>
#include <string.h>

#include "identity/sshcert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse_signed(const uint8_t *data, size_t size)
{
	static uint8_t ca[32], secret[64], blob[SSHCERT_MAX_BLOB];
	const uint8_t seed[32] = {7};
	struct writer w = writer_init(blob, sizeof(blob)), inner;
	uint8_t part[128], sig[64];
	static struct sshcert cert;

	crypto_sign_seed_keypair(ca, secret, seed);
	inner = writer_init(part, sizeof(part));
	writer_cstring(&inner, "ssh-ed25519");
	writer_string(&inner, ca, sizeof(ca));
	writer_bytes(&w, data, size);
	writer_string(&w, part, inner.len);
	if (w.failed)
		return;
	crypto_sign_detached(sig, NULL, blob, w.len, secret);
	inner = writer_init(part, sizeof(part));
	writer_cstring(&inner, "ssh-ed25519");
	writer_string(&inner, sig, sizeof(sig));
	writer_string(&w, part, inner.len);
	if (w.failed || sshcert_parse(blob, w.len, &cert, NULL) < 0)
		return;
	if (cert.principal_count > SSHCERT_MAX_PRINCIPALS ||
	    cert.source_count > SSHCERT_MAX_SOURCES || memcmp(cert.ca, ca, 32) != 0)
		__builtin_trap();
	for (size_t i = 0; i < cert.principal_count; i++)
		if (strnlen(cert.principals[i], 64) == 64)
			__builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t out[SSHCERT_MAX_BLOB];
	static struct sshcert cert;
	char text[4096], type[64];
	size_t len = 0;

	if (sodium_init() < 0)
		__builtin_trap();
	(void)!sshcert_parse(data, size, &cert, NULL);
	parse_signed(data, size);
	if (size < sizeof(text) && !memchr(data, 0, size)) {
		memcpy(text, data, size);
		text[size] = '\0';
		if (sshcert_text_decode(text, out, sizeof(out), &len, type) == 0 &&
		    (len > sizeof(out) || strnlen(type, sizeof(type)) == sizeof(type)))
			__builtin_trap();
	}
	return 0;
}
