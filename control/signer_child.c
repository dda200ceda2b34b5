/* SPDX-License-Identifier: Apache-2.0
 *
 * The signer child: reads or makes the keys, gives up everything but two descriptors, and answers a
 * fixed table of requests. It judges what it signs as far as it can without the network's state:
 * types of objects and how long they may live, the issuer's own tokens, user certificates with
 * principals, sources and an end. Anything malformed ends it: the other side is then not itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "control/control.h"
#include "control/ident.h"
#include "control/signer.h"
#include "identity/jwt.h"
#include "identity/signed.h"
#include "platform/encode.h"
#include "platform/file.h"
#include "platform/json.h"
#include "platform/sandbox.h"
#include "platform/secret.h"
#include "platform/user.h"

#define MAX_CERT_S (SSHCERT_MAX_LIFE_S + 3600)

struct keys {
	uint8_t signing[64], issuer[64]; /* Ed25519 secret keys */
	uint8_t ca_seed[32];
	uint8_t enroll[32], enroll_public[32]; /* X25519 */
};

struct child {
	struct keys *keys;
	char network[IDENT_SIZE], issuer[256];
	char kid[32];
	bool ready;
	struct buffer answer;
};

static const struct {
	const char *type;
	int64_t max_life_s; /* of valid_until, which is required; 0: none */
} object_types[] = {
	{"server", 30 * 86400}, {"peer", 0},	{"map", 30 * 86400},
	{"ssh", 30 * 86400},	{"grant", 120},
};

/* ---- keys ---- */

static int load_seed(int dir, const char *name, uint8_t seed[32])
{
	struct buffer b;
	int r;

	buffer_init(&b, 64);
	r = file_read_at(dir, name, &b);
	if (r == -ENOENT) {
		randombytes_buf(seed, 32);
		r = file_write_atomic_at(dir, name, seed, 32, 0600);
	} else if (r == 0 && b.len == 32) {
		memcpy(seed, b.data, 32);
	} else if (r == 0) {
		r = -EBADMSG;
	}
	buffer_done(&b);
	if (r < 0)
		fprintf(stderr, "warren-control: the signer's key %s: %s\n", name,
			r == -EBADMSG ? "is not 32 bytes long; put it back from a backup"
				      : strerror(-r));
	return r;
}

static int open_dir(const char *path)
{
	struct stat st;
	int fd, r = file_ensure_dir(path, 0700, (uid_t)-1, (gid_t)-1);

	if (r < 0)
		return r;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & 077)) {
		close(fd);
		return -EPERM;
	}
	return fd;
}

static int load_keys(const char *path, struct keys *k)
{
	uint8_t public_key[32], seed[32];
	int dir = open_dir(path);

	if (dir < 0) {
		fprintf(stderr, "warren-control: the signer's folder %s: %s\n", path,
			strerror(-dir));
		return dir;
	}
	int r = load_seed(dir, "signing.seed", seed);
	if (r == 0)
		(void)crypto_sign_seed_keypair(public_key, k->signing, seed);
	if (r == 0)
		r = load_seed(dir, "issuer.seed", seed);
	if (r == 0)
		(void)crypto_sign_seed_keypair(public_key, k->issuer, seed);
	if (r == 0)
		r = load_seed(dir, "ca.seed", k->ca_seed);
	if (r == 0)
		r = load_seed(dir, "enroll.key", k->enroll);
	if (r == 0 && crypto_scalarmult_base(k->enroll_public, k->enroll) < 0)
		r = -EBADMSG;
	secret_wipe(seed, sizeof(seed));
	close(dir);
	return r;
}

/* ---- signing ---- */

static int sign_with(void *ctx, const void *data, size_t len, uint8_t ret_sig[64])
{
	return crypto_sign_detached(ret_sig, NULL, data, len, ctx) == 0 ? 0 : -EIO;
}

/* Ed25519 seed = BLAKE2b-256(key = CA seed, "warren ca v1" || peer id || u32 generation). */
static void ca_keys(const struct child *c, const char *target, uint32_t generation,
		    uint8_t ret_public[32], uint8_t ret_secret[64])
{
	crypto_generichash_state state;
	uint8_t seed[32], raw[4];
	struct writer w = writer_init(raw, sizeof(raw));

	writer_u32(&w, generation);
	crypto_generichash_init(&state, c->keys->ca_seed, 32, sizeof(seed));
	crypto_generichash_update(&state, (const uint8_t *)"warren ca v1", 12);
	crypto_generichash_update(&state, (const uint8_t *)target, strlen(target));
	crypto_generichash_update(&state, raw, sizeof(raw));
	crypto_generichash_final(&state, seed, sizeof(seed));
	(void)crypto_sign_seed_keypair(ret_public, ret_secret, seed);
	secret_wipe(seed, sizeof(seed));
	secret_wipe(&state, sizeof(state));
}

