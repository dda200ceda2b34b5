/* SPDX-License-Identifier: Apache-2.0
 *
 * sshd_config(5): what wins, Match blocks, patterns, and the sentences for bad lines. The same
 * against stock sshd: tests/interop/test_sshd_config.sh.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "ssh/config/sshd_config.h"
#include "ssh/config/startups.h"

static int include(void *ctx, struct sshd_config *c, const char *pattern, struct error *err)
{
	const struct sshd_source more = {pattern, ctx, strlen(ctx)};

	return sshd_config_parse_more(c, &more, err);
}

static struct sshd_config *parse_with(const char *text, char *included, struct error *err)
{
	const struct sshd_source source = {"a.conf", text, strlen(text)};
	struct sshd_config *c;

	assert_int_equal(sshd_config_new(&c), 0);
	if (sshd_config_parse(c, &source, included != NULL ? include : NULL, included, err) == 0)
		return c;
	sshd_config_free(c);
	return NULL;
}

static struct sshd_options eval_with(const char *text, const struct sshd_query *q, char *included,
				     struct sshd_config **ret)
{
	struct error err = {0};
	struct sshd_config *c = parse_with(text, included, &err);
	struct sshd_options o;

	if (c == NULL)
		fail_msg("%s", err.text);
	sshd_config_evaluate(c, q, &o);
	*ret = c;
	return o;
}

static const char *const groups[] = {"wheel", "users"};
static struct sshd_query alice(void)
{
	struct sshd_query q = {.user = "alice", .peer = "build-7", .identity = "alice@example.com",
			       .groups = groups, .group_count = 2, .local_port = 2222};

	assert_int_equal(ip_addr_parse("10.1.2.3", &q.address), 0);
	assert_int_equal(ip_addr_parse("192.0.2.1", &q.local_address), 0);
	return q;
}

/* The first value of a layer wins, and the layer of Match blocks goes first. */
static void wins(void **state)
{
	static const struct {
		const char *text;
		uint32_t sessions;
	} table[] = {
		{"", 100},
		{"MaxSessions 3\nMaxSessions 4\n", 3},
		{"maxsessions=5", 5},
		{"MaxSessions = \"6\" # six\n", 6},
		{"MaxSessions 3\nMatch User alice\nMaxSessions 4\n", 4},
		{"Match User bob\nMaxSessions 4\nMatch all\nMaxSessions 9\n", 9},
		{"Match User alice\nMaxSessions 4\nMatch all\nMaxSessions 9\n", 4},
		{"Match User ali*,bob\nMaxSessions 4\n", 4},
		{"Match User *,!alice\nMaxSessions 4\n", 100},
		{"Match User !bob\nMaxSessions 4\n", 100}, /* as sshd: nothing says yes */
		{"Match Group wheel\nMaxSessions 4\n", 4},
		{"Match Group *,!users\nMaxSessions 4\n", 100},
		{"Match Address 10.0.0.0/8\nMaxSessions 4\n", 4},
		{"Match Address 10.1.*\nMaxSessions 4\n", 4},
		{"Match Address 10.0.0.0/8,!10.1.0.0/16\nMaxSessions 4\n", 100},
		{"Match Address fd00::/8\nMaxSessions 4\n", 100},
		{"Match LocalAddress 192.0.2.1 LocalPort 2222\nMaxSessions 4\n", 4},
		{"Match LocalPort 22\nMaxSessions 4\n", 100},
		{"Match User alice Address 192.0.2.0/24\nMaxSessions 4\n", 100},
		{"Match Peer build-*\nMaxSessions 4\n", 4},
		{"Match Peer db-*\nMaxSessions 4\n", 100},
		{"Match Identity *@EXAMPLE.com\nMaxSessions 4\n", 4},
		{"Match Host x\nMaxSessions 4\n", 100}, /* not known */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct sshd_query q = alice();
		struct sshd_config *c;
		struct sshd_options o = eval_with(table[i].text, &q, NULL, &c);

		if (o.max_sessions != table[i].sessions)
			fail_msg("%s: %u", table[i].text, o.max_sessions);
		sshd_config_free(c);
	}
}

