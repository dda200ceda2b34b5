/* SPDX-License-Identifier: Apache-2.0
 *
 * The OIDC client of identity/ as a program, for tests against real providers:
 *
 *     oidc_tool ISSUER CLIENT_ID [--audience A]… [--type T]… [--nonce N] [--ca FILE] [--pin PINS]
 * COMMAND
 *
 * device, pkce: a login; prints a line of JSON with the prompt and one with the result.
 * refresh, revoke, verify: a token per line of stdin, a line of JSON each (so that one process sees the
 * provider change under its cache); a line "+N" lets N seconds pass on the monotonic clock, on
 * which the cache lives and which otherwise stands still there. Exits 0 when the last thing went well.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "identity/oidc.h"
#include "platform/buffer.h"
#include "platform/clock.h"
#include "platform/secret.h"

enum { LIST_MAX = 8 };

struct tool {
	uv_loop_t loop;
	struct http *http;
	struct oidc *oidc;
	struct oidc_login *login;
	uv_poll_t input;
	uv_signal_t signals[2];
	struct buffer lines;
	const char *audiences[LIST_MAX + 1], *types[LIST_MAX + 1];
	bool refresh, revoke, eof;
	int status;
};

static uint64_t passed_ns, still_ns;

static uint64_t monotonic_ns(void *ctx)
{
	(void)ctx;
	return still_ns ? still_ns + passed_ns : clock_monotonic_ns(&clock_system);
}

static uint64_t realtime_ns(void *ctx)
{
	(void)ctx;
	return clock_realtime_ns(&clock_system);
}

static const struct clock tool_clock = {.monotonic_ns = monotonic_ns, .realtime_ns = realtime_ns};

static void print(json_t *json)
{
	char *text = json_dumps(json, JSON_COMPACT);

	puts(text ? text : "{}");
	fflush(stdout);
	free(text);
	json_decref(json);
}

static void finish(struct tool *t)
{
	struct oidc *oidc = t->oidc;

	if (!oidc)
		return;
	t->oidc = NULL; /* ending a login comes back here */
	oidc_free(oidc);
	http_free(t->http);
	uv_close((uv_handle_t *)&t->signals[0], NULL);
	uv_close((uv_handle_t *)&t->signals[1], NULL);
}

static void print_identity(json_t *json, const struct jwt_identity *id)
{
	json_t *groups = json_array();

	for (size_t i = 0; i < id->group_count; i++)
		json_array_append_new(groups, json_string(id->groups[i]));
	json_object_set_new(json, "user", json_string(id->user));
	json_object_set_new(json, "subject", json_string(id->subject));
	json_object_set_new(json, "groups", groups);
	json_object_set_new(json, "expires", json_integer(id->expires_s));
}

static void check(int rc, const struct error *err)
{
	if (rc == 0)
		return;
	fprintf(stderr, "oidc_tool: %s\n", error_text(err));
	exit(2);
}

static void next_line(struct tool *t);
static void on_input(uv_poll_t *poll, int status, int events);

static void on_prompt(void *ctx, const struct oidc_prompt *prompt)
{
	(void)ctx;
	print(json_pack("{s:s, s:s, s:s*, s:s*, s:I}", "event", "prompt", "url", prompt->url,
			"user_code", prompt->user_code, "verification_uri",
			prompt->verification_uri, "expires", (json_int_t)prompt->expires_s));
}

static void on_login(void *ctx, struct oidc_tokens *tokens, const struct error *err)
{
	struct tool *t = ctx;
	json_t *json;

	t->login = NULL;
	t->status = tokens ? 0 : 1;
	if (tokens) {
		json = json_pack("{s:s, s:s, s:s*, s:s*}", "event", "done", "id_token",
				 tokens->id_token, "access_token", tokens->access_token,
				 "refresh_token", tokens->refresh_token);
		print_identity(json, &tokens->identity);
		oidc_tokens_done(tokens);
	} else {
		json = json_pack("{s:s, s:i, s:s}", "event", "failed", "code", err->code, "text",
				 err->text);
	}
	print(json);
	if (t->refresh)
		next_line(t);
	else
		finish(t);
}

static void on_verified(void *ctx, enum jwt_fault fault, struct jwt_identity *identity,
			const struct error *err)
{
	json_t *json = json_pack("{s:s, s:s}", "fault", jwt_fault_name(fault), "text",
				 err ? err->text : "");
	struct tool *t = ctx;

	t->status = fault == JWT_OK ? 0 : 1;
	if (identity) {
		print_identity(json, identity);
		jwt_identity_done(identity);
	}
	print(json);
	next_line(t);
}

static void on_revoked(void *ctx, const struct error *err)
{
	struct tool *t = ctx;

	t->status = err ? 1 : 0;
	print(json_pack("{s:s, s:i, s:s}", "event", err ? "failed" : "revoked", "code",
			err ? err->code : 0, "text", err ? err->text : ""));
	next_line(t);
}

static void on_signal(uv_signal_t *signal, int number)
{
	struct tool *t = signal->data;

	if (number == SIGINT)
		oidc_login_cancel(t->login);
	else
		finish(t);
}

