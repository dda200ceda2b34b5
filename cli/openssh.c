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
#include <time.h>
#include <unistd.h>

#include "cli/connection.h"
#include "cli/keyfile.h"
#include "daemon/ipc/drop_in.h"

#define HOSTS_S		300 /* how long a file of host keys is kept: longer than a login takes */
#define ATTEMPTS	3
#define PLAIN_NAME	"abcdefghijklmnopqrstuvwxyz0123456789.-"
#define HOST_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:_-"

static int port_number(const char *text)
{
	char *end = NULL;
	long port = strtol(text, &end, 10);

	return *end == '\0' && port > 0 && port <= 65535 ? (int)port : 22;
}

/* What of an answer ssh needs to know. */
static int take_addresses(const struct cli *c, const json_t *answer, struct openssh_login *login)
{
	const json_t *addresses = json_object_get(answer, "addresses");

	cli_text(answer, "fqdn", login->fqdn, sizeof(login->fqdn));
	cli_text(answer, "note", login->note, sizeof(login->note));
	login->port = (int)json_integer_value(json_object_get(answer, "port"));
	for (size_t i = 0; i < json_array_size(addresses) && login->address_count < 2; i++) {
		const char *text = json_string_value(json_array_get(addresses, i));

		if (text != NULL)
			snprintf(login->addresses[login->address_count++], 64, "%s", text);
	}
	if (login->address_count == 0)
		return cli_fail(c, WARREN_EXIT_FAILED, "the daemon's answer names no address of %s",
				login->fqdn);
	return 0;
}

/* Key and certificate to their files. -EAGAIN: *key is now another one, which wants a certificate.
 */
static int take_certificate(const struct cli *c, const json_t *answer, struct keyfile *key,
			    int64_t held_until_s, struct openssh_login *login)
{
	const char *certificate = json_string_value(json_object_get(answer, "certificate"));
	char dir[160], hash[160];
	struct error err = {0};
	int r;

	cli_text(answer, "directory", dir, sizeof(dir));
	cli_text(answer, "hash", hash, sizeof(hash));
	if (hash[0] == '\0')
		return cli_fail(
			c, WARREN_EXIT_FAILED,
			"ssh did not ask `warren openssh detect` first: the drop-in is incomplete; "
			"run `warren openssh install`");
	snprintf(login->hosts, sizeof(login->hosts), "%s/%s.hosts", dir, hash);
	/* The one of before goes on, where there is one. */
	if (certificate == NULL && held_until_s > 0)
		snprintf(login->path, sizeof(login->path), "%s/%s", dir, hash);
	if (certificate == NULL)
		return 0;
	r = keyfile_write(key, dir, hash, certificate,
			  json_integer_value(json_object_get(answer, "valid_before")), &err);
	if (r == -EEXIST)
		return -EAGAIN;
	if (r < 0)
		return cli_fail(c, WARREN_EXIT_FAILED, "%s", error_text(&err));
	snprintf(login->path, sizeof(login->path), "%s/%s", dir, hash);
	return 0;
}

int openssh_write_hosts(struct ipc_client *client, const char *host, int port, const char *hash)
{
	char dir[64], lines[8192], name[300];
	struct error err = {0};
	json_t *request, *answer = NULL;
	const json_t *line;
	size_t i, n = 0;
	int code = 0, r;

	if (strspn(host, HOST_CHARACTERS) != strlen(host) || strlen(host) > 255)
		return -EINVAL;
	snprintf(name, sizeof(name), port == 22 ? "%s" : "[%s]:%d", host, port);
	for (char *p = name; *p != '\0'; p++)
		*p = *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;
	request = json_pack("{s:s,s:s}", "cmd", "ssh_hostkey", "host", name);
	r = request == NULL ? -ENOMEM
			    : ipc_call(client, request, NULL, NULL, 2000, &answer, &code, &err);
	json_decref(request);
	if (r < 0)
		return r;
	json_array_foreach(json_object_get(answer, "lines"), i, line)
	{
		const char *text = json_string_value(line);

		/* The file is for this host alone: its key, whatever the person's configuration
		 * calls it (HostKeyAlias, HostName). */
		const char *key = text != NULL ? strchr(text, ' ') : NULL;

		if (key != NULL && n + strlen(key) + 2 < sizeof(lines))
			n += (size_t)snprintf(lines + n, sizeof(lines) - n, "*%s\n", key);
	}
	json_decref(answer);
	if (n == 0)
		return -ENOENT;
	openssh_directory(dir, sizeof(dir));
	return keyfile_write_hosts(dir, hash, lines, (int64_t)time(NULL) + HOSTS_S);
}

void openssh_directory(char *out, size_t cap)
{
	snprintf(out, cap, "/run/warren/u/%u", (unsigned)geteuid());
}

/* What detect told the daemon: the name of this login's files ("" when it is not known), and a
 * first connection, so that the target's server starts while the control server makes the
 * certificate. */
