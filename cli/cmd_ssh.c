/* SPDX-License-Identifier: Apache-2.0
 *
 * warren ssh: OpenSSH's own flags, the login done here where there is a terminal, then the system's
 * ssh with the drop-in's options, or warren-ssh where there is none. Everything behind the host is
 * the command and is never looked at.
 */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/connection.h"
#include "cli/openssh.h"
#include "platform/encode.h"

#define SSH_FAILED 255 /* as OpenSSH: our own failure, never the command's status */

/* Flags of ssh(1) 9.2 that take a value. */
#define FLAGS_WITH_VALUE "BbcDEeFIiJLlmOopQRSWw"
#define FIXED_OPTIONS	 5

struct target {
	int host_index; /* in argv */
	char host[256], user[128], port[16];
	bool batch;
};

static void set_user_host(struct target *t, const char *text)
{
	const char *at = strrchr(text, '@');

	if (at != NULL)
		snprintf(t->user, sizeof(t->user), "%.*s", (int)(at - text), text);
	snprintf(t->host, sizeof(t->host), "%s", at != NULL ? at + 1 : text);
}

/* ssh://[user@]host[:port] */
static void set_uri(struct target *t, const char *uri)
{
	char *colon, *slash;

	set_user_host(t, uri + strlen("ssh://"));
	slash = strchr(t->host, '/');
	if (slash != NULL)
		*slash = '\0';
	colon = strrchr(t->host, ':');
	if (colon != NULL && strchr(t->host, ':') == colon) {
		snprintf(t->port, sizeof(t->port), "%s", colon + 1);
		*colon = '\0';
	}
}

static void note_option(struct target *t, char flag, const char *value)
{
	if (flag == 'l')
		snprintf(t->user, sizeof(t->user), "%s", value);
	else if (flag == 'p')
		snprintf(t->port, sizeof(t->port), "%s", value);
	else if (flag == 'o' && strncasecmp(value, "User=", 5) == 0)
		snprintf(t->user, sizeof(t->user), "%s", value + 5);
	else if (flag == 'o' && strncasecmp(value, "Port=", 5) == 0)
		snprintf(t->port, sizeof(t->port), "%s", value + 5);
	else if (flag == 'o' && strcasecmp(value, "BatchMode=yes") == 0)
		t->batch = true;
}

static int find_target(int argc, char **argv, struct target *t)
{
	int i = 1;

	for (; i < argc && argv[i][0] == '-' && argv[i][1] != '\0'; i++) {
		if (strcmp(argv[i], "--") == 0) {
			i++;
			break;
		}
		for (const char *p = argv[i] + 1; *p != '\0'; p++) {
			if (strchr(FLAGS_WITH_VALUE, *p) == NULL)
				continue;
			if (p[1] == '\0' && i + 1 >= argc)
				return -EINVAL;
			note_option(t, *p, p[1] != '\0' ? p + 1 : argv[++i]);
			break;
		}
	}
	if (i >= argc)
		return -EINVAL;
	t->host_index = i;
	if (strncmp(argv[i], "ssh://", 6) == 0) {
		set_uri(t, argv[i]);
	} else {
		char user[sizeof(t->user)];

		snprintf(user, sizeof(user), "%s", t->user);
		set_user_host(t, argv[i]);
		if (user[0] != '\0') /* -l wins over user@, as in ssh */
			snprintf(t->user, sizeof(t->user), "%s", user);
	}
	return t->host[0] != '\0' ? 0 : -EINVAL;
}

/* Whose program speaks SSH: the system's, our own, or the system's where there is one. */
enum client { CLIENT_ANY, CLIENT_SYSTEM, CLIENT_OWN };

static int client_named(const char *name, enum client *ret_client)
{
	if (strcmp(name, "own") == 0)
		*ret_client = CLIENT_OWN;
	else if (strcmp(name, "system") == 0)
		*ret_client = CLIENT_SYSTEM;
	else if (strcmp(name, "auto") == 0)
		*ret_client = CLIENT_ANY;
	else
		return -EINVAL;
	return 0;
}

/* --client=… in front of ssh's flags, else WARREN_SSH_CLIENT; moves over the arguments used. */
static int choose_client(const struct cli *c, int *argc, char ***argv, enum client *ret_client)
{
	const char *name = getenv("WARREN_SSH_CLIENT");

	if (*argc > 1 && strncmp((*argv)[1], "--client=", strlen("--client=")) == 0) {
		name = (*argv)[1] + strlen("--client=");
		(*argv)++;
		(*argc)--;
	}
	*ret_client = CLIENT_ANY;
	if (name == NULL || name[0] == '\0' || client_named(name, ret_client) == 0)
		return 0;
	cli_fail(
		c, SSH_FAILED,
		"there is no SSH client \"%s\": --client (or WARREN_SSH_CLIENT) is auto, system or "
		"own",
		name);
	return -EINVAL;
}

/* warren-ssh beside this program, or where packages put it. */
static void own_client(const struct cli *c, char *out, size_t cap)
{
	const char *slash = strrchr(c->self, '/');

	snprintf(out, cap, "%.*s/warren-ssh", (int)(slash != NULL ? slash - c->self : 0), c->self);
	if (access(out, X_OK) < 0)
		snprintf(out, cap, "/usr/libexec/warren/warren-ssh");
}

