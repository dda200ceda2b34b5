/* SPDX-License-Identifier: Apache-2.0
 *
 * Policy text: parse, test, slice and compile whatever comes; what parses must slice to text that
 * parses, and compile to a block that the filter takes.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "policy/filter.h"
#include "policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct policy_world *make_world(void)
{
	static const char *const people[] = {"alice@example.com"};
	const struct policy_peer peers[] = {
		{.id = "p_1",
		 .name = "first",
		 .v4 = {4, {100, 64, 0, 1}},
		 .identities = people,
		 .identity_count = 1,
		 .setup_key = "ci",
		 .ssh_enabled = true,
		 .ssh_advertised = true},
		{.id = "p_2",
		 .name = "db-1",
		 .v4 = {4, {100, 64, 0, 9}},
		 .v6 = {6, {0xfd, [15] = 9}}},
	};
	static const char *const groups[] = {"web"};
	struct policy_world *w;

	if (policy_world_new(&w) || policy_world_add_peer(w, &peers[0]) ||
	    policy_world_add_peer(w, &peers[1]) ||
	    policy_world_add_identity(w, "alice@example.com", groups, 1))
		abort();
	return w;
}

static void use(const struct policy *p, const struct policy_world *w)
{
	static const uint8_t seed[16] = {0};
	struct error err = {0};
	struct policy *again;
	struct buffer out;
	struct filter *f;
	void *blob;
	size_t len;

	static const char *const logins[] = {"deploy", "root", "alice"};

	for (size_t i = 0; i < 3; i++) {
		const struct policy_ssh_query query = {.identity = "alice@example.com",
						       .caller_peer = "p_2",
						       .target_peer = "p_1",
						       .login = logins[i],
						       .auth_time_s = 1700000000,
						       .now_s = 1700000000};
		struct policy_ssh_decision d;

		policy_ssh_check(p, w, &query, &d);
		/* A command is for a session, and nobody is confined to files as well. */
		if (d.force_command[0] && (!(d.caps & POLICY_SSH_SESSIONS) || d.files_only))
			abort();
	}
	(void)!policy_run_tests(p, NULL, 1700000000, &err);
	(void)!policy_run_tests(p, w, 1700000000, &err);
	buffer_init(&out, POLICY_MAX_TEXT * 8u);
	if (policy_slice(p, w, "p_1", &out) ||
	    policy_parse("slice", (const char *)out.data, out.len, &again, &err))
		abort();
	policy_free(again);
	buffer_reset(&out);
	(void)!policy_explain(p, w, "first", "db-1", 6, 22, 1700000000, &out, &err);
	buffer_done(&out);
	if (policy_compile(p, w, "p_1", 1700000000, &blob, &len, &err) ||
	    filter_new(16, seed, &f) || filter_set_rules(f, blob, len))
		abort();
	filter_free(f);
	free(blob);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = {0};
	struct policy *p;

	if (size > 65536)
		return 0;
	if (policy_parse("fuzz", (const char *)data, size, &p, &err)) {
		if (strncmp(err.text, "fuzz:", 5) != 0)
			abort(); /* every refusal says where */
		return 0;
	}
	struct policy_world *w = make_world();
	use(p, w);
	policy_world_free(w);
	policy_free(p);
	return 0;
}