static const struct oidc_login_ops *login_ops(struct tool *t)
{
	static struct oidc_login_ops ops = {.on_prompt = on_prompt, .on_done = on_login};

	ops.ctx = t;
	return &ops;
}

/* One line at a time; answers come in order. */
static void next_line(struct tool *t)
{
	uint8_t *end;
	struct error err = {0};
	char *line;
	int rc;

	end = t->lines.len > 0 ? memchr(t->lines.data, '\n', t->lines.len) : NULL;
	if (!end) {
		if (t->eof)
			finish(t);
		else
			check(uv_poll_start(&t->input, UV_READABLE, on_input), NULL);
		return;
	}
	line = strndup((const char *)t->lines.data, (size_t)(end - t->lines.data));
	buffer_consume(&t->lines, (size_t)(end - t->lines.data) + 1);
	if (line && line[0] == '+') {
		passed_ns += strtoull(line + 1, NULL, 10) * NSEC_PER_SEC;
		free(line);
		next_line(t);
		return;
	}
	if (!t->eof)
		uv_poll_stop(&t->input);
	if (t->refresh)
		rc = oidc_refresh(t->oidc, line, login_ops(t), &t->login, &err);
	else if (t->revoke)
		rc = oidc_revoke(t->oidc, line, 3000, on_revoked, t, &err);
	else
		rc = oidc_verify(t->oidc, line, t->audiences[0] ? t->audiences : NULL, 0,
				 on_verified, t);
	free(line);
	if (rc < 0) {
		fprintf(stderr, "oidc_tool: %s\n", error_text(&err));
		exit(2);
	}
}

static void on_input(uv_poll_t *poll, int status, int events)
{
	struct tool *t = poll->data;
	char data[4096];
	ssize_t len;

	(void)status, (void)events;
	len = read(0, data, sizeof(data));
	if (len < 0)
		return;
	if (len == 0) {
		t->eof = true;
		uv_close((uv_handle_t *)poll, NULL);
	} else if (buffer_append(&t->lines, data, (size_t)len) < 0) {
		exit(2);
	}
	next_line(t);
}

static int add(const char *list[LIST_MAX + 1], const char *text)
{
	for (int i = 0; i < LIST_MAX; i++)
		if (!list[i]) {
			list[i] = text;
			return 0;
		}
	return -1;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"audience", required_argument, NULL, 'a'},
		{"type", required_argument, NULL, 't'},
		{"nonce", required_argument, NULL, 'n'},
		{"ca", required_argument, NULL, 'c'},
		{"pin", required_argument, NULL, 'p'},
		{"scope", required_argument, NULL, 's'},
		{NULL, 0, NULL, 0},
	};
	struct oidc_config config = {0};
	static struct tool t;
	struct error err = {0};
	const char *nonce = NULL, *command;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'a')
			check(add(t.audiences, optarg), NULL);
		else if (c == 't')
			check(add(t.types, optarg), NULL);
		else if (c == 'n')
			nonce = optarg;
		else if (c == 'c')
			config.trust.ca_file = optarg;
		else if (c == 'p')
			config.trust.pinned_spki = optarg;
		else if (c == 's')
			config.scope = optarg;
		else
			return 2;
	}
	if (argc - optind != 3 || secret_process_init() < 0)
		return 2;
	config.issuer = argv[optind];
	config.client_id = argv[optind + 1];
	config.client_secret = getenv("OIDC_CLIENT_SECRET");
	config.token_types = t.types[0] ? t.types : NULL;
	command = argv[optind + 2];
	check(uv_loop_init(&t.loop), NULL);
	check(http_new(&t.loop, "warren-test", &t.http), NULL);
	check(oidc_new(t.http, &tool_clock, &random_system, &config, &t.oidc, &err), &err);
	if (strcmp(command, "device") == 0 || strcmp(command, "pkce") == 0) {
		check(oidc_login_start_nonce(
			      t.oidc, strcmp(command, "pkce") ? OIDC_FLOW_DEVICE : OIDC_FLOW_PKCE,
			      nonce, login_ops(&t), &t.login, &err),
		      &err);
	} else {
		t.refresh = strcmp(command, "refresh") == 0;
		t.revoke = strcmp(command, "revoke") == 0;
		if (!t.refresh && !t.revoke)
			still_ns = clock_monotonic_ns(&clock_system);
		buffer_init(&t.lines, 1 << 20);
		check(uv_poll_init(&t.loop, &t.input, 0), NULL);
		t.input.data = &t;
		check(uv_poll_start(&t.input, UV_READABLE, on_input), NULL);
	}
	for (int i = 0; i < 2; i++) {
		check(uv_signal_init(&t.loop, &t.signals[i]), NULL);
		t.signals[i].data = &t;
		check(uv_signal_start(&t.signals[i], on_signal, i ? SIGTERM : SIGINT), NULL);
	}
	uv_run(&t.loop, UV_RUN_DEFAULT);
	buffer_done(&t.lines);
	check(uv_loop_close(&t.loop), NULL);
	return t.status;
}
