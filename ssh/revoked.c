/* SPDX-License-Identifier: Apache-2.0
 *
 * Lists and KRLs of revoked keys: see the header. A KRL is read to its end before anything is believed:
 * a part that is not known, or does not fit, makes all of it unusable. Fingerprints by SHA-1 are
 * refused, since nothing here computes SHA-1.
 */
#include "ssh/revoked.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "identity/sshcert.h"
#include "platform/buffer.h"
#include "platform/file.h"

#define KRL_MAGIC    "SSHKRL\n"
#define KRL_MAGIC_LEN 8 /* with the end of the text */
#define KRL_VERSION  1
#define PART_MAX     REVOKED_FILE_MAX
#define ED25519	     51 /* bytes of such a public key blob */
#define KEY_PREFIX   "\0\0\0\13ssh-ed25519\0\0\0 "

enum krl_section {
	KRL_CERTIFICATES = 1,
	KRL_EXPLICIT_KEY = 2,
	KRL_SHA1 = 3,
	KRL_SIGNATURE = 4,
	KRL_SHA256 = 5,
	KRL_EXTENSION = 255,
};

enum krl_certificates {
	KRL_SERIAL_LIST = 0x20,
	KRL_SERIAL_RANGE = 0x21,
	KRL_SERIAL_BITMAP = 0x22,
	KRL_KEY_ID = 0x23,
	KRL_CERT_EXTENSION = 0x39,
};

struct krl {
	const struct revoked_query *q;
	uint8_t ca_blob[ED25519], digest[32], ca_digest[32]; /* of subject and authority */
	bool revoked;
	struct error *err;
};

static bool same(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	return a_len == b_len && (a_len == 0 || memcmp(a, b, a_len) == 0);
}

static void ca_blob(const struct revoked_query *q, uint8_t out[static ED25519])
{
	memcpy(out, KEY_PREFIX, ED25519 - 32);
	memcpy(out + ED25519 - 32, q->ca, 32);
}

/* ------------------------------------------------------------------ KRL */

static int bad(struct krl *k, const char *what)
{
	return error_set(k->err, -EBADMSG, "the KRL cannot be used: %s", what);
}

static int extension(struct krl *k, struct reader *r)
{
	size_t len = 0;
	bool critical;

	(void)reader_string(r, PART_MAX, &len);
	critical = reader_u8(r) != 0;
	(void)reader_string(r, PART_MAX, &len);
	if (!reader_done(r))
		return bad(k, "an extension does not parse");
	return critical ? bad(k, "it has a critical extension that is not known here") : 0;
}

/* A number of any size, big-endian; bit i stands for offset + i (RFC 4251 section 5, mpint). */
static int serial_bitmap(struct krl *k, struct reader *r, bool mine)
{
	uint64_t offset = reader_u64(r), bit;
	size_t len = 0;
	const uint8_t *bits = reader_string(r, PART_MAX, &len);

	if (!reader_done(r) || bits == NULL || (len > 0 && (bits[0] & 0x80) != 0) ||
	    len > (UINT64_MAX - offset) / 8)
		return bad(k, "a bitmap of serials does not parse");
	if (!mine || k->q->serial < offset)
		return 0;
	bit = k->q->serial - offset;
	if (bit / 8 < len && (bits[len - 1 - bit / 8] >> (bit % 8) & 1) != 0)
		k->revoked = true;
	return 0;
}

static int serials(struct krl *k, struct reader *r, uint8_t type, bool mine)
{
	if (type == KRL_SERIAL_RANGE && reader_left(r) != 2 * sizeof(uint64_t))
		return bad(k, "a range of serials does not parse");
	while (reader_left(r) > 0 && !r->failed) {
		uint64_t low = reader_u64(r);
		uint64_t high = type == KRL_SERIAL_RANGE ? reader_u64(r) : low;

		if (!r->failed && low > high)
			return bad(k, "a range of serials ends before it begins");
		if (!r->failed && mine && k->q->serial >= low && k->q->serial <= high)
			k->revoked = true;
	}
	return reader_done(r) ? 0 : bad(k, "a list of serials does not parse");
}

