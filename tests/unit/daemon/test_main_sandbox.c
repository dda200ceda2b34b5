/* SPDX-License-Identifier: Apache-2.0
 *
 * What main may still do in its sandbox, and what it may not (daemon/main_sandbox.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/main.h"
#include "tests/support/confined.h"

static int own(void)
{
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
	int fd = memfd_create("x", MFD_ALLOW_SEALING | MFD_CLOEXEC);

	if (fd < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) != 0 ||
	    fcntl(fd, F_GET_SEALS) != F_SEAL_SHRINK)
		return 50;
	if (if_nametoindex("lo") == 0)
		return 51;
	if (mkdirat(AT_FDCWD, "/tmp", 0700) != -1 || errno != EEXIST)
		return 52;
	if (inotify_init1(IN_CLOEXEC) < 0)
		return 53;
	/* These are the control server's. */
	if (waitpid(-1, NULL, WNOHANG) != -1 || errno != EPERM)
		return 54;
	if (fcntl(fd, F_GETLK, &lock) != -1 || errno != EPERM)
		return 55;
	if (fchown(fd, 0, 0) != -1 || errno != EPERM)
		return 56;
	return 0;
}

static void as_every_service(void **state)
{
	(void)state;
	assert_int_equal(confined(main_sandbox_enter, own), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_every_service),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
