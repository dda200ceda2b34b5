/* SPDX-License-Identifier: Apache-2.0
 *
 * sshd_config(5): any text is refused with a sentence or gives values that can be shown, and the text
 * that the broker hands to a monitor means the same.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ssh/config/sshd_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int include(void *ctx, struct sshd_config *c, const char *pattern, struct error *err)
{
	const struct sshd_source more = {"more", "Match Peer b*\nPermitTTY no\n", 27};

	(void)ctx;
	(void)pattern;
	return sshd_config_parse_more(c, &more, err);
}

static struct sshd_config *parse(const char *name, const void *data, size_t len, bool must)
{
	const struct sshd_source source = {name, data, len};
	struct sshd_config *c = NULL;
	struct error err = {0};

	if (sshd_config_new(&c) < 0)
		abort();
	if (sshd_config_parse(c, &source, must ? NULL : include, NULL, &err) == 0)
		return c;
	if (must || err.code == 0 || err.text[0] == '\0')
		abort();
	sshd_config_free(c);
	return NULL;
}

static void show(const struct sshd_config *c, const struct sshd_query *q, struct buffer *out)
{
	static struct sshd_options o;

	sshd_config_evaluate(c, q, &o);
	/* Names are not looked up here. */
	o.listen.count = 0;
	if (sshd_config_show(&o, out) < 0 || o.max_auth_tries == 0 || o.ciphers[0] == '\0')
		abort();
	(void)sshd_user_refused(&o, q);
	(void)sshd_may_open(&o, "host", 22);
	(void)sshd_may_listen(&o, "localhost", 22);
	(void)sshd_env_accepted(&o, "LANG");
	(void)sshd_timeout_of(&o, "session:shell");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char *const groups[] = {"wheel", "users"};
	struct sshd_query q = {.user = "alice", .host = "h", .peer = "build-1",
			       .identity = "alice@example.com", .groups = groups,
			       .group_count = 2, .local_port = 22};
	struct sshd_config *c, *again;
	struct buffer text, first, second;

	if (len > 32768 || ip_addr_parse("10.0.0.1", &q.address) < 0 ||
	    ip_addr_parse("fd00::1", &q.local_address) < 0)
		return 0;
	c = parse("fuzz", data, len, false);
	if (c == NULL)
		return 0;
	buffer_init(&text, 1 << 22);
	buffer_init(&first, 1 << 22);
	buffer_init(&second, 1 << 22);
	if (sshd_config_text(c, &text) < 0)
		abort();
	again = parse("text", text.data, text.len, true);
	show(c, &q, &first);
	show(again, &q, &second);
	if (first.len != second.len || memcmp(first.data, second.data, first.len) != 0)
		abort();
	sshd_config_free(c);
	sshd_config_free(again);
	buffer_done(&text);
	buffer_done(&first);
	buffer_done(&second);
	return 0;
}
