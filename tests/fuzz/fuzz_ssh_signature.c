/* SPDX-License-Identifier: Apache-2.0
 *
 * Subject keys and signatures that the monitor checks itself, and the signed data: nothing that was
 * not signed may pass, and nothing may be read out of bounds.
 */
#include <sodium.h>
#include <stdlib.h>

#include "ssh/monitor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char *const names[] = {
		"ssh-ed25519-cert-v01@openssh.com", "ecdsa-sha2-nistp256-cert-v01@openssh.com",
		"rsa-sha2-256-cert-v01@openssh.com", "rsa-sha2-512-cert-v01@openssh.com"};
	static const uint8_t session[32] = {1};
	struct reader r = reader_init(data, len);
	const char *name = names[reader_u8(&r) & 3];
	size_t subject_len = 0, signature_len = 0, rest;
	const uint8_t *subject = reader_string(&r, 4096, &subject_len);
	const uint8_t *signature = reader_string(&r, 4096, &signature_len);
	const uint8_t *signed_data;

	if (sodium_init() < 0)
		abort();
	if (r.failed)
		return 0;
	rest = reader_left(&r);
	signed_data = reader_take(&r, rest);
	(void)monitor_signature_verify(name, subject, subject_len, signature, signature_len,
				       signed_data != NULL ? signed_data : (const uint8_t *)"",
				       rest);
	if (signed_data != NULL &&
	    monitor_signature_data(signed_data, rest, session, sizeof(session), "deploy", name,
				   subject, subject_len) &&
	    rest < 32 + subject_len)
		abort();
	return 0;
}
