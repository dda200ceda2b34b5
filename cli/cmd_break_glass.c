/* SPDX-License-Identifier: Apache-2.0
 *
 * warren break-glass: the CAs of an offline kind whose certificates this machine takes without the
 * control server. By root, through the broker's own socket; certificates are made with ssh-keygen,
 * where the CA's key is.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "platform/buffer.h"
#include "platform/file.h"

#define USAGE                                                                                      \
	"break-glass pin CA.pub           certificates of this CA log in here from now on\n"       \
	"       warren break-glass unpin FINGERPRINT | all\n"                                      \
	"       warren break-glass revoke SERIAL\n"                                                \
	"       warren break-glass show"

/* The one line of a public key file. */
static int read_line(const struct cli *c, const char *path, char *out, size_t cap)
{
	struct buffer b;
	const char *text = NULL;
	size_t len;
	int r;

	buffer_init(&b, cap - 1);
	r = file_read(path, &b);
	if (r == 0)
		text = buffer_cstring(&b);
	if (r == 0 && text == NULL)
		r = -ENOMEM;
	if (r == 0) {
		len = strcspn(text, "\r\n");
		snprintf(out, cap, "%.*s", (int)len, text);
		if (text[len + strspn(text + len, "\r\n")] != '\0')
			r = -EINVAL;
	}
	buffer_done(&b);
	if (r == -EINVAL)
		return cli_fail(c, WARREN_EXIT_FAILED, "%s holds more than one public key", path);
	return r < 0 ? cli_fail(c, WARREN_EXIT_FAILED, "cannot read %s: %s", path, strerror(-r))
		     : 0;
}

static void print(const json_t *result)
{
	const json_t *list = json_object_get(result, "keys"), *item;
	char line[256];
	size_t i;

	if (json_array_size(list) == 0)
		puts("No break-glass CA is pinned on this machine.");
	json_array_foreach(list, i, item) printf("%s\n",
						 cli_text(item, "fingerprint", line, sizeof(line)));
	list = json_object_get(result, "revoked");
	json_array_foreach(list, i, item) if (json_is_string(item))
		printf("revoked: serial %s\n", json_string_value(item));
}

int cli_break_glass(const struct cli *c, int argc, char **argv)
{
	json_t *request = json_pack("{s:s}", "cmd", "break_glass"), *result = NULL;
	const char *verb = argc > 1 ? argv[1] : "";
	char line[2048];
	int code = 0;

	if (request == NULL)
		return WARREN_EXIT_FAILED;
	if (argc == 3 && strcmp(verb, "pin") == 0) {
		code = read_line(c, argv[2], line, sizeof(line));
		if (code == 0)
			json_object_set_new(request, "pin", json_string(line));
	} else if (argc == 3 && (strcmp(verb, "unpin") == 0 || strcmp(verb, "revoke") == 0)) {
		json_object_set_new(request, verb, json_string(argv[2]));
	} else if (argc != 2 || strcmp(verb, "show") != 0) {
		code = cli_usage(USAGE);
	}
	if (code != 0) {
		json_decref(request);
		return code;
	}
	code = cli_request_root(c, request, &result);
	if (code == 0 && c->json)
		cli_print_json(result);
	else if (code == 0)
		print(result);
	json_decref(result);
	return code;
}
