/* SPDX-License-Identifier: Apache-2.0
 *
 * The verifier as a process (ssh/PROTOCOL.md section 5): what the judge says arrives whole, what
 * can't be read changes nothing, and without the child everything is refused. And which accounts
 * count as locked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "identity/signed.h"
#include "platform/encode.h"
#include "platform/file.h"
#include "ssh/monitor.h"

#define SELF "p_second"

static uint8_t signing_public[32], signing[64];

static int sign_with(void *ctx, const void *data, size_t len, uint8_t ret_sig[64])
{
	return crypto_sign_detached(ret_sig, NULL, data, len, ctx);
}

/* Machine logins as "backup", with destinations. */
static int object(json_int_t seq, const char *policy)
{
	char ca[ENCODE_BASE64URL_SIZE(32)], *text = NULL;
	json_t *payload;
	int fd = memfd_create("object", MFD_CLOEXEC);

	encode_base64url(ca, signing_public, 32);
	payload = json_pack("{s:i,s:s,s:s,s:I,s:I,s:b,s:[s],s:s,s:[{s:s,s:s,s:s,s:s,s:[],s:n},"
			    "{s:s,s:s,s:s,s:s,s:[],s:n}],s:{},s:[]}",
			    "v", 1, "network", "n_one", "peer", SELF, "seq", seq, "valid_until",
			    (json_int_t)time(NULL) + 3600, "enabled", 1, "ca", ca, "policy", policy,
			    "peers", "id", "p_first", "name", "first", "overlay4", "100.64.0.1",
			    "overlay6", "fd00::1", "identities", "setup_key", "id", SELF, "name",
			    "second", "overlay4", "100.64.0.2", "overlay6", "fd00::2", "identities",
			    "setup_key", "identities", "revoked");
	assert_non_null(payload);
	assert_int_equal(signed_make("ssh", payload, sign_with, signing, &text), 0);
	json_decref(payload);
	assert_int_equal(file_write_all(fd, text, strlen(text)), 0);
	free(text);
	return fd;
}

static const char POLICY[] = "{\"ssh\": [ {\"from\": [\"peer:first\"], \"to\": [\"peer:second\"], "
			     "\"logins\": [\"backup\"],"
			     " \"auth\": \"machine\", \"allow\": [\"exec\", \"forward\"],"
			     " \"destinations\": [\"db:5432\", \"*:80\"]} ]}";

static struct verifier *start(void)
{
	struct ssh_wire_config config = {.network = "n_one", .peer_id = SELF, .min_seq = 5};
	struct verifier *v = NULL;

	memcpy(config.signing_key, signing_public, 32);
	assert_int_equal(verifier_start(NULL, &v), 0);
	assert_int_equal(verifier_configure(v, &config), 0);
	return v;
}

static int load(struct verifier *v, json_int_t seq, const char *policy, uint64_t *ret_seq)
{
	struct error err = {0};
	int fd = object(seq, policy);
	struct verifier_object got = {0};
	int r = verifier_object(v, fd, &got, &err);

	close(fd);
	if (r == 0) {
		assert_true(got.enabled);
		assert_string_equal(got.host_name, "second");
		*ret_seq = got.seq;
	}
	assert_true(r == 0 || err.text[0] != '\0');
	return r;
}

