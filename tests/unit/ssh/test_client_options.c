/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ssh/client_escape.h"
#include "ssh/client_options.h"
#include "ssh/client_terminal.h"

#define MAX_ARGS 32

static int parse(struct client_options *o, struct error *err, const char *line)
{
	static char copy[1024];
	char *argv[MAX_ARGS + 1] = {0}, *rest = copy, *word;
	int argc = 0;

	assert_true(strlen(line) < sizeof(copy));
	memcpy(copy, line, strlen(line) + 1);
	while ((word = strsep(&rest, "|")) && argc < MAX_ARGS)
		argv[argc++] = word;
	*err = (struct error){0};
	return client_options_parse(o, argc, argv, err);
}

static void good(struct client_options *o, const char *line)
{
	struct error err;

	if (parse(o, &err, line) < 0)
		fail_msg("%s: %s", line, error_text(&err));
}

static void bad(const char *line, const char *says)
{
	struct client_options o;
	struct error err;

	if (parse(&o, &err, line) == 0)
		fail_msg("%s was accepted", line);
	if (!strstr(error_text(&err), says))
		fail_msg("%s: %s", line, error_text(&err));
	client_options_done(&o);
}

static void test_command_is_not_parsed(void **state)
{
	struct client_options o;

	(void)state;
	good(&o, "ssh|-p|2222|-l|bob|host|ls|-l|-p|1");
	assert_string_equal(o.host, "host");
	assert_string_equal(o.user, "bob");
	assert_int_equal(o.port, 2222);
	assert_string_equal(o.command, "ls -l -p 1");
	client_options_done(&o);
	good(&o, "ssh|host|--|ls|--|x");
	assert_string_equal(o.command, "ls -- x");
	client_options_done(&o);
	good(&o, "ssh|host|--");
	assert_null(o.command);
	client_options_done(&o);
	good(&o, "ssh|--|host|--|-v");
	assert_string_equal(o.command, "-- -v");
	client_options_done(&o);
	good(&o, "ssh|-oRemoteCommand=none|host|ls");
	assert_string_equal(o.command, "ls");
	client_options_done(&o);
	bad("ssh|-oRemoteCommand=ls|host|pwd", "which of them");
	good(&o, "ssh|-p|2222|-l|bob|host|ls|-l|-p|1");
	client_options_done(&o);
	good(&o, "ssh|-l|bob|ann@host");
	assert_string_equal(o.user, "bob"); /* -l wins */
	assert_null(o.command);
	good(&o, "ssh|--|ann@host|-v");
	assert_string_equal(o.user, "ann");
	assert_string_equal(o.command, "-v");
	assert_int_equal(o.log, CLIENT_LOG_INFO);
	client_options_done(&o);
	good(&o, "ssh|-Tp2222|ssh://ann@[fd00::1]:22/");
	good(&o, "ssh|ssh://ann@host:2200/");
	assert_string_equal(o.host, "host");
	assert_int_equal(o.port, 2200);
	good(&o, "ssh|a@b@host");
	assert_string_equal(o.user, "a@b");
}

static void test_flags(void **state)
{
	struct client_options o;

	(void)state;
	good(&o, "ssh|-tt|host");
	assert_int_equal(o.tty, CLIENT_TTY_FORCE);
	good(&o, "ssh|-t|-t|host");
	assert_int_equal(o.tty, CLIENT_TTY_FORCE);
	good(&o, "ssh|-vvN|host");
	assert_int_equal(o.log, CLIENT_LOG_DEBUG2);
	assert_true(o.no_session);
	good(&o, "ssh|-fN|-q|host");
	assert_true(o.background && o.null_input);
	assert_int_equal(o.log, CLIENT_LOG_QUIET);
	good(&o, "ssh|-W|[::1]:22|host");
	assert_true(o.stdio && o.no_session);
	assert_string_equal(o.stdio_host, "::1");
	good(&o,
	     "ssh|-x|-oPermitLocalCommand=no|-oRemoteCommand=none|-oRequestTTY=no|-s|host|sftp");
	assert_true(o.subsystem);
	assert_int_equal(o.tty, CLIENT_TTY_NO);
	assert_string_equal(o.command, "sftp");
	client_options_done(&o);
	good(&o, "ssh|-L|1:h:2|-oClearAllForwardings yes|host");
	assert_int_equal(o.forward_count, 0);
	bad("ssh|-J|jump|host", "no -J");
	bad("ssh|-X|host", "no -X");
	bad("ssh|-C|host", "no -C");
	bad("ssh|-p|0|host", "bad port");
	bad("ssh|-p|65536|host", "bad port");
	bad("ssh|-p|+1|host", "bad port");
	bad("ssh|-p", "wants a value");
	bad("ssh", "which host");
	bad("ssh|-v", "which host");
	bad("ssh|-f|host", "-f wants");
	bad("ssh|-s|host", "-s wants");
	bad("ssh|@host", "bad user");
	bad("ssh|ann@", "bad host");
}

