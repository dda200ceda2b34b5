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
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/connection.h"
#include "cli/openssh.h"
#include "cli/ssh_arguments.h"
#include "platform/encode.h"

#define SSH_FAILED 255 /* as OpenSSH: our own failure, never the command's status */

#define FIXED_OPTIONS 5

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

/* What ssh is started with beside the person's own arguments. */
struct start {
	const char *args[2 * FIXED_OPTIONS + 8];
	char text[FIXED_OPTIONS + 2][1024];
	int count, texts;
};

static void add_option(struct start *s, const char *fmt, ...) WARREN_PRINTF(2, 3);

static void add_option(struct start *s, const char *fmt, ...)
{
	char *text = s->text[s->texts++];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(s->text[0]), fmt, ap);
	va_end(ap);
	s->args[s->count++] = "-o";
	s->args[s->count++] = text;
}

static int exec_ssh(const struct cli *c, const struct start *s, int argc, char **argv)
{
	char **args = calloc((size_t)argc + (size_t)s->count + 3, sizeof(*args));
	static char separator[] = "--";
	struct ssh_arguments a;
	int n = 0;

	if (args == NULL || ssh_arguments_parse(argc, argv, &a) < 0)
		return cli_fail(c, SSH_FAILED, "out of memory");
	args[n++] = (char[]){"ssh"};
	for (int i = 0; i < s->count; i++)
		args[n++] = strdup(s->args[i]);
	for (int i = 1; i < argc; i++) {
		args[n++] = argv[i];
		/* ssh itself takes flags behind the host, too. */
		if (i == a.host_index && !a.terminated && i + 1 < argc &&
		    strcmp(argv[i + 1], "--") != 0)
			args[n++] = separator;
	}
	execvp("ssh", args);
	return cli_fail(c, SSH_FAILED,
			errno == ENOENT
				? "there is no ssh on this machine: install openssh-client, or "
				  "use --client=own"
				: "cannot start ssh: %s",
			strerror(errno));
}

/* "--socket PATH " for the programs that ssh starts. */
static const char *socket_option(const struct cli *c, char out[static 160])
{
	out[0] = '\0';
	if (c->socket_given)
		snprintf(out, 160, "--socket %s ", c->socket);
	return out;
}

static void add_connection(const struct cli *c, struct start *s, const struct openssh_login *login)
{
	char where[160];

	add_option(s, "ProxyCommand=%s %sopenssh connect %s %d %s %s %s", c->self,
		   socket_option(c, where), login->fqdn, login->port, login->addresses[0],
		   login->address_count > 1 ? login->addresses[1] : "-",
		   login->path[0] != '\0' ? login->path : "-");
	add_option(s, "ProxyUseFdpass=yes");
}

/* Through another machine: when that is one of the mesh we log in there, too, with drop-in or
 * without; else it is ssh's own business. True: the arguments' -J is done. */
static bool add_jump(const struct cli *c, struct start *s, const struct ssh_arguments *a,
		     const struct openssh_login *login)
{
	char rest[512], hop[256], host[256], where[160];

	if (a->config || !ssh_arguments_last_hop(a->jump, rest, hop))
		return false;
	ssh_arguments_hop_host(hop, host);
	if (!openssh_is_ours(c, host))
		return false;
	add_option(s, "ProxyCommand=%s %sssh --client=system %s%s%s%s-W [%s]:%d %s%s", c->self,
		   socket_option(c, where), a->batch ? "-o BatchMode=yes " : "",
		   rest[0] != '\0' ? "-J " : "", rest, rest[0] != '\0' ? " " : "", login->fqdn,
		   login->port, strncmp(hop, "ssh://", 6) == 0 ? "" : "ssh://", hop);
	add_option(s, "ProxyUseFdpass=no");
	return true;
}

