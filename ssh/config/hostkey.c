/* SPDX-License-Identifier: Apache-2.0
 *
 * Host key: the machine's own where there is one, so that known_hosts stays true. The file is
 * root's and local, and still read strictly: one key, no encryption, both halves consistent.
 */
#include "ssh/config/hostkey.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/buffer.h"
#include "platform/encode.h"
#include "platform/file.h"
#include "platform/secret.h"

#define BEGIN "-----BEGIN OPENSSH PRIVATE KEY-----\n"
#define END   "-----END OPENSSH PRIVATE KEY-----\n"
#define MAGIC "openssh-key-v1" /* with its NUL */
#define OWN   "ssh_host_key_seed"

enum { MAX_KEY_BYTES = 4096, SEED_BYTES = 32, PUBLIC_BYTES = 32 };

static bool string_is(struct reader *r, const char *text)
{
	size_t len = 0;
	const uint8_t *data = reader_string(r, MAX_KEY_BYTES, &len);

	return data && len == strlen(text) && memcmp(data, text, len) == 0;
}

static int finish(struct hostkey *key)
{
	uint8_t secret[crypto_sign_SECRETKEYBYTES], blob[64];
	struct writer w = writer_init(blob, sizeof(blob));
	const size_t prefix = sizeof("ssh-ed25519 ") - 1;

	crypto_sign_seed_keypair(key->public, secret, key->seed);
	secret_wipe(secret, sizeof(secret));
	writer_cstring(&w, "ssh-ed25519");
	writer_string(&w, key->public, sizeof(key->public));
	memcpy(key->line, "ssh-ed25519 ", prefix);
	encode_base64(key->line + prefix, w.data, w.len);
	return w.failed ? -EMSGSIZE : 0;
}

/* The decoded file (PROTOCOL.key, section 1). */
static int parse_blob(const uint8_t *blob, size_t len, struct hostkey *key)
{
	struct reader r = reader_init(blob, len), inner;
	const uint8_t *magic = reader_take(&r, sizeof(MAGIC)), *part;
	uint8_t public[PUBLIC_BYTES], private[SEED_BYTES + PUBLIC_BYTES];
	size_t part_len = 0, size = 0;
	int rc = -EINVAL;

	if (!magic || memcmp(magic, MAGIC, sizeof(MAGIC)) != 0)
		return -EINVAL;
	if (!string_is(&r, "none") || !string_is(&r, "none") || !string_is(&r, ""))
		return r.failed ? -EINVAL : -ENOKEY; /* encrypted */
	if (reader_u32(&r) != 1 || !reader_string(&r, MAX_KEY_BYTES, &part_len))
		return -EINVAL;
	part = reader_string(&r, MAX_KEY_BYTES, &part_len);
	if (!part || !reader_done(&r))
		return -EINVAL;
	inner = reader_init(part, part_len);
	if (reader_u32(&inner) != reader_u32(&inner)) /* two equal check numbers */
		return -EINVAL;
	if (!string_is(&inner, "ssh-ed25519"))
		return inner.failed ? -EINVAL : -EKEYREJECTED;
	part = reader_string(&inner, sizeof(public), &size);
	if (!part || size != sizeof(public))
		return -EINVAL;
	memcpy(public, part, size);
	part = reader_string(&inner, sizeof(private), &size);
	if (!part || size != sizeof(private))
		return -EINVAL;
	memcpy(private, part, size);
	if (reader_string(&inner, MAX_KEY_BYTES, &size)) /* comment */
		rc = 0;
	/* Padding 1, 2, 3, … to the block size of "none", which is 8. */
	for (uint8_t i = 1; rc == 0 && reader_left(&inner) > 0; i++)
		if (i > 7 || reader_u8(&inner) != i)
			rc = -EINVAL;
	if (rc == 0) {
		memcpy(key->seed, private, sizeof(key->seed));
		rc = finish(key);
	}
	if (rc == 0 && (memcmp(key->public, public, sizeof(public)) != 0 ||
			memcmp(private + SEED_BYTES, public, sizeof(public)) != 0))
		rc = -EINVAL;
	secret_wipe(private, sizeof(private));
	return rc;
}