static void test_options(void **state)
{
	struct client_options o;

	(void)state;
	good(&o,
	     "ssh|-o|ServerAliveInterval=5|-oserveralivecountmax 2|-o|ConnectTimeout = 1m|host");
	assert_int_equal(o.alive_interval_s, 5);
	assert_int_equal(o.alive_count, 2);
	assert_int_equal(o.connect_timeout_s, 60);
	good(&o, "ssh|-oPort=1|-oPort=2|-oUser=\"ann\"|-oBatchMode=yes|host");
	assert_int_equal(o.port, 1); /* the first wins */
	assert_string_equal(o.user, "ann");
	assert_true(o.batch);
	good(&o, "ssh|-oRemoteForward=0 localhost:80|-oLocalForward=[::1]:5 "
		 "h:6|-oDynamicForward=7|host");
	assert_int_equal(o.forward_count, 3);
	assert_int_equal(o.forwards[0].kind, CLIENT_FORWARD_REMOTE);
	assert_int_equal(o.forwards[0].port, 0);
	assert_string_equal(o.forwards[1].bind, "::1");
	assert_int_equal(o.forwards[2].port, 7);
	good(&o, "ssh|-oEscapeChar=none|host");
	assert_int_equal(o.escape, -1);
	good(&o, "ssh|-e|^]|host");
	assert_int_equal(o.escape, ']' & 31);
	good(&o, "ssh|-oKbdInteractiveAuthentication=no|-oStrictHostKeyChecking=no|-oControlPath="
		 "none|host");
	assert_true(o.no_interactive);
	bad("ssh|-oControlMaster=auto|host", "has no ControlMaster");
	bad("ssh|-oProxyJump=x|host", "has no ProxyJump");
	bad("ssh|-oNothing=1|host", "no option Nothing");
	bad("ssh|-oBatchMode=maybe|host", "yes or no");
	bad("ssh|-oBatchMode|host", "Key=Value");
	bad("ssh|-oBatchMode=|host", "Key=Value");
	bad("ssh|-oPort=70000|host", "from 1 to 65535");
	bad("ssh|-oServerAliveInterval=-1|host", "a number");
	bad("ssh|-oServerAliveInterval=1x|host", "a number");
	bad("ssh|-oSetEnv=NOVALUE|host", "NAME=VALUE");
	bad("ssh|-oLogLevel=LOUD|host", "QUIET");
}

static void test_forwards(void **state)
{
	static const char *const wrong[] = {
		"",	  "1",	       "1:h",	     "x:h:1",	   "1:h:0", "1:h:65536",
		"1::2",	  "a:1:h:2:3", "[::1:1:h:2", "[::1]1:h:2", "0:h:1", "1:/tmp/socket",
		"-1:h:1", " 1:h:2",
	};
	struct client_forward f;
	struct error err = {0};
	uint16_t port;
	char host[256];

	(void)state;
	assert_int_equal(client_forward_parse(&f, CLIENT_FORWARD_LOCAL, "8080:web:80", &err), 0);
	assert_false(f.bind_given);
	assert_string_equal(f.host, "web");
	assert_int_equal(f.host_port, 80);
	assert_int_equal(client_forward_parse(&f, CLIENT_FORWARD_LOCAL, "*:1:[fd00::2]:2", &err),
			 0);
	assert_true(f.bind_given);
	assert_string_equal(f.bind, "");
	assert_string_equal(f.host, "fd00::2");
	assert_int_equal(client_forward_parse(&f, CLIENT_FORWARD_DYNAMIC, "[::1]:1080", &err), 0);
	assert_string_equal(f.bind, "::1");
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		if (client_forward_parse(&f, CLIENT_FORWARD_LOCAL, wrong[i], &err) == 0)
			fail_msg("-L %s was accepted", wrong[i]);
	}
	assert_int_equal(client_host_port_parse("h:1", host, &port, &err), 0);
	assert_true(client_host_port_parse("h", host, &port, &err) < 0);
	assert_true(client_host_port_parse(":1", host, &port, &err) < 0);
	assert_true(client_host_port_parse("h:1:2", host, &port, &err) < 0);
}

