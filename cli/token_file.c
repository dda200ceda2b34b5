/* SPDX-License-Identifier: Apache-2.0
 *
 * --token-file: a workload's token, which never is an argument.
 */
#include <errno.h>
#include <string.h>

#include "cli/cli.h"
#include "platform/buffer.h"
#include "platform/file.h"
#include "platform/secret.h"

#define MAX_TOKEN 65535

int cli_read_token(const struct cli *c, const char *path, char **ret_token)
{
	struct buffer b;
	int r;

	buffer_init(&b, MAX_TOKEN);
	r = file_read(path, &b);
	while (r == 0 && b.len > 0 && strchr(" \t\r\n", b.data[b.len - 1]) != NULL)
		b.len--;
	if (r == 0 && b.len == 0)
		r = -ENODATA;
	if (r == 0) {
		secret_free(*ret_token);
		*ret_token =
			buffer_cstring(&b) != NULL ? secret_strdup((const char *)b.data) : NULL;
		r = *ret_token == NULL ? -ENOMEM : 0;
	}
	buffer_done(&b);
	return r < 0 ? cli_fail(c, WARREN_EXIT_FAILED, "cannot read a token from %s: %s", path,
				r == -ENODATA ? "it is empty" : strerror(-r))
		     : 0;
}
