/* SPDX-License-Identifier: Apache-2.0
 *
 * Certificates: those that ssh-keygen made (data/, by data/make.sh) are read, and made again from
 * the same CA seed and nonce to the same bytes; then every fault that the server must notice.
 */
#include "identity/sshcert.h"

#include <errno.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "platform/encode.h"
#include "platform/file.h"

#define AFTER  INT64_C(1767225600) /* 2026-01-01T00:00:00Z */
#define BEFORE (AFTER + 300)

static uint8_t ca_secret[64], cas[1][32];

struct blob {
	uint8_t data[SSHCERT_MAX_BLOB];
	size_t len;
	char type[64];
};

static void load(const char *name, struct blob *ret_blob)
{
	struct buffer text;
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", TEST_DATA_DIR, name);
	buffer_init(&text, 16384);
	assert_int_equal(file_read(path, &text), 0);
	assert_int_equal(sshcert_text_decode(buffer_cstring(&text), ret_blob->data,
					     sizeof(ret_blob->data), &ret_blob->len,
					     ret_blob->type),
			 0);
	buffer_done(&text);
}

static int sign(void *ctx, const void *data, size_t len, uint8_t ret_sig[64])
{
	return crypto_sign_detached(ret_sig, NULL, data, len, ctx);
}

static int parse(const struct blob *b, struct sshcert *cert)
{
	struct error err = {0};
	int rc = sshcert_parse(b->data, b->len, cert, &err);

	assert_true(rc == 0 || (err.code == rc && err.text[0] != '\0'));
	return rc;
}

static struct sshcert load_cert(const char *name)
{
	struct sshcert cert;
	struct blob b;

	load(name, &b);
	assert_int_equal(parse(&b, &cert), 0);
	return cert;
}

static struct sshcert_expect good_expect(void)
{
	struct sshcert_expect x = {
		.cas = cas,
		.ca_count = 1,
		.login = "deploy",
		.need_source = true,
		.now_s = AFTER + 10,
	};

	assert_int_equal(ip_addr_parse("100.64.0.7", &x.source), 0);
	return x;
}

static void expect_refused(const struct sshcert *cert, const struct sshcert_expect *x,
			   const char *word)
{
	struct error err = {0};

	assert_int_equal(sshcert_check(cert, x, &err), -EACCES);
	if (!strstr(err.text, word))
		fail_msg("\"%s\" does not say \"%s\"", err.text, word);
}

static void test_reads_ssh_keygen(void **state)
{
	struct sshcert cert = load_cert("ed25519-cert.pub");
	char text[IP_PREFIX_STRLEN];
	struct blob subject;

	(void)state;
	load("ed25519.pub", &subject);
	assert_string_equal(cert.key_type, "ssh-ed25519");
	assert_int_equal(cert.subject_len, subject.len);
	assert_memory_equal(cert.subject, subject.data, subject.len);
	assert_true(cert.serial == UINT64_C(72623859790382856));
	assert_int_equal(cert.type, 1);
	assert_string_equal(cert.key_id, "alice@example.com caller=p_a");
	assert_int_equal(cert.principal_count, 2);
	assert_string_equal(cert.principals[0], "deploy");
	assert_string_equal(cert.principals[1], "alice");
	assert_int_equal(cert.valid_after_s, AFTER);
	assert_int_equal(cert.valid_before_s, BEFORE);
	assert_true(cert.has_source_address);
	assert_int_equal(cert.source_count, 2);
	assert_string_equal(ip_prefix_format(&cert.sources[0], text), "100.64.0.7/32");
	assert_string_equal(ip_prefix_format(&cert.sources[1], text), "fd00::7/128");
	assert_int_equal(cert.extensions, 31);
	assert_false(cert.unknown_critical);
	assert_memory_equal(cert.ca, cas[0], 32);
	assert_string_equal(cert.force_command, "");
}

