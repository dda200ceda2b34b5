/* SPDX-License-Identifier: Apache-2.0
 *
 * See ssh_arguments.h. Flags are those of ssh(1) 9.2; what follows the host is the command.
 */
#include "cli/ssh_arguments.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FLAGS_WITH_VALUE "BbcDEeFIiJLlmOopQRSWw"
#define PLAIN                                                                                      \
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:_-@[]/+" /* of a hop */

static void set_user_host(struct ssh_arguments *a, const char *text)
{
	const char *at = strrchr(text, '@');

	if (at != NULL && a->user[0] == '\0') /* -l wins over user@, as in ssh */
		snprintf(a->user, sizeof(a->user), "%.*s", (int)(at - text), text);
	snprintf(a->host, sizeof(a->host), "%s", at != NULL ? at + 1 : text);
}

/* ssh://[user@]host[:port] */
static void set_uri(struct ssh_arguments *a, const char *uri)
{
	char *colon, *slash;

	set_user_host(a, uri + strlen("ssh://"));
	slash = strchr(a->host, '/');
	if (slash != NULL)
		*slash = '\0';
	if (a->host[0] == '[' && strchr(a->host, ']') != NULL) {
		char *end = strchr(a->host, ']');

		if (end[1] == ':')
			snprintf(a->port, sizeof(a->port), "%s", end + 2);
		*end = '\0';
		memmove(a->host, a->host + 1, strlen(a->host));
		return;
	}
	colon = strrchr(a->host, ':');
	if (colon != NULL && strchr(a->host, ':') == colon) {
		snprintf(a->port, sizeof(a->port), "%s", colon + 1);
		*colon = '\0';
	}
}

static bool is_yes(const char *value)
{
	return strcasecmp(value, "yes") == 0 || strcasecmp(value, "true") == 0;
}

/* "Key=Value", "Key Value", "Key = Value"; the first of a kind counts. */
static void note_option(struct ssh_arguments *a, const char *text)
{
	const char *key = text + strspn(text, " \t");
	size_t len = strcspn(key, " \t=");
	const char *value = key + len;

	value += strspn(value, " \t");
	if (*value == '=')
		value += 1 + strspn(value + 1, " \t");
#define IS(name) (len == strlen(name) && strncasecmp(key, name, len) == 0)
	if (IS("User") && a->user[0] == '\0')
		snprintf(a->user, sizeof(a->user), "%s", value);
	else if (IS("Port") && a->port[0] == '\0')
		snprintf(a->port, sizeof(a->port), "%s", value);
	else if (IS("BatchMode"))
		a->batch = a->batch || is_yes(value);
	else if (IS("ProxyJump") && a->jump[0] == '\0' && strcasecmp(value, "none") != 0) {
		snprintf(a->jump, sizeof(a->jump), "%s", value);
		a->jump_option = true;
	}
#undef IS
}

static void note_flag(struct ssh_arguments *a, char flag, const char *value)
{
	switch (flag) {
	case 'l':
		if (a->user[0] == '\0')
			snprintf(a->user, sizeof(a->user), "%s", value);
		break;
	case 'p':
		if (a->port[0] == '\0')
			snprintf(a->port, sizeof(a->port), "%s", value);
		break;
	case 'J':
		if (strcasecmp(value, "none") != 0) {
			snprintf(a->jump, sizeof(a->jump), "%s", value);
			a->jump_option = false;
		}
		break;
	case 'F':
		a->no_config = strcasecmp(value, "none") == 0;
		a->config = !a->no_config;
		break;
	case 'O':
	case 'Q':
		a->only_ssh = true;
		break;
	case 'o':
		note_option(a, value);
		break;
	default:
		break;
	}
}

int ssh_arguments_parse(int argc, char **argv, struct ssh_arguments *ret_args)
{
	struct ssh_arguments a = {0};
	int i = 1;

	for (; i < argc && argv[i][0] == '-' && argv[i][1] != '\0'; i++) {
		if (strcmp(argv[i], "--") == 0) {
			a.terminated = true;
			i++;
			break;
		}
		for (const char *p = argv[i] + 1; *p != '\0'; p++) {
			a.only_ssh = a.only_ssh || *p == 'G' || *p == 'V';
			if (strchr(FLAGS_WITH_VALUE, *p) == NULL)
				continue;
			if (p[1] == '\0' && i + 1 >= argc)
				return -EINVAL;
			note_flag(&a, *p, p[1] != '\0' ? p + 1 : argv[++i]);
			break;
		}
	}
	if (i < argc) {
		a.host_index = i;
		if (strncmp(argv[i], "ssh://", 6) == 0)
			set_uri(&a, argv[i]);
		else
			set_user_host(&a, argv[i]);
	}
	if (a.host[0] == '\0' && !a.only_ssh)
		return -EINVAL;
	*ret_args = a;
	return 0;
}

/* ---- The person's configuration. */