static json_t *read_json(struct reader *in)
{
	size_t len;
	const uint8_t *text = reader_string(in, SIGNED_MAX_BYTES, &len);

	return text ? json_load_strict((const char *)text, len, SIGNED_MAX_BYTES, NULL) : NULL;
}

/* ---- the table ---- */

static int do_init(struct child *c, struct reader *in)
{
	reader_cstring(in, c->network, sizeof(c->network));
	reader_cstring(in, c->issuer, sizeof(c->issuer));
	if (!reader_done(in) || !ident_valid('n', c->network) || c->ready)
		return -EBADMSG;
	c->ready = true;
	return 0;
}

static int do_public(struct child *c, struct reader *in)
{
	int r = reader_done(in) ? 0 : -EBADMSG;

	if (r == 0)
		r = buffer_append(&c->answer, c->keys->signing + 32, 32);
	if (r == 0)
		r = buffer_append(&c->answer, c->keys->issuer + 32, 32);
	if (r == 0)
		r = buffer_append(&c->answer, c->keys->enroll_public, 32);
	return r;
}

static int check_life(const char *type, const json_t *payload)
{
	for (size_t i = 0; i < sizeof(object_types) / sizeof(object_types[0]); i++) {
		int64_t until, now = (int64_t)time(NULL), max = object_types[i].max_life_s;

		if (strcmp(object_types[i].type, type) != 0)
			continue;
		if (max == 0)
			return 0;
		return json_get_int(payload, "valid_until", 0, INT64_MAX, &until, NULL) == 0 &&
				       until <= now + max
			       ? 0
			       : -EPERM;
	}
	return -EPERM;
}

static int do_object(struct child *c, struct reader *in)
{
	char type[16], *text = NULL;
	int r;

	reader_cstring(in, type, sizeof(type));
	json_t *payload = read_json(in);
	if (!json_is_object(payload) || !reader_done(in)) {
		json_decref(payload);
		return -EBADMSG;
	}
	r = check_life(type, payload);
	if (r == 0 && (json_object_set_new(payload, "v", json_integer(1)) < 0 ||
		       json_object_set_new(payload, "network", json_string(c->network)) < 0))
		r = -ENOMEM;
	if (r == 0)
		r = signed_make(type, payload, sign_with, c->keys->signing, &text);
	if (r == 0)
		r = buffer_append(&c->answer, text, strlen(text));
	free(text);
	json_decref(payload);
	return r;
}

static int do_jwt(struct child *c, struct reader *in)
{
	json_t *claims = read_json(in);
	const char *issuer;
	char type[16], *token = NULL;
	int r = 0;

	reader_cstring(in, type, sizeof(type));
	if (!json_is_object(claims) || !reader_done(in))
		r = -EBADMSG;
	else if (json_get_text(claims, "iss", 255, &issuer, NULL) < 0 || !c->issuer[0] ||
		 strcmp(issuer, c->issuer) != 0 ||
		 (strcmp(type, "JWT") != 0 && strcmp(type, "at+jwt") != 0))
		r = -EPERM;
	if (r == 0)
		r = jwt_make(claims, type, c->kid, sign_with, c->keys->issuer, &token);
	if (r == 0)
		r = buffer_append(&c->answer, token, strlen(token));
	if (token)
		secret_wipe(token, strlen(token));
	free(token);
	json_decref(claims);
	return r;
}