/* Nobody looks groups up for a configuration that does not say so, and for each that does. */
static void asks_groups(void **state)
{
	static const struct {
		const char *text;
		bool asks;
	} table[] = {
		{"", false},
		{"AllowUsers alice\nMatch User bob\nMaxSessions 1\n", false},
		{"Match User group\nMaxSessions 1\n", false},
		{"AllowGroups wheel\n", true},
		{"DenyGroups wheel\n", true},
		{"Match group=wheel\nMaxSessions 1\n", true},
		{"Match User alice Group !wheel\nMaxSessions 1\n", true},
		{"Match User bob\nDenyGroups wheel\n", true},
	};
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct sshd_config *c = parse_with(table[i].text, NULL, &err);

		if (c == NULL || sshd_config_asks_groups(c) != table[i].asks)
			fail_msg("%s", table[i].text);
		sshd_config_free(c);
	}
}

static void unknown_login_matches_nothing(void **state)
{
	struct sshd_query q = {0};
	struct sshd_config *c;
	struct sshd_options o = eval_with("Match User *\nMaxSessions 1\nMatch Group *\nMaxSessions 2"
					  "\nMatch Address *\nMaxSessions 3\n",
					  &q, NULL, &c);

	(void)state;
	assert_int_equal(o.max_sessions, 100);
	sshd_config_free(c);
}

static void included(void **state)
{
	char more[] = "Match User alice\nMaxSessions 4\n";
	struct sshd_query q = alice();
	struct sshd_config *c;
	struct error err = {0};
	/* The included block ends with its file, and holds inside of the block around it only. */
	struct sshd_options o =
		eval_with("Include more\nMaxAuthTries 2\nMatch User bob\nInclude more\n", &q, more, &c);

	(void)state;
	assert_int_equal(o.max_sessions, 4);
	assert_int_equal(o.max_auth_tries, 2);
	sshd_config_free(c);
	o = eval_with("Match User bob\nInclude more\n", &q, more, &c);
	assert_int_equal(o.max_sessions, 100);
	sshd_config_free(c);
	assert_null(parse_with("\nInclude more", (char[]){"\n\nFoo 1"}, &err));
	assert_non_null(strstr(err.text, "more line 3: there is no keyword Foo"));
	assert_null(parse_with("Include more", (char[]){"Include more"}, &err));
	assert_non_null(strstr(err.text, "too deep"));
}

static void lists(void **state)
{
	struct sshd_query q = alice();
	struct sshd_config *c;
	struct sshd_options o = eval_with(
		"Port 22\nPort 23\nListenAddress 127.0.0.1\nListenAddress\nListenAddress [::1]:9\n"
		"AcceptEnv\nAcceptEnv A_* B\nSetEnv X=1 \"Y=2 3\"\nSetEnv Z=1\n"
		"PermitOpen a:1 [::1]:*\nPermitListen 80 localhost:81 10.1.*:90\nAllowUsers bob\n"
		"AllowUsers alice@10.0.0.0/8\nChannelTimeout session:*=5m direct-tcpip=none\n"
		"Subsystem echo /bin/cat -u\nSubsystem sftp internal-sftp\n",
		&q, NULL, &c);

	(void)state;
	assert_int_equal(o.port_count, 2);
	assert_int_equal(o.listen.count, 1);
	assert_string_equal(o.listen.word[0], "[::1]:9");
	assert_true(sshd_env_accepted(&o, "A_1"));
	assert_false(sshd_env_accepted(&o, "LANG"));
	assert_false(sshd_env_accepted(&o, "B=x"));
	assert_int_equal(o.set_env.count, 2);
	assert_string_equal(o.set_env.word[1], "Y=2 3");
	assert_true(sshd_may_open(&o, "a", 1) && sshd_may_open(&o, "::1", 77));
	assert_false(sshd_may_open(&o, "a", 2) || sshd_may_open(&o, "b", 1));
	assert_true(sshd_may_listen(&o, "anything", 80) && sshd_may_listen(&o, "localhost", 81));
	assert_true(sshd_may_listen(&o, "LocalHost", 81) && sshd_may_listen(&o, "10.1.2.3", 90));
	assert_false(sshd_may_listen(&o, "0.0.0.0", 81) || sshd_may_listen(&o, "10.2.2.3", 90));
	assert_null(sshd_user_refused(&o, &q));
	q.user = "carol";
	assert_string_equal(sshd_user_refused(&o, &q), "AllowUsers");
	assert_int_equal(sshd_timeout_of(&o, "session:shell"), 300);
	assert_int_equal(sshd_timeout_of(&o, "direct-tcpip"), 0);
	assert_int_equal(sshd_timeout_of(&o, "agent-connection"), 0);
	assert_string_equal(sshd_subsystem_command(&o, "echo"), "/bin/cat -u");
	assert_string_equal(sshd_subsystem_command(&o, "sftp"), "internal-sftp");
	sshd_config_free(c);
	o = eval_with("PermitOpen none\nDenyGroups wheel\nForceCommand echo \"a b\" # c\n", &q, NULL,
		      &c);
	assert_false(sshd_may_open(&o, "a", 1));
	assert_string_equal(sshd_user_refused(&o, &q), "DenyGroups");
	assert_string_equal(o.force_command, "echo \"a b\" # c");
	sshd_config_free(c);
}

