/* SPDX-License-Identifier: Apache-2.0
 *
 * authorized_keys_match on arbitrary files, for a key and for a certificate; and patterns, lists and
 * times of their own. A grant never holds more than its arrays, and its strings end.
 */
#include <stdlib.h>
#include <string.h>

#include "ssh/authorized_keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct authorized_keys_grant grant;

static void check(void)
{
	if (grant.open_count > AUTHORIZED_KEYS_PERMITS_MAX ||
	    grant.listen_count > AUTHORIZED_KEYS_PERMITS_MAX ||
	    grant.env_count > AUTHORIZED_KEYS_ENV_MAX ||
	    memchr(grant.command, '\0', sizeof(grant.command)) == NULL)
		__builtin_trap();
	for (size_t i = 0; i < grant.env_count; i++)
		if (memchr(grant.env[i], '\0', sizeof(grant.env[i])) == NULL)
			__builtin_trap();
	(void)authorized_keys_may_open(&grant, "db", 5432);
	(void)authorized_keys_may_listen(&grant, "localhost", 8080);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + 43 A's */
	static uint8_t blob[51] = "\0\0\0\vssh-ed25519\0\0\0 ";
	static struct sshcert cert = {.type = 1, .valid_before_s = 2000, .principal_count = 1};
	struct authorized_keys_query q = {
		.blob = blob,
		.blob_len = sizeof(blob),
		.login = "deploy",
		.client = {.family = 4, .bytes = {100, 64, 0, 9}},
		.client_name = "first",
		.now_s = 1000,
	};
	char text[512];
	int64_t at;

	memcpy(cert.principals[0], "deploy", sizeof("deploy"));
	if (authorized_keys_match((const char *)data, size, &q, &grant, NULL) == 0)
		check();
	q.cert = &cert;
	if (authorized_keys_match((const char *)data, size, &q, &grant, NULL) == 0)
		check();
	if (size >= sizeof(text) || memchr(data, 0, size) != NULL)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	(void)authorized_keys_pattern("100.64.0.9", text);
	(void)authorized_keys_from(text, &q.client, NULL);
	(void)!authorized_keys_time(text, &at);
	return 0;
}
