/* SPDX-License-Identifier: Apache-2.0
 *
 * See client_escape.h.
 */
#include "ssh/client_escape.h"

static enum client_escape_event event_of(uint8_t byte)
{
	switch (byte) {
	case '.':
		return CLIENT_ESCAPE_DISCONNECT;
	case 'Z' - 64:
		return CLIENT_ESCAPE_SUSPEND;
	case '#':
		return CLIENT_ESCAPE_LIST;
	case '?':
		return CLIENT_ESCAPE_HELP;
	default:
		return CLIENT_ESCAPE_NONE;
	}
}

size_t client_escape_filter(struct client_escape *e, const uint8_t *in, size_t len, uint8_t *out,
			    size_t *ret_used, enum client_escape_event *ret_event)
{
	size_t n = 0;

	*ret_event = CLIENT_ESCAPE_NONE;
	for (size_t i = 0; i < len; i++) {
		if (e->half_done) {
			e->half_done = false;
			*ret_event = event_of(in[i]);
			if (*ret_event != CLIENT_ESCAPE_NONE) {
				*ret_used = i + 1;
				return n;
			}
			/* Twice: once. Else it was an ordinary character. */
			out[n++] = (uint8_t)e->character;
			e->inside_line = true;
			if (in[i] == e->character)
				continue;
		} else if (!e->inside_line && in[i] == e->character) {
			e->half_done = true;
			continue;
		}
		out[n++] = in[i];
		e->inside_line = in[i] != '\r' && in[i] != '\n';
	}
	*ret_used = len;
	return n;
}