static void read_cert(struct reader *in, struct sshcert *cert)
{
	size_t len;

	reader_cstring(in, cert->key_type, sizeof(cert->key_type));
	const uint8_t *subject = reader_string(in, sizeof(cert->subject), &len);
	if (subject) {
		memcpy(cert->subject, subject, len);
		cert->subject_len = len;
	}
	cert->serial = reader_u64(in);
	cert->type = reader_u32(in);
	reader_cstring(in, cert->key_id, sizeof(cert->key_id));
	cert->principal_count = reader_u32(in);
	if (cert->principal_count > SSHCERT_MAX_PRINCIPALS)
		in->failed = true;
	for (size_t i = 0; !in->failed && i < cert->principal_count; i++)
		reader_cstring(in, cert->principals[i], sizeof(cert->principals[i]));
	cert->valid_after_s = (int64_t)reader_u64(in);
	cert->valid_before_s = (int64_t)reader_u64(in);
	cert->source_count = reader_u32(in);
	if (cert->source_count > SSHCERT_MAX_SOURCES)
		in->failed = true;
	for (size_t i = 0; !in->failed && i < cert->source_count; i++) {
		char text[IP_PREFIX_STRLEN];

		reader_cstring(in, text, sizeof(text));
		if (in->failed || ip_prefix_parse(text, &cert->sources[i]) < 0)
			in->failed = true;
	}
	cert->has_source_address = cert->source_count > 0;
	reader_cstring(in, cert->force_command, sizeof(cert->force_command));
	cert->extensions = reader_u32(in);
}

static int check_cert(const struct sshcert *cert)
{
	int64_t now = (int64_t)time(NULL);

	return cert->type == 1 && cert->principal_count > 0 && cert->source_count > 0 &&
			       cert->valid_after_s <= now && cert->valid_before_s > now &&
			       cert->valid_before_s <= now + MAX_CERT_S
		       ? 0
		       : -EPERM;
}

static int answer_string(struct child *c, const struct buffer *b)
{
	uint8_t raw[4];
	struct writer w = writer_init(raw, sizeof(raw));

	writer_u32(&w, (uint32_t)b->len);
	int r = buffer_append(&c->answer, raw, sizeof(raw));
	return r < 0 ? r : buffer_append(&c->answer, b->data, b->len);
}

static int do_cert(struct child *c, struct reader *in)
{
	struct sshcert cert = {0};
	uint8_t secret[64], nonce[32];
	char target[IDENT_SIZE];
	uint32_t generation;
	struct buffer blob;
	int r;

	reader_cstring(in, target, sizeof(target));
	generation = reader_u32(in);
	read_cert(in, &cert);
	if (!reader_done(in) || !ident_valid('p', target))
		return -EBADMSG;
	r = check_cert(&cert);
	if (r < 0)
		return r;
	buffer_init(&blob, SSHCERT_MAX_BLOB);
	ca_keys(c, target, generation, cert.ca, secret);
	randombytes_buf(nonce, sizeof(nonce));
	r = sshcert_make(&cert, nonce, sign_with, secret, &blob);
	secret_wipe(secret, sizeof(secret));
	if (r == 0)
		r = answer_string(c, &blob);
	if (r == 0)
		r = buffer_append(&c->answer, cert.ca, 32);
	buffer_done(&blob);
	return r;
}

static int do_ca_public(struct child *c, struct reader *in)
{
	uint8_t public_key[32], secret[64];
	char target[IDENT_SIZE];
	uint32_t generation;

	reader_cstring(in, target, sizeof(target));
	generation = reader_u32(in);
	if (!reader_done(in) || !ident_valid('p', target))
		return -EBADMSG;
	ca_keys(c, target, generation, public_key, secret);
	secret_wipe(secret, sizeof(secret));
	return buffer_append(&c->answer, public_key, 32);
}

/* BLAKE2b-256(key = X25519(enroll key, public), "warren enroll v1" || public || identity). */
static int do_proof(struct child *c, struct reader *in)
{
	uint8_t public_key[32], identity[32], proof[32], shared[32], expected[32];
	crypto_generichash_state state;
	int r = -EBADMSG;

	reader_bytes(in, public_key, 32);
	reader_bytes(in, identity, 32);
	reader_bytes(in, proof, 32);
	if (!reader_done(in))
		return -EBADMSG;
	if (crypto_scalarmult(shared, c->keys->enroll, public_key) == 0) {
		crypto_generichash_init(&state, shared, sizeof(shared), sizeof(expected));
		crypto_generichash_update(&state, (const uint8_t *)"warren enroll v1", 16);
		crypto_generichash_update(&state, public_key, 32);
		crypto_generichash_update(&state, identity, 32);
		crypto_generichash_final(&state, expected, sizeof(expected));
		r = secret_equal(expected, proof, 32) ? 0 : -EBADMSG;
	}
	secret_wipe(shared, sizeof(shared));
	secret_wipe(expected, sizeof(expected));
	secret_wipe(&state, sizeof(state));
	return r;
}

