/* SPDX-License-Identifier: Apache-2.0
 *
 * Login for one SSH connection (design section 8, "OpenSSH"): key made here, certificate from the
 * daemon, both written where ssh looks for them.
 */
#include "cli/openssh.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/keyfile.h"

static int port_number(const char *text)
{
	char *end = NULL;
	long port = strtol(text, &end, 10);

	return *end == '\0' && port > 0 && port <= 65535 ? (int)port : 22;
}

static int take_answer(const struct cli *c, const json_t *answer, const struct keyfile *key,
		       struct openssh_login *login)
{
	const json_t *addresses = json_object_get(answer, "addresses");
	const char *certificate = json_string_value(json_object_get(answer, "certificate"));
	char dir[160], hash[160];
	struct error err = {0};

	cli_text(answer, "fqdn", login->fqdn, sizeof(login->fqdn));
	cli_text(answer, "note", login->note, sizeof(login->note));
	cli_text(answer, "directory", dir, sizeof(dir));
	cli_text(answer, "hash", hash, sizeof(hash));
	login->port = (int)json_integer_value(json_object_get(answer, "port"));
	for (size_t i = 0; i < json_array_size(addresses) && login->address_count < 2; i++) {
		const char *text = json_string_value(json_array_get(addresses, i));

		if (text != NULL)
			snprintf(login->addresses[login->address_count++], 64, "%s", text);
	}
	if (login->address_count == 0)
		return cli_fail(c, WARREN_EXIT_FAILED, "the daemon's answer names no address of %s",
				login->fqdn);
	if (certificate == NULL)
		return 0;
	if (hash[0] == '\0')
		return cli_fail(c, WARREN_EXIT_FAILED,
				"ssh did not ask `warren openssh detect` first: the drop-in is incomplete; "
				"run `warren openssh install`");
	if (keyfile_write(key, dir, hash, certificate,
			  json_integer_value(json_object_get(answer, "valid_before")), &err) < 0)
		return cli_fail(c, WARREN_EXIT_FAILED, "%s", error_text(&err));
	snprintf(login->path, sizeof(login->path), "%s/%s", dir, hash);
	return 0;
}

int openssh_prepare(const struct cli *c, const char *host, const char *port, const char *user,
		    const char *hash, bool interactive, struct prompt *prompt,
		    struct openssh_login *ret_login)
{
	struct openssh_login login = {0};
	struct keyfile key;
	json_t *request, *answer = NULL;
	int code;

	keyfile_generate(&key);
	request = json_pack("{s:s,s:s,s:i,s:s,s:s,s:b,s:b}", "cmd", "ssh_prepare", "host", host, "port",
			    port_number(port), "user", user, "public_key", key.public_text, "interactive",
			    (int)interactive, "no_browser", (int)prompt->no_browser);
	if (request != NULL && hash != NULL)
		json_object_set_new(request, "hash", json_string(hash));
	code = cli_request(c, request, prompt_event, prompt, &answer);
	if (code == 0)
		code = take_answer(c, answer, &key, &login);
	json_decref(answer);
	keyfile_wipe(&key);
	if (code == 0)
		*ret_login = login;
	return code;
}

char *openssh_config_text(const char *self)
{
	char *text = NULL;

	if (asprintf(&text,
		     "# Written by `warren openssh install`. Peers of the mesh with SSH enabled log in with\n"
		     "# short certificates; every other host is left alone.\n"
		     "Match exec \"%s openssh detect %%h %%p %%r %%C\"\n"
		     "  ProxyUseFdpass yes\n"
		     "  ProxyCommand %s openssh proxy %%h %%p %%r\n"
		     "  IdentityFile /run/warren/u/%%i/%%C\n"
		     "  CertificateFile /run/warren/u/%%i/%%C-cert.pub\n"
		     "  KnownHostsCommand %s openssh hostkey %%H\n"
		     "  UserKnownHostsFile none\n"
		     "  GlobalKnownHostsFile none\n"
		     "  StrictHostKeyChecking yes\n"
		     "Match all\n",
		     self, self, self) < 0)
		return NULL;
	return text;
}
