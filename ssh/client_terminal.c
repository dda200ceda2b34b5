/* SPDX-License-Identifier: Apache-2.0
 *
 * See client_terminal.h.
 */
#include "ssh/client_terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "platform/file.h"

static struct {
	struct termios saved;
	int fd;
	volatile sig_atomic_t raw;
	bool registered;
} terminal;

void client_terminal_restore(void)
{
	if (!terminal.raw)
		return;
	terminal.raw = 0;
	(void)tcsetattr(terminal.fd, TCSADRAIN, &terminal.saved);
}

bool client_terminal_is_raw(void)
{
	return terminal.raw;
}

/* The default action follows. TCSANOW: what is in the way must not hold us up. */
static void on_crash(int sig)
{
	if (terminal.raw)
		(void)tcsetattr(terminal.fd, TCSANOW, &terminal.saved);
	raise(sig);
}

static void prepare_ways_out(void)
{
	static const int crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS};
	struct sigaction action = {.sa_handler = on_crash};

	if (terminal.registered)
		return;
	terminal.registered = true;
	action.sa_flags = (int)(SA_RESETHAND | SA_NODEFER);
	for (size_t i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++)
		(void)sigaction(crashes[i], &action, NULL);
	(void)atexit(client_terminal_restore);
}

int client_terminal_raw(int fd)
{
	struct termios mode;

	if (terminal.raw)
		return 0;
	if (tcgetattr(fd, &terminal.saved) < 0)
		return -errno;
	prepare_ways_out();
	mode = terminal.saved;
	cfmakeraw(&mode);
	terminal.fd = fd;
	terminal.raw = 1;
	if (tcsetattr(fd, TCSADRAIN, &mode) < 0) {
		terminal.raw = 0;
		return -errno;
	}
	return 0;
}

void client_terminal_size(int fd, int *ret_cols, int *ret_rows)
{
	struct winsize size = {0};

	if (ioctl(fd, TIOCGWINSZ, &size) < 0 || size.ws_col == 0 || size.ws_row == 0) {
		size.ws_col = 80;
		size.ws_row = 24;
	}
	*ret_cols = size.ws_col;
	*ret_rows = size.ws_row;
}

/* What was typed so far is in the terminal's line, or, without one, lost. 1: something happened. */
static int read_line(int tty, int events_fd, char *out, size_t cap)
{
	struct pollfd polls[2] = {{.fd = tty, .events = POLLIN},
				  {.fd = events_fd, .events = POLLIN}};
	size_t n = 0;

	for (;;) {
		char c;
		ssize_t got;

		if (poll(polls, 2, -1) < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (polls[1].revents)
			return 1;
		got = read(tty, &c, 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return n > 0 ? 0 : -ECANCELED;
		if (c == '\n' || c == '\r')
			break;
		if (n + 1 < cap)
			out[n++] = c;
	}
	out[n] = '\0';
	return 0;
}

int client_terminal_ask(const char *prompt, bool echo, const struct client_terminal_events *events,
			char *out, size_t cap)
{
	struct termios saved, mode;
	int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	int r;

	out[0] = '\0';
	if (tty < 0)
		return -ENOTTY;
	if (tcgetattr(tty, &saved) < 0) {
		close(tty);
		return -ENOTTY;
	}
	mode = saved;
	if (!echo)
		mode.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
	do {
		(void)tcsetattr(tty, TCSADRAIN, &mode);
		r = file_write_all(tty, prompt, strlen(prompt));
		if (r == 0)
			r = read_line(tty, events->fd, out, cap);
		(void)tcsetattr(tty, TCSADRAIN, &saved);
		if (!echo || r != 0)
			(void)!write(tty, "\n", 1);
		if (r == 1 && !events->happened(events->ctx))
			r = -ECANCELED;
	} while (r == 1);
	close(tty);
	return r;
}

/* How many bytes a well-formed character beyond ASCII has, 0 when it is none or a control (C1). */
static size_t utf8_length(const unsigned char *p)
{
	size_t len = p[0] >= 0xc2 && p[0] <= 0xdf   ? 2
		     : p[0] >= 0xe0 && p[0] <= 0xef ? 3
		     : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4
						    : 0;

	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	if (len == 2 && p[0] == 0xc2 && p[1] < 0xa0)
		return 0;
	if ((len == 3 && p[0] == 0xe0 && p[1] < 0xa0) ||
	    (len == 3 && p[0] == 0xed && p[1] > 0x9f) ||
	    (len == 4 && p[0] == 0xf0 && p[1] < 0x90) || (len == 4 && p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	/* What turns the direction of writing makes a line say something else than it does. */
	if (len == 3 && p[0] == 0xe2 &&
	    ((p[1] == 0x80 && p[2] >= 0xaa && p[2] <= 0xae) ||
	     (p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9)))
		return 0;
	return len;
}

void client_terminal_clean(char *out, size_t cap, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;
	bool utf8;
	size_t n = 0;

	setlocale(LC_CTYPE, "");
	utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
	while (*p && n + 4 < cap) {
		size_t len = *p < 0x80 ? 1 : utf8 ? utf8_length(p) : 0;

		if (len > 1) {
			memcpy(out + n, p, len);
			n += len;
		} else if (*p == '\n' || *p == '\t' || (len == 1 && *p >= 0x20 && *p != 0x7f)) {
			out[n++] = (char)*p;
		} else if (*p != '\r') {
			out[n++] = '?';
		}
		p += len > 1 ? len : 1;
	}
	out[n] = '\0';
}

void client_terminal_clean_line(char *out, size_t cap, const char *text)
{
	client_terminal_clean(out, cap, text);
	for (char *p = out; *p; p++) {
		if (*p == '\n' || *p == '\t')
			*p = ' ';
	}
}