/* A negated address or name is no match, whatever else the list says. */
static void negated_hosts(void **state)
{
	static const struct {
		const char *line, *refused;
	} table[] = {
		{"AllowUsers alice@!10.0.0.0/8,*", "AllowUsers"},
		{"AllowUsers alice@*,!10.1.2.3", "AllowUsers"},
		{"AllowUsers alice@*,!client.example", "AllowUsers"},
		{"AllowUsers alice@!192.0.2.0/24,*", NULL},
		{"AllowUsers alice@client.*", NULL},
		{"AllowUsers alice@10.0.0.0/8", NULL},
		{"AllowUsers a*@10.1.2.?", NULL},
		{"AllowUsers bob@*", "AllowUsers"},
		{"DenyUsers alice@!10.0.0.0/8,*", NULL},
		{"DenyUsers *@10.0.0.0/8", "DenyUsers"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct sshd_query q = alice();
		struct sshd_config *c;
		struct sshd_options o;
		const char *refused;

		assert_int_equal(ip_addr_parse("10.1.2.3", &q.address), 0);
		q.host = "client.example";
		o = eval_with(table[i].line, &q, NULL, &c);
		refused = sshd_user_refused(&o, &q);
		if ((refused == NULL) != (table[i].refused == NULL))
			fail_msg("%s: %s", table[i].line, refused != NULL ? refused : "let in");
		sshd_config_free(c);
	}
}

static void algorithms(void **state)
{
	struct sshd_query q = alice();
	struct sshd_config *c;
	struct sshd_options o = eval_with("Ciphers aes256-gcm@openssh.com,aes192-ctr\n"
					  "MACs +hmac-sha2-256\nKexAlgorithms -ecdh-*\n",
					  &q, NULL, &c);

	(void)state;
	assert_string_equal(o.ciphers, "aes256-gcm@openssh.com,aes192-ctr");
	assert_string_equal(o.macs, "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,"
				    "hmac-sha2-256");
	assert_null(strstr(o.kex, "ecdh"));
	assert_non_null(strstr(o.kex, "curve25519-sha256,"));
	sshd_config_free(c);
	o = eval_with("Ciphers ^aes128-gcm@openssh.com", &q, NULL, &c);
	assert_memory_equal(o.ciphers, "aes128-gcm@openssh.com,chacha20", 31);
	sshd_config_free(c);
}

static void sentences(void **state)
{
	static const char *const table[][2] = {
		{"Foo 1", "a.conf line 1: there is no keyword Foo here"},
		{"\n# x\nPort", "Port"},
		{"\nPort 0", "a.conf line 2: Port: \"0\" is no port"},
		{"X11Forwarding yes", "X11 forwarding is not offered; the only value is no"},
		{"Compression delayed", "compression is not offered"},
		{"Ciphers none", "none would be no protection"},
		{"Ciphers aes128-cbc", "aes128-cbc is weak"},
		{"Ciphers 3des-cbc", "3des-cbc is weak"},
		{"Ciphers +arcfour", "arcfour is weak"},
		{"Ciphers foo", "foo is not one that this server has"},
		{"Ciphers -*", "nothing is left"},
		{"MACs hmac-sha1", "hmac-sha1 stands on SHA-1"},
		{"KexAlgorithms diffie-hellman-group14-sha1", "stands on SHA-1"},
		{"HostKeyAlgorithms ssh-rsa", "ssh-rsa stands on SHA-1"},
		{"PubkeyAcceptedAlgorithms ssh-dss", "ssh-dss stands on SHA-1"},
		{"PermitTTY maybe", "\"maybe\" is neither yes nor no"},
		{"PermitTTY yes no", "\"no\" is too much"},
		{"PermitRootLogin sometimes", "is none of without-password, prohibit-password"},
		{"LoginGraceTime soon", "\"soon\" is no time"},
		{"MaxStartups 10:30:5", "MaxStartups: \"10:30:5\""},
		{"MaxSessions 9999999999", "no whole number"},
		{"SetEnv A", "\"A\" is no NAME=VALUE"},
		{"PermitOpen host", "\"host\" is no HOST:PORT"},
		{"ChannelTimeout session=soon", "is no TYPE=TIME"},
		{"RekeyLimit lots", "is no amount"},
		{"AllowUsers @x", "is no USER"},
		{"AllowUsers", "AllowUsers: a value is missing"},
		{"AcceptEnv \"x", "a quote is not closed"},
		{"Match", "Match: whom?"},
		{"Match all user x", "\"all\" is none of"},
		{"Match user", "user of what?"},
		{"Match address 10.0.0.0/33", "no list of addresses"},
		{"Match address 10.0.0.1/8", "no list of addresses"},
		{"Match user x\nPort 1", "a.conf line 2: Port cannot stand in a Match block"},
		{"Include x", "Include: not here"},
		{"Subsystem sftp", "write a name and a command"},
		{"PermitUserEnvironment yes no", "write yes, no, or names"},
		{"RequiredRSASize 1024", "no whole number from 2048 to 16384"},
		{"FingerprintHash md5", "the only value is sha256"},
		{"HostCertificate /x", "cannot show a host certificate"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct error err = {0};
		struct sshd_config *c = parse_with(table[i][0], NULL, &err);

		if (strcmp(table[i][1], "Port") == 0) { /* empty: forgets those before */
			assert_non_null(c);
			sshd_config_free(c);
			continue;
		}
		assert_null(c);
		if (strstr(err.text, table[i][1]) == NULL)
			fail_msg("%s: %s", table[i][0], err.text);
	}
}

static void environment_of_the_user(void **state)
{
	static const struct {
		const char *text;
		bool lang, path;
	} table[] = {
		{"", false, false},
		{"PermitUserEnvironment no", false, false},
		{"PermitUserEnvironment yes", true, true},
		{"PermitUserEnvironment L*", true, false},
		{"PermitUserEnvironment *,!PATH", true, false},
		{"PermitUserEnvironment lang", false, false},
		{"PermitUserEnvironment no\nPermitUserEnvironment yes", false, false},
	};
	struct sshd_query q = alice();

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct sshd_config *c;
		struct sshd_options o = eval_with(table[i].text, &q, NULL, &c);

		assert_int_equal(sshd_user_env_permitted(&o, "LANG"), table[i].lang);
		assert_int_equal(sshd_user_env_permitted(&o, "PATH"), table[i].path);
		sshd_config_free(c);
	}
}

static void no_effect(void *ctx, const struct sshd_place *p)
{
	*(size_t *)ctx += p->no_effect != NULL;
}

/* They are told, and not handed on. */
static void without_effect(void **state)
{
	struct sshd_query q = alice();
	struct sshd_config *c;
	struct sshd_options o = eval_with("IPQoS af21 cs1\nMaxSessions 3\nMatch User alice\n"
					  "X11UseLocalhost no\n",
					  &q, NULL, &c);
	struct buffer out;
	size_t count = 0;

	(void)state;
	(void)o;
	sshd_config_each(c, no_effect, &count);
	assert_int_equal(count, 2);
	buffer_init(&out, 4096);
	assert_int_equal(sshd_config_text(c, &out), 0);
	assert_null(strstr(buffer_cstring(&out), "IPQoS"));
	assert_null(strstr(buffer_cstring(&out), "X11"));
	assert_non_null(strstr(buffer_cstring(&out), "MaxSessions \"3\""));
	buffer_done(&out);
	sshd_config_free(c);
}

/* What the broker hands on means the same. */
static void text_again(void **state)
{
	static const char text[] = "AcceptEnv \"A B\" c\\\"d\nForceCommand echo 'x\"' # y\n"
				   "Subsystem s /bin/echo \"a  b\"\nMatch User \"a b\",alice\n"
				   "SetEnv \"X=1 2\"\nInclude more\nMatch Peer b*\nPermitTTY no\n";
	char more[] = "Match Group wheel\nMaxSessions 7\n";
	struct sshd_query q = alice();
	struct sshd_config *c, *again;
	struct sshd_options o = eval_with(text, &q, more, &c);
	struct buffer out, first, second;

	(void)state;
	buffer_init(&out, 65536);
	buffer_init(&first, 65536);
	buffer_init(&second, 65536);
	assert_int_equal(sshd_config_show(&o, &first), 0);
	assert_int_equal(sshd_config_text(c, &out), 0);
	o = eval_with(buffer_cstring(&out), &q, NULL, &again);
	assert_int_equal(o.max_sessions, 7);
	assert_false(o.permit_tty);
	assert_int_equal(sshd_config_show(&o, &second), 0);
	assert_string_equal(buffer_cstring(&first), buffer_cstring(&second));
	sshd_config_free(c);
	sshd_config_free(again);
	buffer_done(&out);
	buffer_done(&first);
	buffer_done(&second);
}

static void too_many(void **state)
{
	char text[8192] = "";
	struct error err = {0};

	(void)state;
	for (int i = 0; i < 200; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "DenyUsers u%d\n", i);
	assert_null(parse_with(text, NULL, &err));
	assert_non_null(strstr(err.text, "DenyUsers: too many values"));
}

static void startups(void **state)
{
	struct sshd_startups s = {10, 30, 100, 3, 24, 64};
	struct ip_addr a, b;

	(void)state;
	for (unsigned percent = 0; percent < 100; percent++) {
		assert_false(startups_drops(&s, 9, percent));
		assert_int_equal(startups_drops(&s, 10, percent), percent < 30);
		assert_int_equal(startups_drops(&s, 55, percent), percent < 65);
		assert_true(startups_drops(&s, 100, percent));
	}
	s.begin = s.full = 5;
	s.rate = 100;
	assert_false(startups_drops(&s, 4, 0));
	assert_true(startups_drops(&s, 5, 99));
	assert_non_null(startups_refusal(&s, 0, 3, 99));
	assert_null(startups_refusal(&s, 0, 2, 99));
	assert_int_equal(ip_addr_parse("10.0.1.1", &a), 0);
	assert_int_equal(ip_addr_parse("10.0.1.200", &b), 0);
	assert_true(startups_same_source(&s, &a, &b));
	assert_int_equal(ip_addr_parse("10.0.2.1", &b), 0);
	assert_false(startups_same_source(&s, &a, &b));
	assert_int_equal(ip_addr_parse("fd00::1:0:0:0:1", &a), 0);
	assert_int_equal(ip_addr_parse("fd00::1:0:0:0:2", &b), 0);
	assert_true(startups_same_source(&s, &a, &b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wins),	      cmocka_unit_test(unknown_login_matches_nothing),
		cmocka_unit_test(included),   cmocka_unit_test(lists),
		cmocka_unit_test(algorithms), cmocka_unit_test(sentences),
		cmocka_unit_test(text_again), cmocka_unit_test(asks_groups),
		cmocka_unit_test(environment_of_the_user),
		cmocka_unit_test(without_effect), cmocka_unit_test(too_many),
		cmocka_unit_test(startups),   cmocka_unit_test(negated_hosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
