/* SPDX-License-Identifier: Apache-2.0
 *
 * What main may ask the kernel for (daemon/PROTOCOL.md): what sandbox_service lists, sealed memory
 * for the engine, names of interfaces, and a watch on files. libcurl and the name services of the
 * system load plug-ins into it: what they try beyond that fails, and they go on without.
 */
#include <fcntl.h>
#include <linux/sockios.h>
#include <stddef.h>

#include "daemon/main.h"
#include "platform/sandbox.h"

static const char *const calls[] = {
	"memfd_create", "mkdirat", "inotify_init1", "inotify_add_watch", "inotify_rm_watch", NULL,
};

static const struct sandbox_rule rules[] = {
	{"ioctl", 1, SIOCGIFINDEX, 0},
	{"ioctl", 1, SIOCGIFNAME, 0},
	{"fcntl", 1, F_ADD_SEALS, 0},
	{"fcntl", 1, F_GET_SEALS, 0},
	{NULL, 0, 0, 0},
};

int main_sandbox_enter(struct error *err)
{
	const struct sandbox_profile profile = {
		.name = "main",
		.base = &sandbox_service,
		.allow = calls,
		.rules = rules,
		.lenient = 1,
	};

	return sandbox_apply(&profile, err);
}