static const struct {
	int (*run)(struct child *c, struct reader *in);
	bool needs_init;
} table[SIGNER_REQUESTS] = {
	[SIGNER_INIT] = {do_init, false},    [SIGNER_PUBLIC] = {do_public, false},
	[SIGNER_OBJECT] = {do_object, true}, [SIGNER_JWT] = {do_jwt, true},
	[SIGNER_CERT] = {do_cert, true},     [SIGNER_CA_PUBLIC] = {do_ca_public, true},
	[SIGNER_PROOF] = {do_proof, true},
};

/* ---- the loop ---- */

static void read_or_end(int fd, void *out, size_t len)
{
	uint8_t *at = out;

	while (len) {
		ssize_t n = read(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			_exit(n == 0 ? 0 : 1);
		at += n;
		len -= (size_t)n;
	}
}

static void answer(struct child *c, int fd, int r)
{
	uint8_t head[5];
	struct writer w = writer_init(head, sizeof(head));

	if (r < 0)
		buffer_reset(&c->answer);
	writer_u32(&w, (uint32_t)c->answer.len + 1);
	writer_u8(&w, (uint8_t)(r < 0 ? (-r > 255 ? EIO : -r) : 0));
	if (file_write_all(fd, head, sizeof(head)) < 0 ||
	    file_write_all(fd, c->answer.data, c->answer.len) < 0)
		_exit(1);
	buffer_reset(&c->answer);
}

static void serve(struct child *c, int fd)
{
	for (;;) {
		uint8_t head[4];

		read_or_end(fd, head, sizeof(head));
		struct reader reader = reader_init(head, sizeof(head));
		size_t len = reader_u32(&reader);
		if (len == 0 || len > SIGNER_MAX_FRAME)
			_exit(1);
		uint8_t *frame = malloc(len);
		if (!frame)
			_exit(1);
		read_or_end(fd, frame, len);
		struct reader in = reader_init(frame, len);
		uint8_t kind = reader_u8(&in);
		if (kind >= SIGNER_REQUESTS || !table[kind].run ||
		    (table[kind].needs_init && !c->ready))
			_exit(1);
		answer(c, fd, table[kind].run(c, &in));
		secret_wipe(frame, len);
		free(frame);
	}
}

static int confine(void)
{
	static const char *const allow[] = {"read", "write", "close", NULL};
	/* libc probes these on the way to abort or for statistics; none is needed */
	static const char *const refuse[] = {"openat", "newfstatat", "fstat",
					     "ioctl",  "lseek",	     NULL};
	struct sandbox_profile profile = {
		.name = "signer", .allow = allow, .eacces = refuse};
	struct error err = {0};
	uid_t uid;
	gid_t gid;
	bool found;
	int r = 0;

	if (geteuid() == 0) {
		user_service_account("warren-signer", &uid, &gid, &found);
		r = sandbox_empty_root();
		if (r == -EPERM)
			r = 0; /* a container without CAP_SYS_CHROOT: uid and filter remain */
		if (r == 0)
			r = user_drop_privileges(uid, gid);
	}
	if (r == 0)
		r = sandbox_limits(0, 1, 1);
	if (r == 0)
		r = secret_process_init(); /* a change of uid makes a process dumpable again */
	if (r == 0)
		r = sandbox_apply(&profile, &err);
	if (r < 0)
		fprintf(stderr, "warren-control: the signer cannot be confined: %s\n",
			err.code ? err.text : strerror(-r));
	return r;
}

void signer_child_main(int fd, const char *key_dir)
{
	struct child c = {0};
	uint8_t print[SIGNED_FINGERPRINT_BYTES];

	/* Ctrl-C reaches the whole group: the child ends when the server does, by end of file. */
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGTERM, SIG_IGN);
	(void)prctl(PR_SET_NAME, "warren-signer");
	c.keys = secret_alloc(sizeof(*c.keys));
	buffer_init(&c.answer, SIGNER_MAX_FRAME);
	if (secret_process_init() < 0 || !c.keys || load_keys(key_dir, c.keys) < 0)
		_exit(1);
	signed_fingerprint(c.keys->issuer + 32, print);
	encode_base64url(c.kid, print, sizeof(print));
	(void)time(NULL);
	if (confine() < 0)
		_exit(1);
	serve(&c, fd);
	_exit(0);
}