static int run_own_ssh(const struct cli *c, const struct openssh_login *login, int argc,
		       char **argv)
{
	char path[560], connection[32], name[280], hosts[360], key[340];
	char **args = calloc((size_t)argc + 6, sizeof(*args));
	int n = 0, fd = -1, r;

	if (args == NULL)
		return cli_fail(c, SSH_FAILED, "out of memory");
	r = openssh_connect(login, &fd);
	if (r < 0 || fcntl(fd, F_SETFD, 0) < 0)
		return cli_fail(c, SSH_FAILED, "cannot connect to %s port %d: %s", login->fqdn,
				login->port, strerror(r < 0 ? -r : errno));
	own_client(c, path, sizeof(path));
	snprintf(connection, sizeof(connection), "--connection=%d", fd);
	snprintf(name, sizeof(name), "--name=%s", login->fqdn);
	snprintf(hosts, sizeof(hosts), "--host-keys=%s", login->hosts);
	args[n++] = path;
	args[n++] = connection;
	args[n++] = name;
	args[n++] = hosts;
	if (login->path[0] != '\0') {
		snprintf(key, sizeof(key), "--key=%s", login->path);
		args[n++] = key;
	}
	for (int i = 1; i < argc; i++)
		args[n++] = argv[i];
	execv(path, args);
	return cli_fail(c, SSH_FAILED, "cannot start %s: %s", path, strerror(errno));
}

static int run_system_ssh(const struct cli *c, const struct openssh_login *login, int argc,
			  char **argv)
{
	char option[FIXED_OPTIONS][512], identity[340], certificate[360];
	char **args = calloc((size_t)argc + 2 * FIXED_OPTIONS + 8, sizeof(*args));
	char where[160] = "";
	int n = 0;

	if (args == NULL)
		return cli_fail(c, SSH_FAILED, "out of memory");
	if (c->socket_given)
		snprintf(where, sizeof(where), "--socket %s ", c->socket);
	snprintf(option[0], sizeof(option[0]), "ProxyCommand=%s %sopenssh connect %s %d %s %s",
		 c->self, where, login->fqdn, login->port, login->addresses[0],
		 login->address_count > 1 ? login->addresses[1] : "-");
	snprintf(option[1], sizeof(option[1]), "ProxyUseFdpass=yes");
	snprintf(option[2], sizeof(option[2]), "UserKnownHostsFile=%s", login->hosts);
	snprintf(option[3], sizeof(option[3]), "GlobalKnownHostsFile=none");
	snprintf(option[4], sizeof(option[4]), "StrictHostKeyChecking=yes");
	args[n++] = strdup("ssh");
	for (int i = 0; i < FIXED_OPTIONS; i++) {
		args[n++] = strdup("-o");
		args[n++] = option[i];
	}
	if (login->path[0] != '\0') {
		snprintf(identity, sizeof(identity), "IdentityFile=%s", login->path);
		snprintf(certificate, sizeof(certificate), "CertificateFile=%s-cert.pub",
			 login->path);
		args[n++] = strdup("-o");
		args[n++] = identity;
		args[n++] = strdup("-o");
		args[n++] = certificate;
	}
	for (int i = 1; i < argc; i++)
		args[n++] = argv[i];
	execvp("ssh", args);
	return cli_fail(c, SSH_FAILED,
			errno == ENOENT
				? "there is no ssh on this machine: install openssh-client, or "
				  "use --client=own"
				: "cannot start ssh: %s",
			strerror(errno));
}

static bool system_has_ssh(void)
{
	const char *path = getenv("PATH");
	char file[1024];

	for (size_t len; path != NULL && *path != '\0'; path += len + (path[len] == ':')) {
		len = strcspn(path, ":");
		if (len > 0 &&
		    snprintf(file, sizeof(file), "%.*s/ssh", (int)len, path) < (int)sizeof(file) &&
		    access(file, X_OK) == 0)
			return true;
	}
	return false;
}

int cli_ssh(const struct cli *c, int argc, char **argv)
{
	struct target t = {.port = "22"};
	struct openssh_login login = {0};
	struct prompt prompt = {0};
	enum client client;
	uint8_t random[16];
	char hash[ENCODE_HEX_SIZE(16)], prepared[280];

	if (argc >= 2 && strcmp(argv[1], "harden") == 0)
		return cli_ssh_harden(c, argc - 1, argv + 1);
	if (choose_client(c, &argc, &argv, &client) < 0)
		return SSH_FAILED;
	if (client == CLIENT_ANY)
		client = system_has_ssh() ? CLIENT_SYSTEM : CLIENT_OWN;
	if (argc == 2 && strcmp(argv[1], "-V") == 0 && client == CLIENT_SYSTEM) {
		execvp("ssh", argv);
		return SSH_FAILED;
	}
	if (find_target(argc, argv, &t) < 0) {
		cli_usage("ssh [--client=own] [flags of ssh(1)] [user@]host [command …]");
		return SSH_FAILED;
	}
	if (t.user[0] == '\0') {
		const struct passwd *pw = getpwuid(getuid());

		snprintf(t.user, sizeof(t.user), "%s", pw != NULL ? pw->pw_name : "root");
	}
	randombytes_buf(random, sizeof(random));
	encode_hex(hash, random, sizeof(random));
	if (openssh_prepare(c, t.host, t.port, t.user, hash, !t.batch, &prompt, &login) != 0)
		return SSH_FAILED;
	if (login.note[0] != '\0')
		fprintf(stderr, "warren: %s\n", login.note);
	if (client == CLIENT_OWN)
		return run_own_ssh(c, &login, argc, argv);
	snprintf(prepared, sizeof(prepared), "%s %d", t.host, login.port);
	if (setenv(OPENSSH_PREPARED, prepared, 1) < 0)
		return cli_fail(c, SSH_FAILED, "out of memory");
	return run_system_ssh(c, &login, argc, argv);
}