static void test_reads_other_forms(void **state)
{
	struct sshcert cert = load_cert("force-cert.pub");

	(void)state;
	assert_string_equal(cert.force_command, "/bin/echo hello");
	assert_int_equal(cert.extensions, SSHCERT_PERMIT_PTY);
	cert = load_cert("forever-cert.pub");
	assert_int_equal(cert.valid_after_s, 0);
	assert_true(cert.valid_before_s == INT64_MAX);
	cert = load_cert("unknown-cert.pub");
	assert_true(cert.unknown_critical);
	assert_string_equal(cert.unknown_critical_name, "verify-nothing@example.com");
	cert = load_cert("extension-cert.pub");
	assert_int_equal(cert.extensions, 31);
	assert_false(cert.unknown_critical);
	cert = load_cert("host-cert.pub");
	assert_int_equal(cert.type, 2);
	cert = load_cert("nobody-cert.pub");
	assert_int_equal(cert.principal_count, 0);
}

/* The oracle: Ed25519 is deterministic, so the same input must give ssh-keygen's bytes. */
static void test_makes_what_ssh_keygen_makes(void **state)
{
	static const char *const names[] = {
		"ed25519-cert.pub",	"ecdsa256-cert.pub", "ecdsa384-cert.pub",
		"ecdsa521-cert.pub",	"rsa-cert.pub",	     "sk_ed25519-cert.pub",
		"sk_ecdsa256-cert.pub", "bare-cert.pub",     "force-cert.pub",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct sshcert cert = load_cert(names[i]);
		const uint8_t *nonce;
		struct buffer made;
		struct reader r;
		struct blob b;
		size_t len = 0;

		load(names[i], &b);
		r = reader_init(b.data, b.len);
		reader_string(&r, 64, &len);
		nonce = reader_string(&r, 64, &len);
		assert_int_equal(len, 32);
		buffer_init(&made, SSHCERT_MAX_BLOB);
		assert_int_equal(sshcert_make(&cert, nonce, sign, ca_secret, &made), 0);
		assert_int_equal(made.len, b.len);
		assert_memory_equal(made.data, b.data, b.len);
		buffer_done(&made);
	}
}

static void test_check_accepts(void **state)
{
	struct sshcert cert = load_cert("ed25519-cert.pub");
	struct sshcert_expect x = good_expect();
	uint64_t revoked[] = {1, 72623859790382855, 72623859790382857, UINT64_MAX};

	(void)state;
	x.revoked = revoked;
	x.revoked_count = 4;
	assert_int_equal(sshcert_check(&cert, &x, NULL), 0);
	x.now_s = AFTER;
	assert_int_equal(sshcert_check(&cert, &x, NULL), 0);
	x.now_s = BEFORE - 1;
	assert_int_equal(sshcert_check(&cert, &x, NULL), 0);
	assert_int_equal(ip_addr_parse("fd00::7", &x.source), 0);
	x.login = "alice";
	assert_int_equal(sshcert_check(&cert, &x, NULL), 0);
	cert = load_cert("bare-cert.pub");
	x.need_source = false;
	assert_int_equal(sshcert_check(&cert, &x, NULL), 0);
}

static void test_check_refuses(void **state)
{
	struct sshcert cert = load_cert("ed25519-cert.pub"), other;
	struct sshcert_expect x = good_expect();
	uint64_t revoked[] = {1, 72623859790382856, UINT64_MAX};

	(void)state;
	x.now_s = BEFORE;
	expect_refused(&cert, &x, "expired");
	x.now_s = AFTER - 1;
	expect_refused(&cert, &x, "not valid yet");
	x = good_expect();
	x.login = "root";
	expect_refused(&cert, &x, "login \"root\"");
	x.login = "deplo";
	expect_refused(&cert, &x, "login");
	x.login = "";
	expect_refused(&cert, &x, "login");
	x = good_expect();
	assert_int_equal(ip_addr_parse("100.64.0.8", &x.source), 0);
	expect_refused(&cert, &x, "other addresses than 100.64.0.8");
	x.need_source = false; /* an option that is there counts, wanted or not */
	expect_refused(&cert, &x, "other addresses");
	memset(&x.source, 0, sizeof(x.source));
	expect_refused(&cert, &x, "other addresses");
	x = good_expect();
	x.revoked = revoked;
	x.revoked_count = 3;
	expect_refused(&cert, &x, "revoked");
	x = good_expect();
	x.ca_count = 0;
	expect_refused(&cert, &x, "another machine's CA");
	x = good_expect();
	other = load_cert("other_ca-cert.pub");
	expect_refused(&other, &x, "another machine's CA");
	other = load_cert("unknown-cert.pub");
	expect_refused(&other, &x, "verify-nothing@example.com");
	other = load_cert("host-cert.pub");
	expect_refused(&other, &x, "host certificate");
	other = load_cert("nobody-cert.pub");
	expect_refused(&other, &x, "does not allow");
	other = load_cert("bare-cert.pub");
	expect_refused(&other, &x, "no source address");
}

