/* SPDX-License-Identifier: Apache-2.0
 *
 * Preloaded into the programs of a test (/etc/ld.so.preload of its box): moves all their clocks by the
 * seconds that CLOCK_JUMP_FILE (8 bytes) holds at the moment, and what sleeps in poll or epoll wakes when
 * its time is over by the moved clock. Other programs (shells, curl) keep the machine's time.
 * With clock_wall.c.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define SLICE_MS 50

static const volatile int64_t *jump;

/* The compiler knows nothing of pointers to functions behind a void *. */
#define REAL(name, type) (*(type **)&(void *[1]){dlsym(RTLD_NEXT, name)}[0])

typedef int clock_gettime_fn(clockid_t, struct timespec *);
typedef int poll_fn(struct pollfd *, nfds_t, int);
typedef int ppoll_fn(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *);
typedef int epoll_fn(int, struct epoll_event *, int, int, const sigset_t *);

static clock_gettime_fn *real_clock_gettime;
static poll_fn *real_poll;
static ppoll_fn *real_ppoll;
static epoll_fn *real_epoll_pwait;

static void find(void)
{
	real_poll = REAL("poll", poll_fn);
	real_ppoll = REAL("ppoll", ppoll_fn);
	real_epoll_pwait = REAL("epoll_pwait", epoll_fn);
	real_clock_gettime = REAL("clock_gettime", clock_gettime_fn);
}

__attribute__((constructor)) static void begin(void)
{
	const char *name = program_invocation_short_name;
	void *page;
	int fd;

	if (real_clock_gettime == NULL)
		find();
	if (strncmp(name, "warren", 6) != 0 && strcmp(name, "ssh") != 0)
		return;
	fd = open(CLOCK_JUMP_FILE, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	page = mmap(NULL, sizeof(*jump), PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (page != MAP_FAILED)
		jump = page;
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
	int r;

	if (real_clock_gettime == NULL)
		find();
	r = real_clock_gettime(id, ts);
	if (r == 0 && jump != NULL && id != CLOCK_PROCESS_CPUTIME_ID &&
	    id != CLOCK_THREAD_CPUTIME_ID)
		ts->tv_sec += *jump;
	return r;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* How long to sleep now on the way to until_ms; 0 when that is over. */
static int slice(int64_t until_ms)
{
	int64_t left = until_ms - now_ms();

	return left <= 0 ? 0 : left < SLICE_MS ? (int)left : SLICE_MS;
}

int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *limit, const sigset_t *mask)
{
	int64_t until_ms;
	int r;

	if (real_ppoll == NULL)
		find();
	if (jump == NULL || limit == NULL)
		return real_ppoll(fds, n, limit, mask);
	until_ms = now_ms() + (int64_t)limit->tv_sec * 1000 + (limit->tv_nsec + 999999) / 1000000;
	for (;;) {
		int ms = slice(until_ms);
		struct timespec part = {.tv_nsec = ms * 1000000L};

		r = real_ppoll(fds, n, &part, mask);
		if (r != 0 || ms == 0)
			return r;
	}
}

int poll(struct pollfd *fds, nfds_t n, int limit_ms)
{
	struct timespec limit = {limit_ms / 1000, limit_ms % 1000 * 1000000L};

	if (real_poll == NULL)
		find();
	return jump == NULL ? real_poll(fds, n, limit_ms)
			    : ppoll(fds, n, limit_ms < 0 ? NULL : &limit, NULL);
}

/* What _FORTIFY_SOURCE makes of them. */
int __poll_chk(struct pollfd *fds, nfds_t n, int limit_ms, size_t len);
int __poll_chk(struct pollfd *fds, nfds_t n, int limit_ms, size_t len)
{
	(void)len;
	return poll(fds, n, limit_ms);
}

int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *limit, const sigset_t *mask,
		size_t len);
int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *limit, const sigset_t *mask,
		size_t len)
{
	(void)len;
	return ppoll(fds, n, limit, mask);
}

int epoll_pwait(int fd, struct epoll_event *events, int most, int limit_ms, const sigset_t *mask)
{
	int64_t until_ms;
	int r;

	if (real_epoll_pwait == NULL)
		find();
	if (jump == NULL || limit_ms < 0)
		return real_epoll_pwait(fd, events, most, limit_ms, mask);
	until_ms = now_ms() + limit_ms;
	for (;;) {
		int ms = slice(until_ms);

		r = real_epoll_pwait(fd, events, most, ms, mask);
		if (r != 0 || ms == 0)
			return r;
	}
}

int epoll_wait(int fd, struct epoll_event *events, int most, int limit_ms)
{
	return epoll_pwait(fd, events, most, limit_ms, NULL);
}