bool ssh_arguments_configured(const struct ssh_arguments *args)
{
	const struct passwd *pw;
	char path[4096];
	struct stat st;

	if (args->config || args->no_config)
		return args->config;
	pw = getpwuid(getuid()); /* ssh does not look at HOME either */
	return pw != NULL &&
	       snprintf(path, sizeof(path), "%s/.ssh/config", pw->pw_dir) < (int)sizeof(path) &&
	       stat(path, &st) == 0 && st.st_size > 0;
}

void ssh_arguments_take_line(struct ssh_arguments *args, const char *line)
{
	const char *value = strchr(line, ' ');
	size_t len = value != NULL ? (size_t)(value - line) : 0;

	if (len == 0 || value[1] == '\0')
		return;
	value++;
#define IS(name) (len == strlen(name) && strncmp(line, name, len) == 0)
	if (IS("user"))
		snprintf(args->user, sizeof(args->user), "%s", value);
	else if (IS("hostname"))
		snprintf(args->host, sizeof(args->host), "%s", value);
	else if (IS("port"))
		snprintf(args->port, sizeof(args->port), "%s", value);
	else if (IS("batchmode"))
		args->batch = is_yes(value);
	else if (IS("proxyjump") && args->jump[0] == '\0') {
		snprintf(args->jump, sizeof(args->jump), "%s", value);
		args->jump_option = true;
	}
#undef IS
}

static pid_t start_query(int argc, char **argv, int *ret_fd)
{
	char **args = calloc((size_t)argc + 2, sizeof(*args));
	int fds[2];
	pid_t pid;

	if (args == NULL || pipe2(fds, O_CLOEXEC) < 0) {
		free(args);
		return -1;
	}
	args[0] = argv[0];
	args[1] = (char[]){"-G"};
	for (int i = 1; i < argc; i++)
		args[i + 1] = argv[i];
	pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		/* What is wrong with the arguments the ssh that follows says itself. */
		if (null < 0 || dup2(null, 0) < 0 || dup2(fds[1], 1) < 0 || dup2(null, 2) < 0)
			_exit(127);
		execvp("ssh", args);
		_exit(127);
	}
	free(args);
	close(fds[1]);
	if (pid < 0)
		close(fds[0]);
	*ret_fd = fds[0];
	return pid;
}

bool ssh_arguments_ask(int argc, char **argv, struct ssh_arguments *args)
{
	struct ssh_arguments found = *args;
	char line[4096];
	int fd = -1, status = 0;
	pid_t pid = start_query(argc, argv, &fd);
	FILE *in = pid > 0 ? fdopen(fd, "r") : NULL;

	if (pid < 0)
		return false;
	if (in == NULL)
		close(fd);
	while (in != NULL && fgets(line, sizeof(line), in) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		ssh_arguments_take_line(&found, line);
	}
	if (in != NULL)
		(void)fclose(in);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return false;
	*args = found;
	return true;
}

/* ---- Jumps. */

int ssh_arguments_without_jump(int argc, char **argv, int *ret_argc, char ***ret_argv)
{
	char **out = calloc((size_t)argc + 1, sizeof(*out));
	int n = 0, i = 1;

	if (out == NULL)
		return -ENOMEM;
	out[n++] = argv[0];
	for (; i < argc && argv[i][0] == '-' && argv[i][1] != '\0'; i++) {
		size_t at = 1 + strcspn(argv[i] + 1, FLAGS_WITH_VALUE);
		bool value_next = argv[i][at] != '\0' && argv[i][at + 1] == '\0';

		if (strcmp(argv[i], "--") == 0)
			break;
		if (argv[i][at] != 'J') {
			out[n++] = argv[i];
			if (value_next && i + 1 < argc)
				out[n++] = argv[++i];
			continue;
		}
		if (at > 1 && (out[n++] = strndup(argv[i], at)) == NULL) {
			free(out);
			return -ENOMEM;
		}
		i += value_next;
	}
	for (; i < argc; i++)
		out[n++] = argv[i];
	*ret_argc = n;
	*ret_argv = out;
	return 0;
}

bool ssh_arguments_last_hop(const char *jump, char rest[static 512], char hop[static 256])
{
	const char *comma = strrchr(jump, ',');
	const char *last = comma != NULL ? comma + 1 : jump;
	size_t before = comma != NULL ? (size_t)(comma - jump) : 0;

	if (before >= 512 || strlen(last) >= 256 || last[0] == '\0' || last[0] == '-' ||
	    jump[0] == '-' || strspn(jump, PLAIN ",") != strlen(jump))
		return false;
	snprintf(rest, 512, "%.*s", (int)before, jump);
	snprintf(hop, 256, "%s", last);
	return true;
}

void ssh_arguments_hop_host(const char *hop, char host[static 256])
{
	struct ssh_arguments a = {0};
	char uri[512];

	snprintf(uri, sizeof(uri), "%s%s", strncmp(hop, "ssh://", 6) == 0 ? "" : "ssh://", hop);
	set_uri(&a, uri);
	snprintf(host, 256, "%s", a.host);
}
