/* SPDX-License-Identifier: Apache-2.0
 *
 * OpenSSH private key files, unencrypted Ed25519 only (PROTOCOL.key of OpenSSH).
 */
#include "cli/keyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/buffer.h"
#include "platform/encode.h"
#include "platform/file.h"
#include "platform/secret.h"

static size_t public_blob(const struct keyfile *k, uint8_t *out, size_t cap)
{
	struct writer w = writer_init(out, cap);

	writer_cstring(&w, "ssh-ed25519");
	writer_string(&w, k->public_key, sizeof(k->public_key));
	return w.failed ? 0 : w.len;
}

void keyfile_generate(struct keyfile *k)
{
	char text[ENCODE_BASE64_SIZE(64)];
	uint8_t blob[64];
	size_t len;

	crypto_sign_keypair(k->public_key, k->secret_key);
	len = public_blob(k, blob, sizeof(blob));
	encode_base64(text, blob, len);
	snprintf(k->public_text, sizeof(k->public_text), "ssh-ed25519 %s", text);
}

void keyfile_wipe(struct keyfile *k)
{
	secret_wipe(k, sizeof(*k));
}

/* openssh-key-v1 with cipher and kdf "none"; two equal check words, padding 1, 2, 3, … to 8. */
static size_t private_blob(const struct keyfile *k, uint8_t *out, size_t cap)
{
	uint8_t section[256], public_key[64];
	struct writer inner = writer_init(section, sizeof(section));
	struct writer w = writer_init(out, cap);
	uint32_t check = randombytes_random();
	size_t public_len = public_blob(k, public_key, sizeof(public_key));

	writer_u32(&inner, check);
	writer_u32(&inner, check);
	writer_cstring(&inner, "ssh-ed25519");
	writer_string(&inner, k->public_key, sizeof(k->public_key));
	writer_string(&inner, k->secret_key, sizeof(k->secret_key));
	writer_cstring(&inner, "warren");
	for (uint8_t pad = 1; inner.len % 8 != 0 && !inner.failed; pad++)
		writer_u8(&inner, pad);

	writer_bytes(&w, "openssh-key-v1", 15);
	writer_cstring(&w, "none");
	writer_cstring(&w, "none");
	writer_string(&w, "", 0);
	writer_u32(&w, 1);
	writer_string(&w, public_key, public_len);
	writer_string(&w, section, inner.len);
	secret_wipe(section, sizeof(section));
	return w.failed || inner.failed ? 0 : w.len;
}

static int private_text(const struct keyfile *k, char *out, size_t cap)
{
	char base64[ENCODE_BASE64_SIZE(512)];
	uint8_t blob[512];
	size_t len = private_blob(k, blob, sizeof(blob));
	size_t text_len = encode_base64(base64, blob, len);
	size_t n = 0;

	n += (size_t)snprintf(out, cap, "-----BEGIN OPENSSH PRIVATE KEY-----\n");
	for (size_t at = 0; at < text_len && n < cap; at += 70)
		n += (size_t)snprintf(out + n, cap - n, "%.70s\n", base64 + at);
	if (n < cap)
		n += (size_t)snprintf(out + n, cap - n, "-----END OPENSSH PRIVATE KEY-----\n");
	secret_wipe(blob, sizeof(blob));
	secret_wipe(base64, sizeof(base64));
	return len == 0 || n >= cap ? -EMSGSIZE : 0;
}

static int write_with_time(int dir, const char *name, const char *text, int64_t expires_s)
{
	const struct timespec times[2] = {{.tv_sec = expires_s}, {.tv_sec = expires_s}};
	int r = file_write_atomic_at(dir, name, text, strlen(text), 0600);

	if (r == 0 && utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	return r;
}

int keyfile_write(const struct keyfile *k, const char *dir, const char *name,
		  const char *certificate, int64_t expires_s, struct error *err)
{
	char text[1024], line[12288], cert_name[160];
	int fd, r;

	if (strchr(name, '/') != NULL || name[0] == '.' || strlen(name) > 128)
		return error_set(err, -EINVAL, "not a name for a key file: %s", name);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, -errno, "cannot open %s: %s", dir, strerror(errno));
	snprintf(cert_name, sizeof(cert_name), "%s-cert.pub", name);
	snprintf(line, sizeof(line), "%s\n", certificate);
	r = private_text(k, text, sizeof(text));
	if (r == 0)
		r = write_with_time(fd, cert_name, line, expires_s);
	if (r == 0)
		r = write_with_time(fd, name, text, expires_s);
	secret_wipe(text, sizeof(text));
	close(fd);
	if (r < 0)
		return error_set(err, r, "cannot write the login's key to %s: %s", dir, strerror(-r));
	return 0;
}