static void ask_detected(struct ipc_client *client, const char *host, int port, const char *user,
			 char *out_hash, size_t cap, int *ret_fd)
{
	json_t *request = json_pack("{s:s,s:s,s:i,s:s}", "cmd", "ssh_detect", "host", host, "port",
				    port, "user", user);
	json_t *answer = NULL;
	struct error err = {0};
	char address[64];
	int code = 0;

	out_hash[0] = '\0';
	if (request != NULL &&
	    ipc_call(client, request, NULL, NULL, 2000, &answer, &code, &err) == 0) {
		cli_text(answer, "hash", out_hash, cap);
		cli_text(answer, "address", address, sizeof(address));
		if (address[0] != '\0' && json_is_string(json_object_get(answer, "login")))
			*ret_fd = connection_begin(address, port, true);
	}
	json_decref(answer);
	json_decref(request);
}

struct target {
	const char *host, *user;
	char hash[160];
	int port;
	bool interactive;
	int64_t held_until_s; /* end of a certificate that is there; 0: none */
};

static int ask_certificate(const struct cli *c, struct ipc_client *client, const struct target *t,
			   const struct keyfile *key, struct prompt *prompt, json_t **ret_answer)
{
	struct error err = {0};
	json_t *request;
	int code = WARREN_EXIT_FAILED, r;

	request = json_pack("{s:s,s:s,s:i,s:s,s:s,s:b,s:b,s:b}", "cmd", "ssh_prepare", "host", t->host,
			    "port", t->port, "user", t->user, "public_key", key->public_text,
			    "interactive", (int)t->interactive, "browser",
			    (int)prompt_has_browser(prompt), "no_browser", (int)prompt->no_browser);
	if (request == NULL)
		return cli_fail(c, WARREN_EXIT_FAILED, "out of memory");
	if (prompt->jump)
		json_object_set_new(request, "jump", json_true());
	if (t->hash[0] != '\0')
		json_object_set_new(request, "hash", json_string(t->hash));
	if (t->held_until_s > 0)
		json_object_set_new(request, "certificate_until", json_integer(t->held_until_s));
	r = ipc_call(client, request, prompt_event, prompt, -1, ret_answer, &code, &err);
	json_decref(request);
	if (r == -ECANCELED) /* there is nobody to tell */
		return WARREN_EXIT_FAILED;
	if (r < 0)
		return cli_fail(c, code != 0 ? code : WARREN_EXIT_FAILED, "%s", error_text(&err));
	return 0;
}

static int prepare(const struct cli *c, struct ipc_client *client, struct target *t,
		   struct prompt *prompt, struct openssh_login *ret_login)
{
	struct openssh_login login = {0};
	struct keyfile key;
	char dir[64];
	int code;

	openssh_directory(dir, sizeof(dir));
	if (t->hash[0] == '\0' || keyfile_load(&key, dir, t->hash) < 0)
		keyfile_generate(&key);
	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		json_t *answer = NULL;

		login = (struct openssh_login){0};
		t->held_until_s = keyfile_certificate_until(dir, t->hash);
		code = ask_certificate(c, client, t, &key, prompt, &answer);
		if (code == 0)
			code = take_addresses(c, answer, &login);
		if (code == 0)
			code = take_certificate(c, answer, &key, t->held_until_s, &login);
		if (code == 0 && t->hash[0] == '\0')
			cli_text(answer, "hash", t->hash, sizeof(t->hash));
		json_decref(answer);
		if (code != -EAGAIN)
			break;
	}
	keyfile_wipe(&key);
	if (code == -EAGAIN)
		return cli_fail(c, WARREN_EXIT_FAILED,
				"the key in %s is changed by others all the time", dir);
	if (code != 0)
		return code;
	if (!keyfile_has_hosts(dir, t->hash) &&
	    openssh_write_hosts(client, t->host, t->port, t->hash) < 0)
		return cli_fail(c, WARREN_EXIT_FAILED, "the host key of %s cannot be written to %s",
				login.fqdn, dir);
	login.early = -1;
	*ret_login = login;
	return 0;
}

int openssh_prepare(const struct cli *c, const char *host, const char *port, const char *user,
		    const char *hash, bool interactive, struct prompt *prompt,
		    struct openssh_login *ret_login)
{
	struct target t = {
		.host = host, .user = user, .port = port_number(port), .interactive = interactive};
	struct ipc_client *client = NULL;
	struct error err = {0};
	int code, early = -1;

	if (ipc_connect(c->socket, &client, &err) < 0)
		return cli_fail(c, WARREN_EXIT_NO_DAEMON, "%s", error_text(&err));
	if (prompt->piped)
		ipc_watch(client, STDOUT_FILENO);
	if (hash != NULL)
		snprintf(t.hash, sizeof(t.hash), "%s", hash);
	else
		ask_detected(client, host, t.port, user, t.hash, sizeof(t.hash), &early);
	code = prepare(c, client, &t, prompt, ret_login);
	ipc_close(client);
	if (code == 0 && !prompt->shown && ret_login->path[0] != '\0')
		ret_login->early = early;
	else if (early >= 0)
		close(early); /* after a login in the browser the server's patience is used up,
			       * and without a certificate it was promised one */
	return code;
}