static int run_system_ssh(const struct cli *c, const struct ssh_arguments *a,
			  const struct openssh_login *login, int argc, char **argv)
{
	struct start s = {0};

	if (a->jump[0] == '\0')
		add_connection(c, &s, login);
	else if (add_jump(c, &s, a, login) &&
		 ssh_arguments_without_jump(argc, argv, &argc, &argv) < 0)
		return cli_fail(c, SSH_FAILED, "out of memory");
	if (login->hosts[0] != '\0') {
		add_option(&s, "UserKnownHostsFile=%s", login->hosts);
		add_option(&s, "GlobalKnownHostsFile=none");
		add_option(&s, "StrictHostKeyChecking=yes");
	}
	if (login->path[0] != '\0') {
		add_option(&s, "IdentityFile=%s", login->path);
		add_option(&s, "CertificateFile=%s-cert.pub", login->path);
	}
	return exec_ssh(c, &s, argc, argv);
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

/* User, host and port as ssh will understand them: from the arguments, else from the person's
 * configuration, else the usual ones. */
static void complete(struct ssh_arguments *a, bool system, int argc, char **argv)
{
	if (system && ssh_arguments_configured(a) && setenv(OPENSSH_PREPARED, "*", 1) == 0)
		(void)ssh_arguments_ask(argc, argv, a); /* what is wrong with it ssh says itself */
	if (a->user[0] == '\0') {
		const struct passwd *pw = getpwuid(getuid());

		snprintf(a->user, sizeof(a->user), "%s", pw != NULL ? pw->pw_name : "root");
	}
	if (a->port[0] == '\0')
		snprintf(a->port, sizeof(a->port), "22");
}

/* A port that is not ours: the machine's own sshd, with whatever the person logs in with there. */
static bool is_foreign_port(const char *port)
{
	return strcmp(port, "22") != 0 && strcmp(port, "22022") != 0;
}

/* The name of the files of this login: always the same one, so that a certificate of before is
 * found while the control server is down. */
static void name_files(const struct ssh_arguments *a, char out[static ENCODE_HEX_SIZE(16)])
{
	static const char prefix[] = "warren ssh";
	crypto_generichash_state state;
	uint8_t hash[16];

	(void)crypto_generichash_init(&state, NULL, 0, sizeof(hash));
	/* With their ends, so that no two logins run into each other. */
	(void)crypto_generichash_update(&state, (const uint8_t *)prefix, sizeof(prefix));
	(void)crypto_generichash_update(&state, (const uint8_t *)a->host, strlen(a->host) + 1);
	(void)crypto_generichash_update(&state, (const uint8_t *)a->port, strlen(a->port) + 1);
	(void)crypto_generichash_update(&state, (const uint8_t *)a->user, strlen(a->user) + 1);
	(void)crypto_generichash_final(&state, hash, sizeof(hash));
	encode_hex(out, hash, sizeof(hash));
}

static int log_in(const struct cli *c, const struct ssh_arguments *a, struct openssh_login *login)
{
	struct prompt prompt = {.jump = a->jump[0] != '\0'};
	char hash[ENCODE_HEX_SIZE(16)];

	name_files(a, hash);
	if (openssh_prepare(c, a->host, a->port, a->user, hash, !a->batch, &prompt, login) != 0)
		return SSH_FAILED;
	if (login->note[0] != '\0')
		fprintf(stderr, "warren: %s\n", login->note);
	return 0;
}

int cli_ssh(const struct cli *c, int argc, char **argv)
{
	struct ssh_arguments a = {0};
	struct openssh_login login = {.early = -1};
	enum client client;
	char prepared[300];

	if (argc >= 2 && strcmp(argv[1], "harden") == 0)
		return cli_ssh_harden(c, argc - 1, argv + 1);
	if (choose_client(c, &argc, &argv, &client) < 0)
		return SSH_FAILED;
	if (client == CLIENT_ANY)
		client = system_has_ssh() ? CLIENT_SYSTEM : CLIENT_OWN;
	if (ssh_arguments_parse(argc, argv, &a) < 0 || (a.only_ssh && client == CLIENT_OWN)) {
		cli_usage("ssh [--client=own] [flags of ssh(1)] [user@]host [command …]");
		return SSH_FAILED;
	}
	if (a.only_ssh)
		return exec_ssh(c, &(struct start){0}, argc, argv);
	complete(&a, client == CLIENT_SYSTEM, argc, argv);
	if (client == CLIENT_SYSTEM && is_foreign_port(a.port)) {
		if (openssh_find(c, a.host, a.port, &login) != 0)
			return SSH_FAILED;
	} else if (log_in(c, &a, &login) != 0) {
		return SSH_FAILED;
	}
	if (client == CLIENT_OWN)
		return run_own_ssh(c, &login, argc, argv);
	snprintf(prepared, sizeof(prepared), "%s %d", a.host, login.port);
	if (setenv(OPENSSH_PREPARED, prepared, 1) < 0)
		return cli_fail(c, SSH_FAILED, "out of memory");
	return run_system_ssh(c, &a, &login, argc, argv);
}
