/* SPDX-License-Identifier: Apache-2.0
 *
 * What the verifier takes from a control server that signs anything: the input is the payload of an
 * "ssh" object, signed with a test key, then a certificate, a grant and a machine login are judged
 * by it.
 */
#include <errno.h>
#include <jansson.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "identity/signed.h"
#include "ssh/judge.h"

#define NOW 1790000000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int sign_with(void *ctx, const void *data, size_t len, uint8_t ret_sig[64])
{
	return crypto_sign_detached(ret_sig, NULL, data, len, ctx);
}

/* The decision must be whole whatever was loaded. */
static void check(const struct verifier_decision *d)
{
	if (!d->allowed && d->message[0] == '\0')
		abort();
	if (d->subject_len > sizeof(d->subject) ||
	    d->destination_count > POLICY_SSH_MAX_DESTINATIONS)
		abort();
}

static void judge(struct judge *j, const char *text, size_t len)
{
	struct verifier_decision d;
	struct ip_addr client;

	if (ip_addr_parse("100.64.0.1", &client) < 0)
		abort();
	judge_cert(j, (const uint8_t *)text, len, "deploy", &client, NOW, true, &d);
	check(&d);
	judge_grant(j, text, len, "deploy", "00", &client, NOW, &d);
	check(&d);
	judge_machine(j, "deploy", &client, NOW, &d);
	check(&d);
	judge_again(j, NOW + 10, &d);
	check(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct judge_trust trust = {.network = "n_one", .peer_id = "p_second"};
	uint8_t seed[32] = {1}, secret[64];
	struct error err = {0};
	struct judge *j = NULL;
	json_t *payload;
	char *text = NULL;
	uint64_t seq;
	bool enabled;

	if (sodium_init() < 0)
		abort();
	crypto_sign_seed_keypair(trust.signing_key, secret, seed);
	payload = json_loadb((const char *)data, len, JSON_REJECT_DUPLICATES, NULL);
	if (payload == NULL)
		return 0;
	if (json_is_object(payload) && judge_new(&trust, &j) == 0 &&
	    signed_make("ssh", payload, sign_with, secret, &text) == 0) {
		int r = judge_object(j, text, strlen(text), NOW, &seq, &enabled, &err);

		if (r > 0 ||
		    (r < 0 && err.code == 0 && r != -ENOMEM && r != -EINVAL && r != -EEXIST))
			abort();
		judge(j, text, strlen(text));
	}
	judge_free(j);
	free(text);
	json_decref(payload);
	return 0;
}
