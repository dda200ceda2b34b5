/* SPDX-License-Identifier: Apache-2.0
 *
 * warren openssh detect|proxy|hostkey|install|print|remove: what the drop-in for stock OpenSSH calls
 * (design section 8). detect must stay fast: ssh runs it for every host.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/openssh.h"
#include "platform/addr.h"
#include "platform/file.h"
#include "platform/unixsock.h"

#define DROP_IN          "/etc/ssh/ssh_config.d/99-warren.conf"
#define CONNECT_LIMIT_MS 10000

/* 0: ours, 2: not ours. Silent: ssh shows what a Match exec prints. */
static int detect(const struct cli *c, int argc, char **argv)
{
	struct ipc_client *client = NULL;
	json_t *request, *result = NULL;
	struct error err = {0};
	int code = 0, found = 2;

	if (argc < 4)
		return cli_usage("openssh detect HOST PORT [USER HASH]");
	if (ipc_connect(c->socket, &client, &err) < 0)
		return found;
	request = json_pack("{s:s,s:s,s:i,s:s,s:s}", "cmd", "ssh_detect", "host", argv[2], "port",
			    (int)strtol(argv[3], NULL, 10), "user", argc > 4 ? argv[4] : "", "hash",
			    argc > 5 ? argv[5] : "");
	if (request != NULL &&
	    ipc_call(client, request, NULL, NULL, 2000, &result, &code, &err) == 0) {
		if (json_is_string(json_object_get(result, "login")))
			found = WARREN_EXIT_OK;
		if (c->json)
			cli_print_json(result);
	}
	json_decref(request);
	json_decref(result);
	ipc_close(client);
	return found;
}

static int connect_to(const char *address, int port, int *ret_fd)
{
	struct ip_addr ip;
	struct endpoint ep;
	int fd, one = 1, error = 0, r;
	socklen_t len = sizeof(error);
	struct pollfd pfd;

	r = ip_addr_parse(address, &ip);
	if (r < 0)
		return r;
	endpoint_from_ip(&ip, (uint16_t)port, &ep);
	fd = socket(ep.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, &ep.sa, endpoint_len(&ep)) < 0 && errno != EINPROGRESS) {
		r = -errno;
		goto fail;
	}
	pfd = (struct pollfd){.fd = fd, .events = POLLOUT};
	r = poll(&pfd, 1, CONNECT_LIMIT_MS);
	if (r == 0)
		r = -ETIMEDOUT;
	else if (r < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		r = -errno;
	else
		r = -error;
	if (r < 0)
		goto fail;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	r = file_set_nonblock(fd, false);
	if (r < 0)
		goto fail;
	*ret_fd = fd;
	return 0;
fail:
	close(fd);
	return r;
}

/* stdout is a socket with ProxyUseFdpass: ssh gets the connection itself and no byte is copied. */
static int pass_connection(int fd)
{
	struct iovec iov = {.iov_base = (char[1]){0}, .iov_len = 1};
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			     .msg_controllen = sizeof(control.space)};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
	return sendmsg(STDOUT_FILENO, &msg, 0) < 0 ? -errno : 0;
}

/* Without ProxyUseFdpass (old clients, `-W` style use): copies both ways until both have ended. */
static int copy_connection(int fd)
{
	struct pollfd p[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
	static char buf[65536];

	while (p[0].fd >= 0 || p[1].fd >= 0) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; i < 2; i++) {
			ssize_t n;

			if (p[i].fd < 0 || p[i].revents == 0)
				continue;
			n = read(p[i].fd, buf, sizeof(buf));
			if (n > 0 && file_write_all(i == 0 ? fd : STDOUT_FILENO, buf, (size_t)n) == 0)
				continue;
			if (n < 0 && errno == EINTR)
				continue;
			p[i].fd = -1;
			if (i == 1)
				return 0;
			shutdown(fd, SHUT_WR);
		}
	}
	return 0;
}

static int hand_over(const struct cli *c, const struct openssh_login *login)
{
	struct stat st;
	int fd = -1, r = -EHOSTUNREACH;

	for (int i = 0; i < login->address_count && r < 0; i++)
		r = connect_to(login->addresses[i], login->port, &fd);
	if (r < 0)
		return cli_fail(c, WARREN_EXIT_FAILED, "cannot connect to %s port %d: %s", login->fqdn,
				login->port, strerror(-r));
	if (fstat(STDOUT_FILENO, &st) == 0 && S_ISSOCK(st.st_mode))
		r = pass_connection(fd);
	else
		r = copy_connection(fd);
	close(fd);
	return r < 0 ? cli_fail(c, WARREN_EXIT_FAILED, "cannot hand the connection to ssh: %s",
				strerror(-r))
		     : WARREN_EXIT_OK;
}