int hostkey_parse(const char *text, size_t len, struct hostkey *ret_key)
{
	const size_t begin = sizeof(BEGIN) - 1, end = sizeof(END) - 1;
	char body[MAX_KEY_BYTES];
	uint8_t blob[MAX_KEY_BYTES];
	size_t body_len = 0, blob_len = 0;
	struct hostkey key = {0};
	int rc;

	if (len > sizeof(body) || len < begin + end || memcmp(text, BEGIN, begin) != 0 ||
	    memcmp(text + len - end, END, end) != 0)
		return -EINVAL;
	for (size_t i = begin; i < len - end; i++)
		if (text[i] != '\n')
			body[body_len++] = text[i];
	rc = encode_base64_decode(blob, sizeof(blob), body, body_len, &blob_len);
	if (rc == 0)
		rc = parse_blob(blob, blob_len, &key);
	if (rc == 0)
		*ret_key = key;
	secret_wipe(body, sizeof(body));
	secret_wipe(blob, sizeof(blob));
	secret_wipe(&key, sizeof(key));
	return rc;
}

int hostkey_read(const char *path, struct hostkey *ret_key)
{
	struct buffer text;
	struct stat st;
	int fd, rc;

	fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	buffer_init(&text, MAX_KEY_BYTES);
	rc = fstat(fd, &st) < 0 ? -errno : 0;
	/* Like sshd: a key that others can read or write is nobody's. */
	if (rc == 0 && (!S_ISREG(st.st_mode) || (st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & 077) != 0))
		rc = -EPERM;
	if (rc == 0)
		rc = file_read_fd(fd, &text);
	if (rc == 0)
		rc = hostkey_parse((const char *)text.data, text.len, ret_key);
	buffer_done(&text);
	file_close(&fd);
	return rc;
}

const char *hostkey_problem(int code)
{
	switch (code) {
	case -EPERM:
		return "it is no file of root's (or of this account's) that nobody else can read; "
		       "chmod 600, chown";
	case -ENOKEY:
		return "it is encrypted, and nobody is there to type a passphrase";
	case -EKEYREJECTED:
		return "it is of another type than Ed25519, which is the one this server has";
	case -EINVAL:
	case -EMSGSIZE:
		return "it is no private key as ssh-keygen writes it";
	default:
		return strerror(-code);
	}
}

static int load_own(int dirfd, const char *folder, struct hostkey *key, struct error *err)
{
	char text[ENCODE_BASE64URL_SIZE(SEED_BYTES) + 1];
	struct buffer in;
	size_t len;
	int rc;

	buffer_init(&in, sizeof(text));
	rc = file_read_at(dirfd, OWN, &in);
	if (rc == -ENOENT) {
		randombytes_buf(key->seed, sizeof(key->seed));
		len = encode_base64url(text, key->seed, sizeof(key->seed));
		text[len] = '\n';
		rc = file_write_atomic_at(dirfd, OWN, text, len + 1, 0600);
		if (rc < 0)
			error_set(err, rc, "cannot write %s/%s: %s", folder, OWN, strerror(-rc));
	} else {
		if (rc == 0)
			rc = in.len > 0 && in.data[in.len - 1] == '\n'
				     ? encode_base64url_decode(key->seed, sizeof(key->seed),
							       (const char *)in.data, in.len - 1,
							       &len)
				     : -EINVAL;
		if (rc == 0 && len != sizeof(key->seed))
			rc = -EINVAL;
		if (rc < 0)
			rc = error_set(
				err, -EBADMSG,
				"cannot use the state file %s/%s (it holds no host key); it "
				"was left as it is: restore it from a backup, or move it away "
				"for a new host key",
				folder, OWN);
	}
	secret_wipe(text, sizeof(text));
	buffer_done(&in);
	return rc < 0 ? rc : finish(key);
}

int hostkey_load(const char *path, int dirfd, const char *folder,
			struct hostkey *ret_key, struct error *err)
{
	struct hostkey key = {0};
	int rc = hostkey_read(path, &key);

	key.of_machine = rc == 0;
	if (rc < 0)
		rc = load_own(dirfd, folder, &key, err);
	if (rc == 0)
		*ret_key = key;
	secret_wipe(&key, sizeof(key));
	return rc;
}
