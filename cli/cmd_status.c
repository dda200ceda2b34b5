/* SPDX-License-Identifier: Apache-2.0
 *
 * warren status, peers, ping, why, sessions, debug bundle: what the daemon says, for people and,
 * with
 * --json, for scripts (keys of design section 9).
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "platform/file.h"

#define TEXT 512

static const char *human_bytes(json_int_t n, char out[32])
{
	static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	double v = (double)n;
	size_t u = 0;

	for (; v >= 1024 && u < 4; u++)
		v /= 1024;
	snprintf(out, 32, u == 0 ? "%.0f %s" : "%.1f %s", v, unit[u]);
	return out;
}

static bool is_connected(const json_t *peer)
{
	const char *s = json_string_value(json_object_get(peer, "status"));

	return s != NULL && strcmp(s, "Connected") == 0;
}

static void print_peer(const json_t *peer, bool detail)
{
	char name[TEXT], ip[64], status[64], type[64], endpoint[TEXT], last[64], key[64];
	char received[32], sent[32];
	const json_t *latency = json_object_get(peer, "latency");

	cli_text(peer, "fqdn", name, sizeof(name));
	cli_text(peer, "overlayIp", ip, sizeof(ip));
	cli_text(peer, "status", status, sizeof(status));
	cli_text(peer, "connectionType", type, sizeof(type));
	cli_text(peer, "endpoint", endpoint, sizeof(endpoint));
	if (!detail) {
		printf("  %-32s %-15s %-11s %s%s%s\n", name, ip, status,
		       is_connected(peer) ? type : "", endpoint[0] != '\0' ? " " : "",
		       is_connected(peer) ? endpoint : "");
		return;
	}
	printf("  %s:\n", name);
	printf("    overlay address: %s, %s\n", ip,
	       cli_text(peer, "overlayIpv6", key, sizeof(key)));
	printf("    public key: %s\n", cli_text(peer, "publicKey", key, sizeof(key)));
	printf("    status: %s\n", status);
	printf("    connection: %s %s\n", type, endpoint);
	printf("    last handshake: %s\n",
	       cli_text(peer, "lastWireguardHandshake", last, sizeof(last)));
	printf("    transfer: %s received, %s sent\n",
	       human_bytes(json_integer_value(json_object_get(peer, "transferReceived")), received),
	       human_bytes(json_integer_value(json_object_get(peer, "transferSent")), sent));
	if (json_is_number(latency) && json_number_value(latency) > 0)
		printf("    latency: %.2f ms\n", json_number_value(latency));
}

static void print_session(const json_t *s)
{
	char identity[256], login[128], from[256], since[64];

	printf("  %-4" JSON_INTEGER_FORMAT " %s as %s from %s since %s\n",
	       json_integer_value(json_object_get(s, "id")),
	       cli_text(s, "identity", identity, sizeof(identity)),
	       cli_text(s, "login", login, sizeof(login)), cli_text(s, "from", from, sizeof(from)),
	       cli_text(s, "since", since, sizeof(since)));
}

static void print_status(const json_t *st, bool detail)
{
	const json_t *management = json_object_get(st, "management");
	const json_t *peers = json_object_get(st, "peers");
	const json_t *ssh = json_object_get(st, "sshServer");
	const json_t *list = json_object_get(peers, "details");
	char text[TEXT], other[TEXT + 8];
	const json_t *item;
	size_t i;

	printf("Daemon:      %s, version %s\n", cli_text(st, "daemonStatus", text, sizeof(text)),
	       cli_text(st, "daemonVersion", other, sizeof(other)));
	cli_text(management, "error", other, sizeof(other));
	cli_text(management, "url", text, sizeof(text));
	printf("Control:     %s %s%s%s%s\n",
	       json_is_true(json_object_get(management, "connected")) ? "connected to"
								      : "not connected to",
	       text[0] != '\0' ? text : "any server", other[0] != '\0' ? " (" : "", other,
	       other[0] != '\0' ? ")" : "");
	printf("Name:        %s\n", cli_text(st, "fqdn", text, sizeof(text)));
	cli_text(st, "overlayIp", text, sizeof(text));
	cli_text(st, "overlayIpv6", other, sizeof(other));
	printf("Address:     %s%s%s\n", text, other[0] != '\0' ? ", " : "", other);
	if (detail) {
		printf("Public key:  %s\n", cli_text(st, "publicKey", text, sizeof(text)));
		printf("UDP port:    %" JSON_INTEGER_FORMAT "\n",
		       json_integer_value(json_object_get(st, "wireguardPort")));
	}
	if (json_is_true(json_object_get(ssh, "enabled")))
		snprintf(other, sizeof(other), "on, %s", cli_text(ssh, "mode", text, sizeof(text)));
	else
		snprintf(other, sizeof(other), "off");
	printf("SSH server:  %s, %zu session(s)\n", other,
	       json_array_size(json_object_get(ssh, "sessions")));
	json_array_foreach(json_object_get(ssh, "sessions"), i, item) print_session(item);
	printf("Peers:       %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT " connected\n",
	       json_integer_value(json_object_get(peers, "connected")),
	       json_integer_value(json_object_get(peers, "total")));
	json_array_foreach(list, i, item) print_peer(item, detail);
	json_array_foreach(json_object_get(st, "warnings"), i, item) if (json_is_string(item))
		printf("Warning:     %s\n", json_string_value(item));
}

/* live: the daemon answers. ready: the mesh is up. startup: it has an enrolment or waits for `up`.
 */