static void test_parse_refuses_files(void **state)
{
	struct sshcert cert;
	struct blob b;

	(void)state;
	load("rsa_ca-cert.pub", &b);
	assert_int_equal(parse(&b, &cert), -EINVAL); /* CA that is not Ed25519 */
	load("ed25519.pub", &b);
	assert_int_equal(parse(&b, &cert), -EINVAL); /* a plain key */
	load("rsa1024-cert.pub", &b);
	assert_int_equal(parse(&b, &cert), -EINVAL); /* a weak key */
}

static void test_parse_refuses_every_change(void **state)
{
	struct sshcert cert;
	struct blob b;

	(void)state;
	load("ed25519-cert.pub", &b);
	for (size_t i = 0; i < b.len; i++) {
		b.data[i] ^= 1;
		assert_true(parse(&b, &cert) < 0);
		b.data[i] ^= 0x81;
		assert_true(parse(&b, &cert) < 0);
		b.data[i] ^= 0x80;
	}
	b.data[b.len++] = 0; /* trailing byte */
	assert_int_equal(parse(&b, &cert), -EINVAL);
	b.len--;
	assert_int_equal(parse(&b, &cert), 0);
	while (b.len-- > 0)
		assert_true(parse(&b, &cert) < 0);
}

/* A certificate written by hand, so that the signature is right and one thing is wrong. */
struct raw {
	size_t nonce_len;
	uint32_t type;
	const char *principals, *critical, *extensions, *reserved;
	size_t principals_len, critical_len, extensions_len;
};

#define LITERAL(field, text) .field = text, .field##_len = sizeof(text) - 1

static int parse_raw(const struct raw *raw, struct sshcert *cert)
{
	uint8_t inner_data[512], nonce[128] = {1};
	struct blob b = {0};
	struct writer w = writer_init(b.data, sizeof(b.data)), inner;
	uint8_t sig[64];

	writer_cstring(&w, "ssh-ed25519-cert-v01@openssh.com");
	writer_string(&w, nonce, raw->nonce_len);
	writer_string(&w, nonce, 32);
	writer_u64(&w, 1);
	writer_u32(&w, raw->type);
	writer_cstring(&w, "id");
	writer_string(&w, raw->principals, raw->principals_len);
	writer_u64(&w, 1);
	writer_u64(&w, UINT64_MAX);
	writer_string(&w, raw->critical, raw->critical_len);
	writer_string(&w, raw->extensions, raw->extensions_len);
	writer_cstring(&w, raw->reserved ? raw->reserved : "");
	inner = writer_init(inner_data, sizeof(inner_data));
	writer_cstring(&inner, "ssh-ed25519");
	writer_string(&inner, cas[0], 32);
	writer_string(&w, inner_data, inner.len);
	crypto_sign_detached(sig, NULL, b.data, w.len, ca_secret);
	inner = writer_init(inner_data, sizeof(inner_data));
	writer_cstring(&inner, "ssh-ed25519");
	writer_string(&inner, sig, 64);
	writer_string(&w, inner_data, inner.len);
	assert_false(w.failed);
	b.len = w.len;
	return parse(&b, cert);
}

