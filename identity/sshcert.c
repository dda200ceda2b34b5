/* SPDX-License-Identifier: Apache-2.0
 *
 * OpenSSH user certificates, read and written as PROTOCOL.certkeys has them, stricter than OpenSSH:
 * options in lexical order and only once, reserved empty, nothing behind the signature, Ed25519 CAs
 * only. sshcert_check.c judges what was read here.
 */
#include "identity/sshcert.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/encode.h"

#define CA_TYPE "ssh-ed25519"

enum {
	CERT_USER = 1,
	NONCE_MIN = 16, /* PROTOCOL.certkeys: "typically at least 16 or 32 bytes" */
	NONCE_MAX = 64,
	RSA_BITS_MIN = 2048,
	OPTIONS_MAX = 4096,
};

/* The public key fields between the type string and the rest, by letter: k a 32-byte key, c the
 * curve's name, q its point, e and n of RSA, a an application. */
struct key_kind {
	const char *plain, *cert, *fields, *curve;
	size_t point_bytes;
};
static const struct key_kind key_kinds[] = {
	{"ssh-ed25519", "ssh-ed25519-cert-v01@openssh.com", "k", NULL, 0},
	{"ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256-cert-v01@openssh.com", "cq", "nistp256", 65},
	{"ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384-cert-v01@openssh.com", "cq", "nistp384", 97},
	{"ecdsa-sha2-nistp521", "ecdsa-sha2-nistp521-cert-v01@openssh.com", "cq", "nistp521", 133},
	{"ssh-rsa", "ssh-rsa-cert-v01@openssh.com", "en", NULL, 0},
	{"sk-ssh-ed25519@openssh.com", "sk-ssh-ed25519-cert-v01@openssh.com", "ka", NULL, 0},
	{"sk-ecdsa-sha2-nistp256@openssh.com", "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com", "cqa",
	 "nistp256", 65},
};

