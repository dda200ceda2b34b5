/* SPDX-License-Identifier: Apache-2.0
 *
 * Endpoints and the monitor's configuration: what is read is written back byte for byte, so that
 * there is one spelling of each. Names for ssh: the text has only names between what is fixed.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/ssh_names.h"
#include "daemon/wire.h"
#include "ssh/wire/ssh_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every line that main has a part in. */
static void check_names(const char *text)
{
	static const char head[] = "Match host ",
			  end[] = " exec \"/w openssh detect %h %p %r %C\"\n",
			  every[] = "!*.*,!*:*,*";

	for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1) {
		size_t len;

		if (*line == ' ')
			continue;
		if (strcspn(line, "\n") > 1000 || strncmp(line, head, strlen(head)) != 0)
			abort();
		line += strlen(head);
		len = strspn(line, "abcdefghijklmnopqrstuvwxyz0123456789-,");
		if (strncmp(line, every, strlen(every)) == 0)
			len = strlen(every);
		if (len == 0 || strncmp(line + len, end, strlen(end)) != 0)
			abort();
	}
}

static void names(const uint8_t *data, size_t size)
{
	struct reader r = reader_init(data, size);
	struct buffer text;

	buffer_init(&text, 1u << 20);
	if (ssh_names_text(&r, "/w", &text) == 0) {
		const char *out = buffer_cstring(&text);

		if (out == NULL)
			abort();
		check_names(out);
	}
	buffer_done(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t out[2048];
	struct writer w = writer_init(out, sizeof(out));
	struct reader r = reader_init(data, size);
	struct ssh_wire_config config;
	struct endpoint ep;

	names(data, size);
	wire_get_endpoint(&r, &ep);
	if (!r.failed) {
		wire_put_endpoint(&w, &ep);
		if (w.failed || w.len != r.at || memcmp(out, data, w.len) != 0)
			abort();
	}
	r = reader_init(data, size);
	if (ssh_wire_config_get(&r, &config) == 0) {
		w = writer_init(out, sizeof(out));
		ssh_wire_config_put(&w, &config);
		if (w.failed)
			abort();
	}
	return 0;
}
