/* SPDX-License-Identifier: Apache-2.0
 *
 * What local programs and a server send to warren-ssh and its own code reads: SOCKS requests of -D,
 * typed bytes with escapes, and text that a terminal shows.
 */
#include <stdlib.h>
#include <string.h>

#include "ssh/client_escape.h"
#include "ssh/client_options.h"
#include "ssh/client_socks.h"
#include "ssh/client_terminal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

static void socks(const uint8_t *data, size_t size)
{
	struct client_socks s = {0};

	for (size_t i = 0; i < size; i++) {
		enum client_socks_result r = client_socks_byte(&s, data[i]);

		REQUIRE(s.reply_len <= sizeof(s.reply));
		if (r == CLIENT_SOCKS_CONNECT) {
			REQUIRE(s.port != 0 && s.host[0] != '\0');
			REQUIRE(memchr(s.host, '\0', sizeof(s.host)) != NULL);
			for (const char *p = s.host; *p; p++)
				REQUIRE(*p > ' ' && *p < 0x7f);
		}
		if (r == CLIENT_SOCKS_CONNECT || r == CLIENT_SOCKS_BAD)
			return;
	}
}

static void escapes(const uint8_t *data, size_t size)
{
	struct client_escape e = {.character = '~'};
	uint8_t *out = malloc(size + 1);

	REQUIRE(out != NULL);
	for (size_t at = 0; at < size;) {
		enum client_escape_event event;
		size_t used = 0;
		size_t n = client_escape_filter(&e, data + at, size - at, out, &used, &event);

		REQUIRE(used > 0 && used <= size - at && n <= used + 1);
		at += used;
	}
	free(out);
}

static void texts(const char *text, size_t size)
{
	char *out = malloc(size + 8);
	struct client_forward f;
	struct error err = {0};

	REQUIRE(out != NULL);
	client_terminal_clean(out, size + 8, text);
	REQUIRE(strlen(out) <= size);
	for (const char *p = out; *p; p++)
		REQUIRE(*p == '\n' || *p == '\t' || ((unsigned char)*p >= 0x20 && *p != 0x7f));
	if (client_forward_parse(&f, CLIENT_FORWARD_REMOTE, text, &err) == 0)
		REQUIRE(f.host_port != 0 && f.host[0] != '\0');
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	REQUIRE(text != NULL);
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	socks(data, size);
	escapes(data, size);
	texts(text, size);
	free(text);
	return 0;
}