static int check_status(const json_t *st, const char *what)
{
	const char *status = json_string_value(json_object_get(st, "daemonStatus"));
	bool connected = status != NULL && strcmp(status, "Connected") == 0;

	if (strcmp(what, "live") == 0 || strcmp(what, "startup") == 0)
		return WARREN_EXIT_OK;
	return connected ? WARREN_EXIT_OK : WARREN_EXIT_FAILED;
}

int cli_status(const struct cli *c, int argc, char **argv)
{
	const char *check = NULL;
	json_t *st = NULL;
	bool detail = false, json = c->json;
	int code;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-d") == 0 || strcmp(argv[i], "--detail") == 0)
			detail = true;
		else if (strcmp(argv[i], "--json") == 0)
			json = true;
		else if (cli_option(argv, &i, "--check", &check) && check != NULL &&
			 (strcmp(check, "live") == 0 || strcmp(check, "ready") == 0 ||
			  strcmp(check, "startup") == 0))
			continue;
		else
			return cli_usage("status [-d] [--json] [--check live|ready|startup]");
	}
	code = cli_request(c, json_pack("{s:s}", "cmd", "status"), NULL, NULL, &st);
	if (code != 0)
		return code;
	json_object_set_new(st, "cliVersion", json_string(WARREN_VERSION));
	if (check != NULL)
		code = check_status(st, check);
	else if (json)
		cli_print_json(st);
	else
		print_status(st, detail);
	json_decref(st);
	return code;
}

int cli_peers(const struct cli *c, int argc, char **argv)
{
	json_t *result = NULL;
	const json_t *peer;
	size_t i;
	int code;

	(void)argv;
	if (argc != 1)
		return cli_usage("peers");
	code = cli_request(c, json_pack("{s:s}", "cmd", "peers"), NULL, NULL, &result);
	if (code == 0 && c->json)
		cli_print_json(result);
	else if (code == 0)
		json_array_foreach(json_object_get(result, "peers"), i, peer)
			print_peer(peer, false);
	json_decref(result);
	return code;
}

static void print_pong(void *ctx, const json_t *event)
{
	const struct cli *c = ctx;
	char endpoint[128];

	if (c->json)
		return;
	printf("pong %" JSON_INTEGER_FORMAT " by %s: %.2f ms\n",
	       json_integer_value(json_object_get(event, "seq")),
	       cli_text(event, "endpoint", endpoint, sizeof(endpoint)),
	       json_number_value(json_object_get(event, "latency_ms")));
	fflush(stdout);
}