#define FLAG_PTY "\0\0\0\12permit-pty\0\0\0\0"
#define FLAG_RC	 "\0\0\0\16permit-user-rc\0\0\0\0"

static void test_form(void **state)
{
	static const struct {
		int rc;
		struct raw raw;
	} cases[] = {
		{0,
		 {32, 1, LITERAL(principals, "\0\0\0\1a"), LITERAL(extensions, FLAG_PTY FLAG_RC)}},
		{0, {16, 1, LITERAL(principals, "\0\0\0\1a")}},
		{0, {32, 1, LITERAL(critical, "\0\0\0\1x\0\0\0\1y")}},
		{0,
		 {32, 1,
		  LITERAL(critical, "\0\0\0\16source-address\0\0\0\13\0\0\0\07"
				    "1.2.3.4")}},
		{-EINVAL, {15, 1, LITERAL(principals, "\0\0\0\1a")}},
		{-EINVAL, {0, 1, LITERAL(principals, "\0\0\0\1a")}},
		{-EINVAL, {65, 1, LITERAL(principals, "\0\0\0\1a")}},
		{-EINVAL, {32, 0, LITERAL(principals, "\0\0\0\1a")}},
		{-EINVAL, {32, 3, LITERAL(principals, "\0\0\0\1a")}},
		{-EINVAL, {32, 1, .reserved = "x"}},
		/* principals: empty, cut off, with a NUL */
		{-EINVAL, {32, 1, LITERAL(principals, "\0\0\0\0")}},
		{-EINVAL, {32, 1, LITERAL(principals, "\0\0\0\2a")}},
		{-EINVAL, {32, 1, LITERAL(principals, "\0\0\0\3a\0b")}},
		/* extensions: twice, out of order, with data, cut off */
		{-EINVAL, {32, 1, LITERAL(extensions, FLAG_PTY FLAG_PTY)}},
		{-EINVAL, {32, 1, LITERAL(extensions, FLAG_RC FLAG_PTY)}},
		{-EINVAL, {32, 1, LITERAL(extensions, "\0\0\0\12permit-pty\0\0\0\1x")}},
		{-EINVAL, {32, 1, LITERAL(extensions, "\0\0\0\12permit-pty\0\0\0")}},
		{-EINVAL, {32, 1, LITERAL(extensions, "\0\0\0\0\0\0\0\0")}},
		/* critical options: twice, not a packed string, no address, an empty command */
		{-EINVAL, {32, 1, LITERAL(critical, "\0\0\0\1x\0\0\0\0\0\0\0\1x\0\0\0\0")}},
		{-EINVAL,
		 {32, 1,
		  LITERAL(critical, "\0\0\0\16source-address\0\0\0\07"
				    "1.2.3.4")}},
		{-EINVAL,
		 {32, 1, LITERAL(critical, "\0\0\0\16source-address\0\0\0\10\0\0\0\4host")}},
		{-EINVAL, {32, 1, LITERAL(critical, "\0\0\0\16source-address\0\0\0\4\0\0\0\0")}},
		{-EINVAL,
		 {32, 1,
		  LITERAL(critical, "\0\0\0\16source-address\0\0\0\14\0\0\0\10"
				    "1.2.3.4,")}},
		{-EINVAL, {32, 1, LITERAL(critical, "\0\0\0\15force-command\0\0\0\4\0\0\0\0")}},
		{-EINVAL, {32, 1, LITERAL(critical, "\0\0\0\15force-command\0\0\0\6\0\0\0\1ax")}},
	};
	struct sshcert cert;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (parse_raw(&cases[i].raw, &cert) != cases[i].rc)
			fail_msg("case %zu", i);
}

static int forge(void *ctx, const void *data, size_t len, uint8_t ret_sig[64])
{
	(void)ctx, (void)data, (void)len;
	memset(ret_sig, 7, 64);
	return 0;
}

