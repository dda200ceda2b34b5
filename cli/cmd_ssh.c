/* SPDX-License-Identifier: Apache-2.0
 *
 * warren ssh: OpenSSH's own flags, the login done here where there is a terminal, then the system's
 * ssh with the drop-in's options. Everything behind the host is the command and is never looked at.
 */
#include <errno.h>
#include <pwd.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
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
			errno == ENOENT ? "there is no ssh on this machine: install openssh-client"
					: "cannot start ssh: %s",
			strerror(errno));
}

int cli_ssh(const struct cli *c, int argc, char **argv)
{
	struct target t = {.port = "22"};
	struct openssh_login login = {0};
	struct prompt prompt = {0};
	uint8_t random[16];
	char hash[ENCODE_HEX_SIZE(16)];

	if (argc == 2 && strcmp(argv[1], "-V") == 0) {
		execvp("ssh", argv);
		return SSH_FAILED;
	}
	if (find_target(argc, argv, &t) < 0) {
		cli_usage("ssh [flags of ssh(1)] [user@]host [command …]");
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
	return run_system_ssh(c, &login, argc, argv);
}