int cli_ping(const struct cli *c, int argc, char **argv)
{
	const char *value = NULL, *peer = NULL;
	json_t *result = NULL;
	long count = 3;
	int code;

	for (int i = 1; i < argc; i++) {
		if (cli_option(argv, &i, "-c", &value)) {
			char *end = NULL;

			count = value != NULL ? strtol(value, &end, 10) : 0;
			if (count < 1 || count > 1000 || *end != '\0')
				return cli_usage("ping [-c COUNT (1 to 1000)] PEER");
		} else if (argv[i][0] == '-' || peer != NULL) {
			return cli_usage("ping [-c COUNT (1 to 1000)] PEER");
		} else {
			peer = argv[i];
		}
	}
	if (peer == NULL)
		return cli_usage("ping [-c COUNT (1 to 1000)] PEER");
	code = cli_request(c,
			   json_pack("{s:s,s:s,s:i,s:i}", "cmd", "ping", "peer", peer, "count",
				     (int)count, "timeout_ms", 2000),
			   print_pong, (void *)(uintptr_t)c, &result);
	if (code == 0) {
		json_int_t got = json_integer_value(json_object_get(result, "received"));

		if (c->json)
			cli_print_json(result);
		else
			printf("%" JSON_INTEGER_FORMAT " of %ld answered\n", got, count);
		if (got == 0)
			code = WARREN_EXIT_FAILED;
	}
	json_decref(result);
	return code;
}

int cli_why(const struct cli *c, int argc, char **argv)
{
	json_t *result = NULL;
	const char *text;
	int code;

	if (argc != 2 || argv[1][0] == '-')
		return cli_usage("why PEER");
	code = cli_request(c, json_pack("{s:s,s:s}", "cmd", "why", "peer", argv[1]), NULL, NULL,
			   &result);
	text = json_string_value(json_object_get(result, "text"));
	if (code == 0 && c->json)
		cli_print_json(result);
	else if (code == 0 && text != NULL)
		printf("%s\n", text);
	json_decref(result);
	return code;
}

int cli_sessions(const struct cli *c, int argc, char **argv)
{
	json_t *request = json_pack("{s:s}", "cmd", "sessions");
	json_t *result = NULL;
	const json_t *item;
	char *end = NULL;
	size_t i;
	int code;

	if (argc == 3 && strcmp(argv[1], "end") == 0) {
		long id = strtol(argv[2], &end, 10);

		if (id <= 0 || *end != '\0') {
			json_decref(request);
			return cli_usage("sessions [end ID]");
		}
		json_object_set_new(request, "end", json_integer(id));
	} else if (argc != 1) {
		json_decref(request);
		return cli_usage("sessions [end ID]");
	}
	code = cli_request(c, request, NULL, NULL, &result);
	if (code == 0 && c->json)
		cli_print_json(result);
	else if (code == 0)
		json_array_foreach(json_object_get(result, "sessions"), i, item)
			print_session(item);
	json_decref(result);
	return code;
}

int cli_debug(const struct cli *c, int argc, char **argv)
{
	char dir[64], path[512];
	json_t *result = NULL, *text;
	const char *name;
	struct tm tm;
	time_t now = time(NULL);
	int code;

	if (argc != 2 || strcmp(argv[1], "bundle") != 0)
		return cli_usage("debug bundle");
	code = cli_request(c, json_pack("{s:s}", "cmd", "bundle"), NULL, NULL, &result);
	if (code != 0)
		return code;
	gmtime_r(&now, &tm);
	strftime(dir, sizeof(dir), "warren-bundle-%Y%m%dT%H%M%SZ", &tm);
	if (mkdir(dir, 0700) < 0)
		code = cli_fail(c, WARREN_EXIT_FAILED, "cannot make the folder %s: %s", dir,
				strerror(errno));
	json_object_foreach(json_object_get(result, "files"), name, text)
	{
		if (code != 0 || !json_is_string(text) || strchr(name, '/') != NULL)
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, name);
		int r = file_write_atomic(path, json_string_value(text), json_string_length(text),
					  0600);

		if (r < 0)
			code = cli_fail(c, WARREN_EXIT_FAILED, "cannot write %s: %s", path,
					strerror(-r));
	}
	if (code == 0)
		printf("%s\n", dir);
	json_decref(result);
	return code;
}
