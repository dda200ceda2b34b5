/* SPDX-License-Identifier: Apache-2.0
 *
 * warren ssh-cert: a certificate for scripts and other SSH clients. warren ca show: the key that
 * signs certificates for a machine, for a stock sshd's TrustedUserCAKeys.
 */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/keyfile.h"
#include "cli/prompt.h"
#include "platform/file.h"
#include "platform/secret.h"

#define CERT_USAGE                                                                                 \
	"ssh-cert --out FILE [USER@]HOST          new key in FILE, certificate in FILE-cert.pub\n" \
	"       warren ssh-cert --key FILE.pub [--out CERTIFICATE] [USER@]HOST\n"                  \
	"       both: [--token-file FILE | --no-browser] [--qr] [--batch]"

struct wanted {
	const char *key, *out, *token_file;
	char host[256], user[128];
	bool batch;
	struct prompt prompt;
};

static int parse(int argc, char **argv, struct wanted *w)
{
	const char *target = NULL, *at;
	int i;

	for (i = 1; i < argc; i++) {
		const char *value = "";

		if (cli_option(argv, &i, "--key", &value))
			w->key = value;
		else if (cli_option(argv, &i, "--out", &value))
			w->out = value;
		else if (cli_option(argv, &i, "--token-file", &value))
			w->token_file = value;
		else if (!cli_switch(argv[i], "--batch", &w->batch) &&
			 !cli_switch(argv[i], "--no-browser", &w->prompt.no_browser) &&
			 !cli_switch(argv[i], "--qr", &w->prompt.qr)) {
			if (argv[i][0] == '-' || target != NULL)
				return -EINVAL;
			target = argv[i];
		}
		if (value == NULL)
			return -EINVAL;
	}
	if (target == NULL || (w->key == NULL && w->out == NULL))
		return -EINVAL;
	at = strrchr(target, '@');
	if (at != NULL) {
		snprintf(w->user, sizeof(w->user), "%.*s", (int)(at - target), target);
	} else {
		const struct passwd *pw = getpwuid(getuid());

		snprintf(w->user, sizeof(w->user), "%s", pw != NULL ? pw->pw_name : "root");
	}
	snprintf(w->host, sizeof(w->host), "%s", at != NULL ? at + 1 : target);
	return w->host[0] != '\0' && w->user[0] != '\0' ? 0 : -EINVAL;
}

/* The first two words of a public key file: what follows is a comment. */
static int read_public_key(const struct cli *c, const char *path, char *out, size_t cap)
{
	struct buffer b;
	const char *text;
	size_t len;
	int r;

	buffer_init(&b, cap - 1);
	r = file_read(path, &b);
	text = r == 0 ? buffer_cstring(&b) : NULL;
	if (r == 0 && text == NULL)
		r = -ENOMEM;
	if (r == 0) {
		len = strcspn(text, " \r\n");
		if (text[len] == ' ')
			len += 1 + strcspn(text + len + 1, " \r\n");
		snprintf(out, cap, "%.*s", (int)len, text);
		if (strncmp(out, "-----", 5) == 0)
			r = -EINVAL;
	}
	buffer_done(&b);
	if (r == -EINVAL)
		return cli_fail(c, WARREN_EXIT_FAILED, "%s is a private key: name the .pub file",
				path);
	if (r < 0)
		return cli_fail(c, WARREN_EXIT_FAILED, "cannot read %s: %s", path, strerror(-r));
	return 0;
}

static int write_text(const struct cli *c, const char *path, const char *text, mode_t mode)
{
	int r = file_write_atomic(path, text, strlen(text), mode);

	return r < 0 ? cli_fail(c, WARREN_EXIT_FAILED, "cannot write %s: %s", path, strerror(-r))
		     : 0;
}