/* In the order they are written: lexical by bytes, so X before a. */
static const struct {
	const char *name;
	uint32_t flag;
} extensions[] = {
	{"permit-X11-forwarding", SSHCERT_PERMIT_X11_FORWARDING},
	{"permit-agent-forwarding", SSHCERT_PERMIT_AGENT_FORWARDING},
	{"permit-port-forwarding", SSHCERT_PERMIT_PORT_FORWARDING},
	{"permit-pty", SSHCERT_PERMIT_PTY},
	{"permit-user-rc", SSHCERT_PERMIT_USER_RC},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct key_kind *kind_of(const char *name, bool cert)
{
	for (size_t i = 0; i < COUNT(key_kinds); i++)
		if (strcmp(name, cert ? key_kinds[i].cert : key_kinds[i].plain) == 0)
			return &key_kinds[i];
	return NULL;
}

/* A positive mpint in its shortest form (RFC 4251 section 5); its number of bits, 0 if it is not.
 */
static size_t read_mpint_bits(struct reader *r)
{
	size_t len = 0;
	const uint8_t *p = reader_string(r, 2049, &len);
	size_t bits;

	if (!p || len == 0 || (p[0] & 0x80))
		return 0;
	if (p[0] == 0) {
		if (len < 2 || !(p[1] & 0x80))
			return 0;
		return (len - 1) * 8;
	}
	bits = (len - 1) * 8;
	for (unsigned top = p[0]; top; top >>= 1)
		bits++;
	return bits;
}

/* Reads the public key's own fields; false when one of them is not well-formed. */
static bool read_key_fields(struct reader *r, const struct key_kind *kind)
{
	for (const char *f = kind->fields; *f; f++) {
		size_t len = 0, bits;
		const uint8_t *p;
		char curve[16];

		switch (*f) {
		case 'k':
			if (!reader_string(r, 32, &len) || len != 32)
				return false;
			break;
		case 'c':
			reader_cstring(r, curve, sizeof(curve));
			if (r->failed || strcmp(curve, kind->curve) != 0)
				return false;
			break;
		case 'q':
			p = reader_string(r, kind->point_bytes, &len);
			if (!p || len != kind->point_bytes || p[0] != 4)
				return false;
			break;
		case 'e':
			bits = read_mpint_bits(r);
			if (bits < 2 || bits > 64)
				return false;
			break;
		case 'n':
			if (read_mpint_bits(r) < RSA_BITS_MIN)
				return false;
			break;
		default: /* 'a' */
			if (!reader_string(r, 512, &len) || len == 0)
				return false;
		}
	}
	return !r->failed;
}

static int bad(struct error *err, const char *what)
{
	return error_set(err, -EINVAL, "the SSH certificate is malformed: %s", what);
}

static int read_principals(const uint8_t *data, size_t len, struct sshcert *c, struct error *err)
{
	struct reader r = reader_init(data, len);

	while (reader_left(&r) > 0) {
		if (c->principal_count == SSHCERT_MAX_PRINCIPALS)
			return bad(err, "too many principals");
		reader_cstring(&r, c->principals[c->principal_count], sizeof(c->principals[0]));
		if (r.failed || c->principals[c->principal_count][0] == '\0')
			return bad(err, "a principal is empty, too long or not text");
		c->principal_count++;
	}
	return r.failed ? bad(err, "the principals") : 0;
}

static int read_sources(char *list, struct sshcert *c, struct error *err)
{
	char *save = NULL;

	/* strtok_r would swallow empty members, which are refused. */
	if (list[0] == '\0' || list[0] == ',' || list[strlen(list) - 1] == ',' ||
	    strstr(list, ",,"))
		return bad(err, "an empty address in source-address");
	for (char *item = strtok_r(list, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
		if (c->source_count == SSHCERT_MAX_SOURCES)
			return bad(err, "too many addresses in source-address");
		if (ip_prefix_parse(item, &c->sources[c->source_count]) < 0)
			return bad(err, "source-address holds something that is no address");
		c->source_count++;
	}
	c->has_source_address = true;
	return 0;
}

static int read_critical(const char *name, const uint8_t *data, size_t len, struct sshcert *c,
			 struct error *err)
{
	struct reader r = reader_init(data, len);
	char list[SSHCERT_MAX_SOURCES * IP_PREFIX_STRLEN + 1];

	if (strcmp(name, "force-command") == 0) {
		reader_cstring(&r, c->force_command, sizeof(c->force_command));
		if (!reader_done(&r) || c->force_command[0] == '\0')
			return bad(err, "force-command");
		return 0;
	}
	if (strcmp(name, "source-address") == 0) {
		reader_cstring(&r, list, sizeof(list));
		if (!reader_done(&r))
			return bad(err, "source-address");
		return read_sources(list, c, err);
	}
	if (!c->unknown_critical) {
		c->unknown_critical = true;
		memcpy(c->unknown_critical_name, name, strlen(name) + 1);
	}
	return 0;
}

static int read_extension(const char *name, size_t len, struct sshcert *c, struct error *err)
{
	for (size_t i = 0; i < COUNT(extensions); i++) {
		if (strcmp(name, extensions[i].name) != 0)
			continue;
		if (len != 0)
			return bad(err, "an extension that is a flag carries data");
		c->extensions |= extensions[i].flag;
	}
	return 0;
}

/* Name and data tuples, "lexically ordered by name", each "may only appear once". */
static int read_options(const uint8_t *list, size_t list_len, bool critical, struct sshcert *c,
			struct error *err)
{
	struct reader r = reader_init(list, list_len);
	char last[64] = "", name[64];
	int rc;

	static_assert(sizeof(name) <= sizeof(((struct sshcert *)0)->unknown_critical_name), "fits");
	while (reader_left(&r) > 0) {
		size_t len = 0;
		const uint8_t *data;

		reader_cstring(&r, name, sizeof(name));
		data = reader_string(&r, OPTIONS_MAX, &len);
		if (r.failed || name[0] == '\0')
			return bad(err, "the options are cut off or a name is too long");
		if (strcmp(last, name) >= 0)
			return bad(err, "an option appears twice or out of order");
		memcpy(last, name, sizeof(last));
		rc = critical ? read_critical(name, data, len, c, err)
			      : read_extension(name, len, c, err);
		if (rc < 0)
			return rc;
	}
	return r.failed ? bad(err, "the options") : 0;
}

static int64_t clamp_time(uint64_t t)
{
	return t > INT64_MAX ? INT64_MAX : (int64_t)t;
}

/* Reads CA key and signature from r and verifies it over what came before. */
static int read_signature(const uint8_t *blob, struct reader *r, struct sshcert *c,
			  struct error *err)
{
	const uint8_t *p;
	struct reader inner;
	uint8_t sig[64];
	size_t len = 0, signed_len;
	char type[64];

	p = reader_string(r, SSHCERT_MAX_BLOB, &len);
	if (!p)
		return bad(err, "it has no CA key");
	inner = reader_init(p, len);
	reader_cstring(&inner, type, sizeof(type));
	if (inner.failed || strcmp(type, CA_TYPE) != 0)
		return error_set(err, -EINVAL,
				 "the SSH certificate was signed by a CA key that is not Ed25519");
	p = reader_string(&inner, sizeof(c->ca), &len);
	if (!p || len != sizeof(c->ca) || !reader_done(&inner))
		return bad(err, "its CA key");
	memcpy(c->ca, p, sizeof(c->ca));

	signed_len = r->at;
	p = reader_string(r, SSHCERT_MAX_BLOB, &len);
	if (!p || !reader_done(r))
		return bad(err, p ? "bytes follow the signature" : "it has no signature");
	inner = reader_init(p, len);
	reader_cstring(&inner, type, sizeof(type));
	p = reader_string(&inner, sizeof(sig), &len);
	if (!p || len != sizeof(sig) || !reader_done(&inner) || strcmp(type, CA_TYPE) != 0)
		return bad(err, "its signature");
	if (crypto_sign_verify_detached(p, blob, signed_len, c->ca) != 0)
		return error_set(err, -EBADMSG, "the signature of the SSH certificate is wrong");
	return 0;
}

static int read_subject(struct reader *r, struct sshcert *c, struct error *err)
{
	struct writer w = writer_init(c->subject, sizeof(c->subject));
	const struct key_kind *kind;
	char type[64];
	size_t len = 0, begin;

	reader_cstring(r, type, sizeof(type));
	kind = kind_of(type, true);
	if (r->failed || !kind)
		return error_set(err, -EINVAL,
				 "this is not an SSH certificate of a known key type");
	if (!reader_string(r, NONCE_MAX, &len) || len < NONCE_MIN)
		return bad(err, "its nonce has the wrong length");
	begin = r->at;
	if (!read_key_fields(r, kind))
		return bad(err, "its public key is not well-formed or too weak");
	writer_cstring(&w, kind->plain);
	writer_bytes(&w, r->data + begin, r->at - begin);
	if (w.failed)
		return bad(err, "its public key is too long");
	c->subject_len = w.len;
	memcpy(c->key_type, kind->plain, strlen(kind->plain) + 1);
	return 0;
}

static int parse(const uint8_t *blob, size_t len, struct sshcert *c, struct error *err)
{
	struct reader r = reader_init(blob, len);
	const uint8_t *principals, *critical, *ext;
	size_t principals_len = 0, critical_len = 0, ext_len = 0, reserved_len = 0;
	int rc;

	rc = read_subject(&r, c, err);
	if (rc < 0)
		return rc;
	c->serial = reader_u64(&r);
	c->type = reader_u32(&r);
	reader_cstring(&r, c->key_id, sizeof(c->key_id));
	principals = reader_string(&r, OPTIONS_MAX, &principals_len);
	c->valid_after_s = clamp_time(reader_u64(&r));
	c->valid_before_s = clamp_time(reader_u64(&r));
	critical = reader_string(&r, OPTIONS_MAX, &critical_len);
	ext = reader_string(&r, OPTIONS_MAX, &ext_len);
	if (!reader_string(&r, 0, &reserved_len))
		return bad(err, "a field is cut off, too long, not text or not reserved");
	/* The signature comes before anybody looks into the lists. */
	rc = read_signature(blob, &r, c, err);
	if (rc == 0 && c->type != 1 && c->type != 2)
		rc = bad(err, "it is neither for a user nor for a host");
	if (rc == 0)
		rc = read_principals(principals, principals_len, c, err);
	if (rc == 0)
		rc = read_options(critical, critical_len, true, c, err);
	if (rc == 0)
		rc = read_options(ext, ext_len, false, c, err);
	return rc;
}

int sshcert_parse(const uint8_t *blob, size_t len, struct sshcert *ret_cert, struct error *err)
{
	struct sshcert *c;
	int rc;

	if (len > SSHCERT_MAX_BLOB)
		return bad(err, "it is too long");
	c = calloc(1, sizeof(*c)); /* 10 KiB: too much for a stack */
	if (!c)
		return error_set(err, -ENOMEM, "out of memory");
	rc = parse(blob, len, c, err);
	if (rc == 0)
		*ret_cert = *c;
	free(c);
	return rc;
}

static void write_critical(struct writer *w, const struct sshcert *c)
{
	uint8_t data[SSHCERT_MAX_SOURCES * IP_PREFIX_STRLEN + sizeof(c->force_command)];
	char text[IP_PREFIX_STRLEN], list[SSHCERT_MAX_SOURCES * IP_PREFIX_STRLEN];
	struct writer inner;

	if (c->force_command[0] != '\0') {
		inner = writer_init(data, sizeof(data));
		writer_cstring(&inner, c->force_command);
		writer_cstring(w, "force-command");
		writer_string(w, data, inner.len);
	}
	if (c->has_source_address) {
		struct writer names = writer_init(list, sizeof(list));

		for (size_t i = 0; i < c->source_count; i++) {
			ip_prefix_format(&c->sources[i], text);
			if (i > 0)
				writer_bytes(&names, ",", 1);
			writer_bytes(&names, text, strlen(text));
		}
		inner = writer_init(data, sizeof(data));
		writer_string(&inner, list, names.len);
		if (names.failed || inner.failed)
			w->failed = true;
		writer_cstring(w, "source-address");
		writer_string(w, data, inner.len);
	}
}

/* Everything up to the signature. */
static int write_body(struct writer *w, const struct sshcert *c, const uint8_t nonce[32])
{
	struct reader subject = reader_init(c->subject, c->subject_len);
	uint8_t list[OPTIONS_MAX];
	const struct key_kind *kind;
	struct writer inner;
	char type[64];
	size_t fields;

	reader_cstring(&subject, type, sizeof(type));
	kind = kind_of(type, false);
	fields = subject.at;
	if (subject.failed || !kind || !read_key_fields(&subject, kind) || !reader_done(&subject))
		return -EINVAL;
	writer_cstring(w, kind->cert);
	writer_string(w, nonce, 32);
	writer_bytes(w, c->subject + fields, c->subject_len - fields);
	writer_u64(w, c->serial);
	writer_u32(w, CERT_USER);
	writer_cstring(w, c->key_id);

	inner = writer_init(list, sizeof(list));
	for (size_t i = 0; i < c->principal_count; i++)
		writer_cstring(&inner, c->principals[i]);
	writer_string(w, list, inner.len);
	writer_u64(w, (uint64_t)c->valid_after_s);
	writer_u64(w, (uint64_t)c->valid_before_s);

	inner = writer_init(list, sizeof(list));
	write_critical(&inner, c);
	writer_string(w, list, inner.len);
	if (inner.failed)
		return -EMSGSIZE;

	inner = writer_init(list, sizeof(list));
	for (size_t i = 0; i < COUNT(extensions); i++) {
		if (!(c->extensions & extensions[i].flag))
			continue;
		writer_cstring(&inner, extensions[i].name);
		writer_string(&inner, NULL, 0);
	}
	writer_string(w, list, inner.len);
	writer_string(w, NULL, 0); /* reserved */

	inner = writer_init(list, sizeof(list));
	writer_cstring(&inner, CA_TYPE);
	writer_string(&inner, c->ca, sizeof(c->ca));
	writer_string(w, list, inner.len);
	return w->failed ? -EMSGSIZE : 0;
}

static bool makeable(const struct sshcert *c)
{
	if (c->type != CERT_USER || c->unknown_critical || c->principal_count == 0 ||
	    c->principal_count > SSHCERT_MAX_PRINCIPALS || c->source_count > SSHCERT_MAX_SOURCES ||
	    c->has_source_address != (c->source_count > 0) || c->valid_after_s < 0 ||
	    c->valid_before_s <= c->valid_after_s || c->subject_len > sizeof(c->subject))
		return false;
	for (size_t i = 0; i < c->principal_count; i++)
		if (c->principals[i][0] == '\0')
			return false;
	return true;
}

int sshcert_make(const struct sshcert *cert, const uint8_t nonce[32],
		 int (*sign)(void *ctx, const void *data, size_t len, uint8_t ret_sig[64]),
		 void *ctx, struct buffer *ret_blob)
{
	uint8_t blob[SSHCERT_MAX_BLOB], sig_blob[128], sig[64];
	struct writer w = writer_init(blob, sizeof(blob));
	struct writer inner = writer_init(sig_blob, sizeof(sig_blob));
	int rc;

	if (!makeable(cert))
		return -EINVAL;
	rc = write_body(&w, cert, nonce);
	if (rc == 0)
		rc = sign(ctx, blob, w.len, sig);
	if (rc < 0)
		return rc;
	/* A signer that holds another key must not go unnoticed until a login fails. */
	if (crypto_sign_verify_detached(sig, blob, w.len, cert->ca) != 0)
		return -EBADMSG;
	writer_cstring(&inner, CA_TYPE);
	writer_string(&inner, sig, sizeof(sig));
	writer_string(&w, sig_blob, inner.len);
	if (w.failed || inner.failed)
		return -EMSGSIZE;
	return buffer_append(ret_blob, blob, w.len);
}

int sshcert_text(const uint8_t *blob, size_t len, const char *comment, struct buffer *out)
{
	struct reader r = reader_init(blob, len);
	char type[64], *text;
	int rc;

	reader_cstring(&r, type, sizeof(type));
	if (r.failed || len > SSHCERT_MAX_BLOB || (comment && strpbrk(comment, "\r\n")))
		return -EINVAL;
	text = malloc(ENCODE_BASE64_SIZE(len));
	if (!text)
		return -ENOMEM;
	encode_base64(text, blob, len);
	if (comment && comment[0] != '\0')
		rc = buffer_printf(out, "%s %s %s", type, text, comment);
	else
		rc = buffer_printf(out, "%s %s", type, text);
	free(text);
	return rc;
}

int sshcert_text_decode(const char *text, uint8_t *out, size_t cap, size_t *ret_len, char type[64])
{
	size_t type_len = strcspn(text, " \t\r\n"), base64_len, len = 0;
	struct reader r;
	const char *base64;
	char inner[64];
	int rc;

	if (type_len == 0 || type_len >= sizeof(inner) || text[type_len] != ' ')
		return -EINVAL;
	base64 = text + type_len + 1;
	base64_len = strcspn(base64, " \t\r\n");
	/* One line: a line end may only be the end. */
	if (strcspn(base64, "\r\n") + strspn(base64 + strcspn(base64, "\r\n"), "\r\n") !=
	    strlen(base64))
		return -EINVAL;
	rc = encode_base64_decode(out, cap, base64, base64_len, &len);
	if (rc < 0)
		return rc;
	r = reader_init(out, len);
	reader_cstring(&r, inner, sizeof(inner));
	if (r.failed || strlen(inner) != type_len || memcmp(inner, text, type_len) != 0)
		return -EINVAL;
	memcpy(type, inner, type_len + 1);
	*ret_len = len;
	return 0;
}