static json_t *ask_detect(const struct cli *c, const char *host, int port, int *ret_code)
{
	json_t *request =
		json_pack("{s:s,s:s,s:i}", "cmd", "ssh_detect", "host", host, "port", port);
	json_t *answer = NULL;

	*ret_code = cli_request(c, request, NULL, NULL, &answer);
	return answer;
}

int openssh_find(const struct cli *c, const char *host, const char *port,
		 struct openssh_login *ret_login)
{
	struct openssh_login login = {.port = port_number(port), .early = -1};
	int code = WARREN_EXIT_FAILED;
	json_t *answer = ask_detect(c, host, login.port, &code);
	char why[256];

	if (code != 0)
		return code;
	cli_text(answer, "fqdn", login.fqdn, sizeof(login.fqdn));
	cli_text(answer, "address", login.addresses[0], sizeof(login.addresses[0]));
	cli_text(answer, "reason", why, sizeof(why));
	json_decref(answer);
	if (login.addresses[0][0] == '\0')
		return cli_fail(c, WARREN_EXIT_FAILED, "%s: %s", host, why);
	login.address_count = 1;
	*ret_login = login;
	return 0;
}

bool openssh_is_ours(const struct cli *c, const char *host)
{
	int code = 0;
	json_t *answer = ask_detect(c, host, 22, &code);
	bool ours = json_is_string(json_object_get(answer, "login"));

	json_decref(answer);
	return ours;
}

int openssh_connect(const struct openssh_login *login, int *ret_fd)
{
	int fd = login->early, r = -EHOSTUNREACH;

	if (fd >= 0)
		r = connection_finish(fd);
	for (int i = 0; i < login->address_count && r < 0; i++) {
		fd = connection_begin(login->addresses[i], login->port, login->path[0] != '\0');
		r = fd < 0 ? fd : connection_finish(fd);
	}
	if (r == 0)
		*ret_fd = fd;
	return r;
}

/* The names of a domain that no resolver knows (RFC 9476) reach every machine of the mesh, also
 * where SSH, or the port, is not ours: its own sshd answers, and nothing of a login is changed. */
static int write_names(struct buffer *out, const char *self, const char *fqdn)
{
	const char *domain = strchr(fqdn, '.');
	size_t len = domain != NULL ? strlen(domain) : 0;

	if (len < 10 || strcmp(domain + len - 9, ".internal") != 0 ||
	    strspn(domain, PLAIN_NAME) != len)
		return 0;
	return buffer_printf(out,
			     "Match host *%s,*%s.\n"
			     "  ProxyUseFdpass yes\n"
			     "  ProxyCommand %s openssh plain %%h %%p\n",
			     domain, domain, self);
}

/* "second.example.net", "100.64.3.4", "p_abc…": patterns of everything that can be a peer and is
 * not its name alone. False where one of them is unknown or not plain. */
static bool mesh_hosts(char *out, size_t cap, const char *fqdn, const char *address)
{
	const char *domain = strchr(fqdn, '.');
	size_t octet = strspn(address, "0123456789");

	if (domain == NULL || domain[1] == '\0' || strspn(domain, PLAIN_NAME) != strlen(domain) ||
	    octet == 0 || octet > 3 || address[octet] != '.')
		return false;
	return snprintf(out, cap, "*%s,*.,%.*s.*,*:*,p_*", domain, (int)octet, address) < (int)cap;
}

/* The names without a dot are in the daemon's file, which is there while the mesh is up. */
static int write_bare_names(struct buffer *out, const char *socket_path)
{
	char path[DROP_IN_NAMES_CAP];

	drop_in_names_path(socket_path, path);
	return buffer_printf(out,
			     "Match host !*.*,!*:*,*\n"
			     "  Include %s\n",
			     path);
}

int openssh_config_text(struct buffer *out, const char *self, const char *socket_path,
			const char *fqdn, const char *address)
{
	char hosts[320];
	int r = buffer_printf(
		out,
		"# Written by `warren openssh install`. Peers of the mesh with SSH enabled log in "
		"with\n# short certificates; every other host is left alone.\n");

	/* ssh skips the program where an earlier criterion fails. */
	if (r == 0 && mesh_hosts(hosts, sizeof(hosts), fqdn, address)) {
		r = drop_in_block(out, self, hosts);
		if (r == 0)
			r = write_bare_names(out, socket_path);
	} else if (r == 0) {
		r = drop_in_block(out, self, "");
	}
	if (r == 0)
		r = write_names(out, self, fqdn);
	return r < 0 ? r : buffer_printf(out, "Match all\n");
}