static int deliver(const struct cli *c, const struct wanted *w, const struct keyfile *key,
		   const json_t *answer)
{
	const char *certificate = json_string_value(json_object_get(answer, "certificate"));
	char line[12288], note[512], path[4096], private_key[KEYFILE_TEXT];
	int code;

	if (certificate == NULL)
		return cli_fail(c, WARREN_EXIT_DENIED, "%s",
				cli_text(answer, "note", note, sizeof(note)));
	snprintf(line, sizeof(line), "%s\n", certificate);
	if (w->key != NULL && w->out == NULL && c->json) {
		cli_print_json(answer);
		return 0;
	}
	if (w->key != NULL && w->out == NULL)
		return fputs(line, stdout) < 0 || fflush(stdout) != 0 ? WARREN_EXIT_FAILED : 0;
	if (w->key != NULL)
		return write_text(c, w->out, line, 0644);
	if (snprintf(path, sizeof(path), "%s-cert.pub", w->out) >= (int)sizeof(path))
		return cli_fail(c, WARREN_EXIT_USAGE, "--out: the path is too long");
	if (keyfile_text(key, private_key) < 0)
		return cli_fail(c, WARREN_EXIT_FAILED, "the key cannot be written");
	code = write_text(c, w->out, private_key, 0600);
	secret_wipe(private_key, sizeof(private_key));
	return code != 0 ? code : write_text(c, path, line, 0644);
}

int cli_ssh_cert(const struct cli *c, int argc, char **argv)
{
	struct wanted w = {0};
	struct keyfile key = {0};
	char public_key[8192];
	json_t *request = NULL, *answer = NULL;
	char *token = NULL;
	int code = 0;

	if (parse(argc, argv, &w) < 0)
		return cli_usage(CERT_USAGE);
	if (w.key != NULL) {
		code = read_public_key(c, w.key, public_key, sizeof(public_key));
	} else {
		keyfile_generate(&key);
		snprintf(public_key, sizeof(public_key), "%s", key.public_text);
	}
	if (code == 0 && w.token_file != NULL)
		code = cli_read_token(c, w.token_file, &token);
	if (code == 0) {
		request = json_pack("{s:s,s:s,s:s,s:s,s:b,s:b}", "cmd", "ssh_prepare", "host",
				    w.host, "user", w.user, "public_key", public_key, "interactive",
				    (int)!w.batch, "no_browser", (int)w.prompt.no_browser);
		if (request != NULL) /* who will use it from where is the script's business */
			json_object_set_new(request, "jump", json_true());
		if (token != NULL && request != NULL)
			json_object_set_new(request, "workload_token", json_string(token));
		code = cli_request(c, request, prompt_event, &w.prompt, &answer);
	}
	secret_free(token);
	if (code == 0)
		code = deliver(c, &w, &key, answer);
	json_decref(answer);
	keyfile_wipe(&key);
	return code;
}

int cli_ssh_token(const struct cli *c, int argc, char **argv)
{
	struct prompt prompt = {0};
	json_t *answer = NULL;
	const char *token;
	int code;

	for (int i = 1; i < argc; i++)
		if (!cli_switch(argv[i], "--no-browser", &prompt.no_browser) &&
		    !cli_switch(argv[i], "--qr", &prompt.qr))
			return cli_usage("ssh-token [--no-browser] [--qr]");
	code = cli_request(c, json_pack("{s:s}", "cmd", "ssh_token"), prompt_event, &prompt,
			   &answer);
	token = json_string_value(json_object_get(answer, "token"));
	if (code == 0 && c->json)
		cli_print_json(answer);
	else if (code == 0 && token != NULL)
		code = puts(token) < 0 || fflush(stdout) != 0 ? WARREN_EXIT_FAILED : 0;
	else if (code == 0)
		code = cli_fail(c, WARREN_EXIT_FAILED, "the daemon's answer has no token");
	json_decref(answer);
	return code;
}

int cli_ca(const struct cli *c, int argc, char **argv)
{
	json_t *request, *answer = NULL;
	const json_t *key;
	size_t i;
	int code;

	if (argc < 2 || argc > 3 || strcmp(argv[1], "show") != 0)
		return cli_usage("ca show [PEER]");
	request = json_pack("{s:s}", "cmd", "ssh_ca");
	if (request != NULL && argc == 3)
		json_object_set_new(request, "host", json_string(argv[2]));
	code = cli_request(c, request, NULL, NULL, &answer);
	if (code == 0 && c->json)
		cli_print_json(answer);
	else if (code == 0)
		json_array_foreach(json_object_get(answer, "keys"), i, key) if (json_is_string(key))
			puts(json_string_value(key));
	json_decref(answer);
	return code;
}