static void test_make_refuses(void **state)
{
	const struct sshcert good = load_cert("ed25519-cert.pub");
	uint8_t nonce[32] = {0};
	struct sshcert cert;
	struct buffer out;

	(void)state;
	buffer_init(&out, SSHCERT_MAX_BLOB);
	assert_int_equal(sshcert_make(&good, nonce, forge, NULL, &out), -EBADMSG);
	cert = good;
	cert.principal_count = 0;
	assert_int_equal(sshcert_make(&cert, nonce, sign, ca_secret, &out), -EINVAL);
	cert = good;
	cert.type = 2;
	assert_int_equal(sshcert_make(&cert, nonce, sign, ca_secret, &out), -EINVAL);
	cert = good;
	cert.valid_before_s = cert.valid_after_s;
	assert_int_equal(sshcert_make(&cert, nonce, sign, ca_secret, &out), -EINVAL);
	cert = good;
	cert.source_count = 0; /* but has_source_address */
	assert_int_equal(sshcert_make(&cert, nonce, sign, ca_secret, &out), -EINVAL);
	cert = good;
	cert.subject_len--;
	assert_int_equal(sshcert_make(&cert, nonce, sign, ca_secret, &out), -EINVAL);
	cert = good;
	cert.principals[1][0] = '\0';
	assert_int_equal(sshcert_make(&cert, nonce, sign, ca_secret, &out), -EINVAL);
	assert_int_equal(out.len, 0);
	buffer_done(&out);
}

static void test_text(void **state)
{
	uint8_t out[SSHCERT_MAX_BLOB];
	struct buffer text;
	char type[64];
	struct blob b;
	size_t len;

	(void)state;
	load("ed25519-cert.pub", &b);
	assert_string_equal(b.type, "ssh-ed25519-cert-v01@openssh.com");
	buffer_init(&text, 16384);
	assert_int_equal(sshcert_text(b.data, b.len, "me", &text), 0);
	assert_int_equal(sshcert_text_decode(buffer_cstring(&text), out, sizeof(out), &len, type),
			 0);
	assert_int_equal(len, b.len);
	assert_memory_equal(out, b.data, len);
	assert_int_equal(sshcert_text(b.data, b.len, "two\nlines", &text), -EINVAL);
	buffer_done(&text);
	assert_int_equal(sshcert_text_decode("", out, sizeof(out), &len, type), -EINVAL);
	assert_int_equal(sshcert_text_decode("ssh-ed25519", out, sizeof(out), &len, type), -EINVAL);
	assert_int_equal(
		sshcert_text_decode("ssh-rsa AAAAC3NzaC1lZDI1NTE5", out, sizeof(out), &len, type),
		-EINVAL);
	assert_int_equal(sshcert_text_decode("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5NQ==\nssh-rsa AAAA",
					     out, sizeof(out), &len, type),
			 -EINVAL);
	assert_int_equal(sshcert_text_decode("x AAAAAXg=", out, 4, &len, type), -EMSGSIZE);
	assert_int_equal(sshcert_text_decode("x AAAAAXg= c\n", out, 5, &len, type), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads_ssh_keygen),
		cmocka_unit_test(test_reads_other_forms),
		cmocka_unit_test(test_makes_what_ssh_keygen_makes),
		cmocka_unit_test(test_check_accepts),
		cmocka_unit_test(test_check_refuses),
		cmocka_unit_test(test_parse_refuses_files),
		cmocka_unit_test(test_parse_refuses_every_change),
		cmocka_unit_test(test_form),
		cmocka_unit_test(test_make_refuses),
		cmocka_unit_test(test_text),
	};
	uint8_t seed[32];
	FILE *f = fopen(TEST_DATA_DIR "/ca.seed", "r");
	char hex[80] = "";

	if (sodium_init() < 0 || !f || !fgets(hex, sizeof(hex), f))
		return 1;
	fclose(f);
	hex[64] = '\0';
	if (encode_hex_exact(seed, 32, hex) < 0)
		return 1;
	crypto_sign_seed_keypair(cas[0], ca_secret, seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