static void round_trip(void **state)
{
	struct verifier *v = start();
	struct verifier_decision d = {0};
	struct ip_addr client;
	int64_t now = time(NULL);
	uint64_t seq = 0;

	(void)state;
	assert_int_equal(ip_addr_parse("100.64.0.1", &client), 0);
	assert_int_equal(verifier_machine(v, "backup", &client, now, &d), 0);
	assert_false(d.allowed); /* no object yet */
	assert_int_equal(load(v, 7, POLICY, &seq), 0);
	assert_int_equal(seq, 7);
	assert_int_equal(verifier_machine(v, "backup", &client, now, &d), 0);
	assert_true(d.allowed);
	assert_int_equal(d.caps, POLICY_SSH_EXEC | POLICY_SSH_FORWARD);
	assert_string_equal(d.caller_peer, "p_first");
	assert_string_equal(d.caller_name, "first");
	assert_string_equal(d.identity, "");
	assert_int_equal(d.subject_len, 0);
	assert_int_equal(d.destination_count, 2);
	assert_string_equal(d.destinations[1], "*:80");
	assert_true(d.again_at_s > now);
	assert_int_equal(verifier_machine(v, "root", &client, now, &d), 0);
	assert_false(d.allowed);
	assert_true(d.message[0] != '\0');
	/* older, and unreadable: what was known stays */
	assert_int_equal(load(v, 6, POLICY, &seq), -EACCES);
	assert_int_equal(load(v, 8, "{ nonsense", &seq), -EACCES);
	assert_int_equal(verifier_again(v, now, &d), 0);
	assert_true(d.allowed);
	assert_int_equal(load(v, 8, "{\"ssh\": []}", &seq), 0);
	assert_int_equal(verifier_again(v, now, &d), 0);
	assert_false(d.allowed);
	verifier_stop(v);
}

static void proofs(void **state)
{
	struct verifier *v = start();
	struct verifier_decision d = {0};
	const uint8_t junk[3000] = {1, 2, 3};
	struct ip_addr client;
	uint64_t seq;

	(void)state;
	assert_int_equal(ip_addr_parse("100.64.0.1", &client), 0);
	assert_int_equal(load(v, 7, POLICY, &seq), 0);
	assert_int_equal(verifier_cert(v, junk, sizeof(junk), "backup", &client, 1, true, &d), 0);
	assert_false(d.allowed);
	assert_int_equal(d.subject_len, 0);
	assert_int_equal(verifier_grant(v, "wso1.grant.x.y", 14, "backup", "00", &client, 1, &d),
			 0);
	assert_false(d.allowed);
	assert_int_equal(verifier_again(v, 1, &d), 0);
	assert_false(d.allowed); /* nobody is logged in */
	/* too large for a packet: refused here, and the child is well */
	assert_true(verifier_cert(v, (uint8_t[MONITOR_WIRE_MAX]){0}, MONITOR_WIRE_MAX, "backup", &client, 1, true, &d) <
		    0);
	assert_int_equal(verifier_machine(v, "backup", &client, time(NULL), &d), 0);
	assert_true(d.allowed);
	verifier_stop(v);
}

static void dead_child(void **state)
{
	struct verifier *v = start();
	struct verifier_decision d = {.allowed = true};
	struct ip_addr client;
	pid_t pid;

	(void)state;
	assert_int_equal(ip_addr_parse("100.64.0.1", &client), 0);
	/* Configured a second time: against the protocol, so it ends itself. */
	assert_int_equal(verifier_configure(v, &(struct ssh_wire_config){.network = "x"}), 0);
	pid = waitpid(-1, NULL, 0);
	assert_true(pid > 0);
	assert_true(verifier_machine(v, "backup", &client, 1, &d) < 0);
	assert_false(verifier_reaped(v, pid + 1));
	assert_true(verifier_reaped(v, pid));
	assert_true(verifier_again(v, 1, &d) < 0);
	verifier_stop(v);
	assert_true(verifier_again(NULL, 1, &d) < 0);
	verifier_stop(NULL);
}

static void locked_accounts(void **state)
{
	(void)state;
	assert_true(account_locked("!$y$j9T$x"));
	assert_true(account_locked("!x"));
	assert_false(account_locked("!")); /* never had a password: keys and certificates only */
	assert_false(account_locked("!!"));
	assert_false(account_locked("*"));
	assert_false(account_locked("!*"));
	assert_false(account_locked("$y$j9T$x"));
	assert_false(account_locked(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(proofs),
		cmocka_unit_test(dead_child),
		cmocka_unit_test(locked_accounts),
	};

	if (sodium_init() < 0)
		return 1;
	signal(SIGPIPE, SIG_IGN);
	crypto_sign_keypair(signing_public, signing);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
