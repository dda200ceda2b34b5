/* SPDX-License-Identifier: Apache-2.0
 *
 * What the HTTP process may still do in its sandbox, and what it may not (control/serve_sandbox.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/serve.h"
#include "tests/support/confined.h"

static int own(void)
{
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
	int fd = open("/etc/hosts", O_RDONLY | O_CLOEXEC);

	if (waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD)
		return 50;
	if (fcntl(fd, F_GETLK, &lock) != 0)
		return 51;
	if (fchown(-1, 0, 0) != -1 || errno != EBADF)
		return 52;
	/* These are main's. */
	if (memfd_create("x", 0) != -1 || errno != EPERM)
		return 53;
	if (mkdirat(AT_FDCWD, "/tmp", 0700) != -1 || errno != EPERM)
		return 54;
	if (inotify_init1(0) != -1 || errno != EPERM)
		return 55;
	return 0;
}

static void as_every_service(void **state)
{
	(void)state;
	assert_int_equal(confined(serve_sandbox_enter, own), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_every_service),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