static int key_ids(struct krl *k, struct reader *r, bool mine)
{
	size_t want = k->q->key_id != NULL ? strlen(k->q->key_id) : 0, len = 0;

	while (reader_left(r) > 0 && !r->failed) {
		const uint8_t *id = reader_string(r, PART_MAX, &len);

		if (id != NULL && mine && same(id, len, (const uint8_t *)k->q->key_id, want))
			k->revoked = true;
	}
	return reader_done(r) ? 0 : bad(k, "a list of key ids does not parse");
}

static int certificates(struct krl *k, struct reader *r)
{
	const uint8_t *ca, *part;
	size_t ca_len = 0, len = 0;
	bool mine, serial;
	int rc = 0;

	ca = reader_string(r, PART_MAX, &ca_len);
	(void)reader_string(r, PART_MAX, &len);
	if (r->failed || ca == NULL)
		return bad(k, "a section of certificates does not parse");
	/* No authority: certificates of all. Serial 0 is that of authorities that give none. */
	mine = k->q->certificate &&
	       (ca_len == 0 || same(ca, ca_len, k->ca_blob, sizeof(k->ca_blob)));
	serial = mine && k->q->serial != 0;
	while (rc == 0 && reader_left(r) > 0) {
		uint8_t type = reader_u8(r);
		struct reader inner;

		part = reader_string(r, PART_MAX, &len);
		if (r->failed || part == NULL)
			return bad(k, "a section of certificates does not parse");
		inner = reader_init(part, len);
		if (type == KRL_SERIAL_LIST || type == KRL_SERIAL_RANGE)
			rc = serials(k, &inner, type, serial);
		else if (type == KRL_SERIAL_BITMAP)
			rc = serial_bitmap(k, &inner, serial);
		else if (type == KRL_KEY_ID)
			rc = key_ids(k, &inner, mine);
		else if (type == KRL_CERT_EXTENSION)
			rc = extension(k, &inner);
		else
			rc = bad(k, "a section of certificates is of a kind that is not known here");
	}
	return rc;
}

/* Whole keys, or their fingerprints: of the key itself and of the authority behind it. */
static int keys(struct krl *k, struct reader *r, bool digests)
{
	const struct revoked_query *q = k->q;
	size_t len = 0;

	while (reader_left(r) > 0 && !r->failed) {
		const uint8_t *one = reader_string(r, PART_MAX, &len);

		if (one == NULL || (digests && len != sizeof(k->digest)))
			return bad(k, "a list of keys does not parse");
		if (q->subject_len == 0)
			continue;
		if (digests ? memcmp(one, k->digest, len) == 0
			    : same(one, len, q->subject, q->subject_len))
			k->revoked = true;
		if (q->certificate && (digests ? memcmp(one, k->ca_digest, len) == 0
					       : same(one, len, k->ca_blob, ED25519)))
			k->revoked = true;
	}
	return reader_done(r) ? 0 : bad(k, "a list of keys does not parse");
}

static int section(struct krl *k, uint8_t type, struct reader *r)
{
	switch (type) {
	case KRL_CERTIFICATES:
		return certificates(k, r);
	case KRL_EXPLICIT_KEY:
		return keys(k, r, false);
	case KRL_SHA256:
		return keys(k, r, true);
	case KRL_EXTENSION:
		return extension(k, r);
	case KRL_SHA1:
		return bad(k, "it names keys by SHA-1; make it anew with sha256: or key: lines");
	case KRL_SIGNATURE:
		return bad(k, "it is signed, and nothing here could check by whom");
	default:
		return bad(k, "it has a section that is not known here");
	}
}

static int judge_krl(const uint8_t *file, size_t len, const struct revoked_query *q,
		     struct error *err)
{
	struct krl k = {.q = q, .err = err};
	struct reader r = reader_init(file, len);
	size_t skipped = 0;
	int rc = 0;