/* For `warren ssh`, which has prepared the login itself: NAME PORT ADDRESS ADDRESS|- */
static int connect_prepared(const struct cli *c, int argc, char **argv)
{
	struct openssh_login login = {0};

	if (argc != 6)
		return cli_usage("openssh connect NAME PORT ADDRESS ADDRESS|-");
	snprintf(login.fqdn, sizeof(login.fqdn), "%s", argv[2]);
	login.port = (int)strtol(argv[3], NULL, 10);
	for (int i = 4; i < 6; i++)
		if (strcmp(argv[i], "-") != 0)
			snprintf(login.addresses[login.address_count++], sizeof(login.addresses[0]),
				 "%s", argv[i]);
	return hand_over(c, &login);
}

static int proxy(const struct cli *c, int argc, char **argv)
{
	struct prompt prompt = {.no_browser = false};
	struct openssh_login login = {0};
	FILE *tty = NULL;
	int code;

	if (argc != 5)
		return cli_usage("openssh proxy HOST PORT USER");
	tty = fopen("/dev/tty", "we");
	prompt.out = tty;
	code = openssh_prepare(c, argv[2], argv[3], argv[4], NULL,
			       tty != NULL || getenv("DISPLAY") != NULL ||
				       getenv("WAYLAND_DISPLAY") != NULL,
			       &prompt, &login);
	if (tty != NULL)
		fclose(tty);
	if (code != 0)
		return code;
	if (login.note[0] != '\0')
		fprintf(stderr, "warren: %s\n", login.note);
	return hand_over(c, &login);
}

static int hostkey(const struct cli *c, int argc, char **argv)
{
	json_t *result = NULL;
	const json_t *line;
	size_t i;
	int code;

	if (argc != 3)
		return cli_usage("openssh hostkey HOST");
	code = cli_request(c, json_pack("{s:s,s:s}", "cmd", "ssh_hostkey", "host", argv[2]), NULL, NULL,
			   &result);
	if (code == 0)
		json_array_foreach(json_object_get(result, "lines"), i, line)
			if (json_is_string(line))
				printf("%s\n", json_string_value(line));
	json_decref(result);
	return code;
}

static int install(const struct cli *c, bool print)
{
	char *text = openssh_config_text(print ? "/usr/bin/warren" : c->self);
	int code = WARREN_EXIT_OK;
	int r;

	if (text == NULL)
		return cli_fail(c, WARREN_EXIT_FAILED, "out of memory");
	if (print) {
		fputs(text, stdout);
	} else {
		r = file_make_dirs("/etc/ssh/ssh_config.d", 0755);
		if (r == 0)
			r = file_write_atomic(DROP_IN, text, strlen(text), 0644);
		if (r < 0)
			code = cli_fail(c, WARREN_EXIT_FAILED, "cannot write " DROP_IN ": %s%s",
					strerror(-r), r == -EACCES ? "; run it as root" : "");
	}
	free(text);
	return code;
}

int cli_openssh(const struct cli *c, int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (strcmp(what, "detect") == 0)
		return detect(c, argc, argv);
	if (strcmp(what, "proxy") == 0)
		return proxy(c, argc, argv);
	if (strcmp(what, "connect") == 0)
		return connect_prepared(c, argc, argv);
	if (strcmp(what, "hostkey") == 0)
		return hostkey(c, argc, argv);
	if (strcmp(what, "install") == 0 && argc == 2)
		return install(c, false);
	if (strcmp(what, "print") == 0 && argc == 2)
		return install(c, true);
	if (strcmp(what, "remove") == 0 && argc == 2) {
		if (unlink(DROP_IN) < 0 && errno != ENOENT)
			return cli_fail(c, WARREN_EXIT_FAILED, "cannot remove " DROP_IN ": %s",
					strerror(errno));
		return WARREN_EXIT_OK;
	}
	return cli_usage("openssh detect HOST PORT [USER HASH] | proxy HOST PORT USER | hostkey HOST |\n"
			 "       warren openssh install | print | remove");
}
