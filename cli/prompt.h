/* SPDX-License-Identifier: Apache-2.0
 *
 * Showing a person where to log in: URL, code, QR code, and the browser where there is a desktop.
 */
#ifndef WARREN_CLI_PROMPT_H
#define WARREN_CLI_PROMPT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

struct prompt {
	bool jump; /* the login is for a connection that another machine will make (ssh -J) */
	FILE *out; /* NULL: stderr */
	bool no_browser;
	bool qr;
	bool shown;
	bool piped; /* ssh reads standard output: nobody waits once it has closed it */
};

/* Can a browser be opened on this machine, so that a login may come back to it? Not with a QR code,
 * which is for another device. */
bool prompt_has_browser(const struct prompt *p);

/* An on_event callback of cli_request; ctx is a struct prompt. */
void prompt_event(void *ctx, const json_t *event);

#endif