	ca_blob(q, k.ca_blob);
	crypto_hash_sha256(k.digest, q->subject, q->subject_len);
	crypto_hash_sha256(k.ca_digest, k.ca_blob, sizeof(k.ca_blob));
	(void)reader_take(&r, KRL_MAGIC_LEN);
	if (reader_u32(&r) != KRL_VERSION)
		return bad(&k, "its format is of another version");
	reader_u64(&r); /* version, date, flags */
	reader_u64(&r);
	reader_u64(&r);
	(void)reader_string(&r, PART_MAX, &skipped);
	(void)reader_string(&r, PART_MAX, &skipped); /* comment */
	if (r.failed)
		return bad(&k, "its head does not parse");
	while (rc == 0 && reader_left(&r) > 0) {
		uint8_t type = reader_u8(&r);
		size_t part_len = 0;
		const uint8_t *part = reader_string(&r, PART_MAX, &part_len);
		struct reader inner = reader_init(part, part_len);

		rc = part == NULL || r.failed ? bad(&k, "it is cut off") : section(&k, type, &inner);
	}
	return rc < 0 ? rc : k.revoked;
}

/* ------------------------------------------------------------------ lists */

/* One line, without its end. */
static int judge_line(const char *line, size_t len, const struct revoked_query *q)
{
	uint8_t one[SSHCERT_MAX_BLOB], ca[ED25519];
	char text[SSHCERT_MAX_BLOB * 2], type[64];
	size_t one_len;

	while (len > 0 && (*line == ' ' || *line == '\t' || *line == '\r')) {
		line++;
		len--;
	}
	if (len == 0 || *line == '#')
		return 0;
	if (len >= sizeof(text) || memchr(line, '\0', len) != NULL)
		return -EBADMSG;
	memcpy(text, line, len);
	text[len] = '\0';
	if (sshcert_text_decode(text, one, sizeof(one), &one_len, type) < 0)
		return -EBADMSG; /* whom did it mean? */
	ca_blob(q, ca);
	return (q->blob_len > 0 && same(one, one_len, q->blob, q->blob_len)) ||
	       (q->subject_len > 0 && same(one, one_len, q->subject, q->subject_len)) ||
	       (q->certificate && same(one, one_len, ca, sizeof(ca)));
}

static int judge_list(const char *text, size_t len, const struct revoked_query *q,
		      struct error *err)
{
	unsigned long number = 1;
	bool revoked = false;

	while (len > 0) {
		const char *end = memchr(text, '\n', len);
		size_t n = end != NULL ? (size_t)(end - text) : len;
		int r = judge_line(text, n, q);

		if (r < 0)
			return error_set(err, r, "line %lu is no public key", number);
		revoked = revoked || r > 0;
		n += end != NULL;
		text += n;
		len -= n;
		number++;
	}
	return revoked;
}

int revoked_judge(const uint8_t *file, size_t len, const struct revoked_query *q,
		  struct error *err)
{
	if (len >= KRL_MAGIC_LEN && memcmp(file, KRL_MAGIC, KRL_MAGIC_LEN) == 0)
		return judge_krl(file, len, q, err);
	return judge_list((const char *)file, len, q, err);
}

static bool is_certificate(const uint8_t *blob, size_t len)
{
	static const char suffix[] = "-cert-v01@openssh.com";
	struct reader r = reader_init(blob, len);
	char type[64];
	size_t n;

	reader_cstring(&r, type, sizeof(type));
	n = r.failed ? 0 : strlen(type);
	return n >= sizeof(suffix) - 1 && strcmp(type + n - (sizeof(suffix) - 1), suffix) == 0;
}

int revoked_judge_fd(int fd, const uint8_t *blob, size_t len, struct error *err)
{
	static struct sshcert cert;
	struct revoked_query q = {
		.blob = blob, .blob_len = len, .subject = blob, .subject_len = len};
	struct buffer file;
	int r;

	if (is_certificate(blob, len)) {
		r = sshcert_parse(blob, len, &cert, err);
		if (r < 0)
			return r;
		q.certificate = true;
		q.subject = cert.subject;
		q.subject_len = cert.subject_len;
		memcpy(q.ca, cert.ca, sizeof(q.ca));
		q.serial = cert.serial;
		q.key_id = cert.key_id;
	}
	buffer_init(&file, REVOKED_FILE_MAX);
	r = file_read_fd(fd, &file);
	if (r < 0)
		error_set(err, r, "it cannot be read: %s", strerror(-r));
	else
		r = revoked_judge(file.data, file.len, &q, err);
	buffer_done(&file);
	return r;
}