static void test_env(void **state)
{
	(void)state;
	assert_true(client_env_match("LANG LC_*", "LC_ALL"));
	assert_true(client_env_match("LANG LC_*", "LANG"));
	assert_false(client_env_match("LANG LC_*", "LANGUAGE"));
	assert_false(client_env_match("", "A"));
	assert_true(client_env_match("A?", "AB"));
}

static void escape(struct client_escape *e, const char *in, const char *want,
		   enum client_escape_event want_event, size_t want_left)
{
	enum client_escape_event event;
	uint8_t out[64];
	size_t used = 0;
	size_t n = client_escape_filter(e, (const uint8_t *)in, strlen(in), out, &used, &event);

	assert_int_equal(n, strlen(want));
	assert_memory_equal(out, want, n);
	assert_int_equal(event, want_event);
	assert_int_equal(strlen(in) - used, want_left);
}

static void test_escape(void **state)
{
	struct client_escape e = {.character = '~'};

	(void)state;
	escape(&e, "~.", "", CLIENT_ESCAPE_DISCONNECT, 0);
	e = (struct client_escape){.character = '~'};
	escape(&e, "a~.\r", "a~.\r", CLIENT_ESCAPE_NONE, 0);
	escape(&e, "~~.", "~.", CLIENT_ESCAPE_NONE, 0);
	escape(&e, "\r", "\r", CLIENT_ESCAPE_NONE, 0);
	escape(&e, "~", "", CLIENT_ESCAPE_NONE, 0); /* in two pieces */
	escape(&e, "?rest", "", CLIENT_ESCAPE_HELP, 4);
	escape(&e, "~#", "", CLIENT_ESCAPE_LIST, 0);
	escape(&e, "~\032x", "", CLIENT_ESCAPE_SUSPEND, 1);
	escape(&e, "~x~.", "~x~.", CLIENT_ESCAPE_NONE, 0);
	e = (struct client_escape){.character = -1};
	escape(&e, "~.", "~.", CLIENT_ESCAPE_NONE, 0);
}

static void clean(const char *in, const char *want)
{
	char out[64];

	client_terminal_clean(out, sizeof(out), in);
	assert_string_equal(out, want);
}

static void clean_line(const char *in, const char *want)
{
	char out[64];

	client_terminal_clean_line(out, sizeof(out), in);
	assert_string_equal(out, want);
}

static void test_clean(void **state)
{
	(void)state;
	setenv("LC_ALL", "C.UTF-8", 1);
	clean("plain\ttext\r\n", "plain\ttext\n");
	clean("\033]0;title\007", "?]0;title?");
	clean("m\xc3\xbcnchen \xe2\x82\xac", "m\xc3\xbcnchen \xe2\x82\xac");
	clean("\xc2\x9b"
	      "31m",
	      "??31m");				     /* C1 */
	clean("\xff\xc3", "??");		     /* not UTF-8 */
	clean("\xe0\x80\x80\xed\xa0\x80", "??????"); /* overlong, surrogate */
	clean("a\xe2\x80\xae"
	      "b\xe2\x81\xa6",
	      "a???b???"); /* text that runs the other way */
	clean_line("one\r\ntwo\n\tthree\033[2J", "one two  three?[2J");
	clean_line("\nwarren: all is well", " warren: all is well");
	setenv("LC_ALL", "C", 1);
	clean("m\xc3\xbc", "m??");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_command_is_not_parsed),
		cmocka_unit_test(test_flags),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_forwards),
		cmocka_unit_test(test_env),
		cmocka_unit_test(test_escape),
		cmocka_unit_test(test_clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
