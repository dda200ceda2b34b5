/* SPDX-License-Identifier: Apache-2.0
 *
 * The escape character of a terminal session (ssh(1), "ESCAPE CHARACTERS"): known only behind a
 * line's start. Pure.
 */
#ifndef WARREN_SSH_CLIENT_ESCAPE_H
#define WARREN_SSH_CLIENT_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum client_escape_event {
	CLIENT_ESCAPE_NONE,
	CLIENT_ESCAPE_DISCONNECT, /* ~. */
	CLIENT_ESCAPE_SUSPEND,	  /* ~^Z */
	CLIENT_ESCAPE_LIST,	  /* ~# */
	CLIENT_ESCAPE_HELP,	  /* ~? */
};

struct client_escape {
	int character;		     /* -1: none */
	bool inside_line, half_done; /* half_done: the character came at a line's start */
};

/* Takes from in[len] up to the first event: *ret_used bytes. Writes what goes to the server to out,
 * which has room for len + 1, and returns how much. */
size_t client_escape_filter(struct client_escape *e, const uint8_t *in, size_t len, uint8_t *out,
			    size_t *ret_used, enum client_escape_event *ret_event);

#endif
