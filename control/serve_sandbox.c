/* SPDX-License-Identifier: Apache-2.0
 *
 * What the HTTP process may ask the kernel for once it has its account: what sandbox_service lists,
 * its database's files and the end of its signer. libcurl and the name services of the system load
 * plug-ins into it: what they try beyond that fails, and they go on without.
 */
#include <fcntl.h>
#include <stddef.h>

#include "control/serve.h"
#include "platform/sandbox.h"

static const char *const calls[] = {"wait4", "fchown", NULL};

static const struct sandbox_rule rules[] = {
	{"fcntl", 1, F_GETLK, 0}, /* the database's locks */
	{NULL, 0, 0, 0},
};

int serve_sandbox_enter(struct error *err)
{
	const struct sandbox_profile profile = {
		.name = "control",
		.base = &sandbox_service,
		.allow = calls,
		.rules = rules,
		.lenient = 1,
	};

	return sandbox_apply(&profile, err);
}
