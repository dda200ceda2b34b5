/* SPDX-License-Identifier: Apache-2.0
 *
 * The local terminal of warren-ssh: raw while a session has it, and given back as it was on every
 * way out, crashes included. One terminal for a process: its state is global, because signal
 * handlers and atexit get no context.
 */
#ifndef WARREN_SSH_CLIENT_TERMINAL_H
#define WARREN_SSH_CLIENT_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

#include "platform/error.h"

/* Every byte as it is typed. -errno. */
int client_terminal_raw(int fd) WARREN_MUST_USE;
/* As it was; does nothing when it is not raw. */
void client_terminal_restore(void);
bool client_terminal_is_raw(void);
/* 80 and 24 where nobody knows. */
void client_terminal_size(int fd, int *ret_cols, int *ret_rows);
/* What happens while a person is asked: fd became readable, the terminal is as it was before; false
 * gives up. */
struct client_terminal_events {
	int fd;
	bool (*happened)(void *ctx);
	void *ctx;
};
/* Asks on /dev/tty, without echo when it is a secret. -ENOTTY without a terminal, -ECANCELED. The
 * answer is for the caller to wipe. */
int client_terminal_ask(const char *prompt, bool echo, const struct client_terminal_events *events,
			char *out, size_t cap) WARREN_MUST_USE;
/* Copies text of the other side so that a terminal can show it: no control characters but line ends
 * and tabs, no broken UTF-8, and ASCII only where the terminal has nothing else. */
void client_terminal_clean(char *out, size_t cap, const char *text);
/* The same on one line, for a sentence of ours to go on with. */
void client_terminal_clean_line(char *out, size_t cap, const char *text);

#endif
