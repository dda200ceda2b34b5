/* SPDX-License-Identifier: Apache-2.0
 *
 * OpenSSH private key files, unencrypted Ed25519 only (PROTOCOL.key of OpenSSH): written for ssh,
 * and read back. Refuses files of others, and whatever is not byte for byte what is written here.
 */
#include "cli/keyfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "platform/buffer.h"
#include "platform/encode.h"
#include "platform/file.h"
#include "platform/secret.h"

#define MAGIC	 "openssh-key-v1" /* and its NUL */
#define HEADER	 "-----BEGIN OPENSSH PRIVATE KEY-----\n"
#define FOOTER	 "-----END OPENSSH PRIVATE KEY-----\n"
#define NEEDED_S 60 /* a key that is removed sooner is not taken up again */
#define MAX_NAME 128

static size_t public_blob(const struct keyfile *k, uint8_t *out, size_t cap)
{
	struct writer w = writer_init(out, cap);

	writer_cstring(&w, "ssh-ed25519");
	writer_string(&w, k->public_key, sizeof(k->public_key));
	return w.failed ? 0 : w.len;
}

static void set_public_text(struct keyfile *k)
{
	char text[ENCODE_BASE64_SIZE(64)];
	uint8_t blob[64];
	size_t len;

	memset(k->public_text, 0, sizeof(k->public_text)); /* equal keys are equal bytes */
	len = public_blob(k, blob, sizeof(blob));
	encode_base64(text, blob, len);
	snprintf(k->public_text, sizeof(k->public_text), "ssh-ed25519 %s", text);
}

void keyfile_generate(struct keyfile *k)
{
	crypto_sign_keypair(k->public_key, k->secret_key);
	set_public_text(k);
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

	writer_bytes(&w, MAGIC, sizeof(MAGIC));
	writer_cstring(&w, "none");
	writer_cstring(&w, "none");
	writer_string(&w, "", 0);
	writer_u32(&w, 1);
	writer_string(&w, public_key, public_len);
	writer_string(&w, section, inner.len);
	secret_wipe(section, sizeof(section));
	return w.failed || inner.failed ? 0 : w.len;
}

int keyfile_text(const struct keyfile *k, char out[static KEYFILE_TEXT])
{
	size_t cap = KEYFILE_TEXT;
	char base64[ENCODE_BASE64_SIZE(512)];
	uint8_t blob[512];
	size_t len = private_blob(k, blob, sizeof(blob));
	size_t text_len = encode_base64(base64, blob, len);
	size_t n = 0;

	n += (size_t)snprintf(out, cap, "%s", HEADER);
	for (size_t at = 0; at < text_len && n < cap; at += 70)
		n += (size_t)snprintf(out + n, cap - n, "%.70s\n", base64 + at);
	if (n < cap)
		n += (size_t)snprintf(out + n, cap - n, "%s", FOOTER);
	secret_wipe(blob, sizeof(blob));
	secret_wipe(base64, sizeof(base64));
	return len == 0 || n >= cap ? -EMSGSIZE : 0;
}

static bool expect(struct reader *r, const char *text)
{
	size_t len = 0;
	const uint8_t *got = reader_string(r, 64, &len);

	return got != NULL && len == strlen(text) && memcmp(got, text, len) == 0;
}

/* Of a section: check words, type, public half, secret half. What follows, comment and padding, is
 * not used. */
static int read_section(const uint8_t *section, size_t section_len, struct keyfile *k)
{
	struct reader r = reader_init(section, section_len);
	uint8_t public_key[32], secret_key[64];
	const uint8_t *key;
	bool whole;
	size_t len = 0;

	if (reader_u32(&r) != reader_u32(&r) || !expect(&r, "ssh-ed25519"))
		return -EBADMSG;
	key = reader_string(&r, 32, &len);
	if (key == NULL || len != 32)
		return -EBADMSG;
	memcpy(k->public_key, key, 32);
	key = reader_string(&r, 64, &len);
	if (key == NULL || len != 64)
		return -EBADMSG;
	memcpy(k->secret_key, key, 64);
	crypto_sign_seed_keypair(public_key, secret_key, k->secret_key);
	whole = sodium_memcmp(public_key, k->public_key, 32) == 0 &&
		sodium_memcmp(secret_key, k->secret_key, 64) == 0;
	secret_wipe(secret_key, sizeof(secret_key));
	if (!whole)
		return -EBADMSG;
	set_public_text(k);
	return 0;
}

static int read_blob(const uint8_t *blob, size_t blob_len, struct keyfile *k)
{
	struct reader r = reader_init(blob, blob_len);
	const uint8_t *magic = reader_take(&r, sizeof(MAGIC));
	const uint8_t *section;
	size_t len = 0;

	if (magic == NULL || memcmp(magic, MAGIC, sizeof(MAGIC)) != 0 || !expect(&r, "none") ||
	    !expect(&r, "none") || !expect(&r, "") || reader_u32(&r) != 1)
		return -EBADMSG;
	if (reader_string(&r, 64, &len) == NULL)
		return -EBADMSG;
	section = reader_string(&r, 256, &len);
	if (section == NULL || !reader_done(&r))
		return -EBADMSG;
	return read_section(section, len, k);
}

/* Between header and footer: base64 in lines of 70. */
static int read_text(const char *text, size_t text_len, struct keyfile *k)
{
	char base64[ENCODE_BASE64_SIZE(512)];
	uint8_t blob[512];
	size_t n = 0, len = 0, begin = strlen(HEADER), end = strlen(FOOTER);
	int r = -EBADMSG;

	if (text_len < begin + end || memcmp(text, HEADER, begin) != 0 ||
	    memcmp(text + text_len - end, FOOTER, end) != 0)
		return -EBADMSG;
	for (size_t i = begin; i < text_len - end; i++) {
		if (text[i] == '\n')
			continue;
		if (n + 1 >= sizeof(base64))
			goto out;
		base64[n++] = text[i];
	}
	r = encode_base64_decode(blob, sizeof(blob), base64, n, &len);
	if (r == 0)
		r = read_blob(blob, len, k);
out:
	secret_wipe(base64, sizeof(base64));
	secret_wipe(blob, sizeof(blob));
	return r;
}

static bool name_valid(const char *name)
{
	return name[0] != '\0' && name[0] != '.' && strchr(name, '/') == NULL &&
	       strlen(name) <= MAX_NAME;
}

static int open_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static bool ours(const struct stat *st)
{
	return S_ISREG(st->st_mode) && st->st_uid == geteuid() && (st->st_mode & 077) == 0;
}

static bool lasts(const struct stat *st)
{
	return ours(st) && st->st_mtim.tv_sec > time(NULL) + NEEDED_S;
}

static int load_at(struct keyfile *k, int dir, const char *name)
{
	struct keyfile found = {0};
	char text[1024];
	struct stat st;
	ssize_t n;
	int fd, r = -ENOENT;

	fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -ENOENT;
	if (fstat(fd, &st) == 0 && lasts(&st)) {
		n = read(fd, text, sizeof(text));
		if (n > 0 && read_text(text, (size_t)n, &found) == 0) {
			*k = found;
			r = 0;
		}
		secret_wipe(text, sizeof(text));
	}
	close(fd);
	keyfile_wipe(&found);
	return r;
}

int keyfile_load(struct keyfile *k, const char *dir, const char *name)
{
	int fd, r;

	if (!name_valid(name))
		return -ENOENT;
	fd = open_dir(dir);
	if (fd < 0)
		return -ENOENT;
	r = load_at(k, fd, name);
	close(fd);
	return r;
}

static int set_time(int dir, const char *name, int64_t expires_s)
{
	const struct timespec times[2] = {{.tv_sec = expires_s}, {.tv_sec = expires_s}};

	return utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int write_with_time(int dir, const char *name, const char *text, int64_t expires_s)
{
	int r = file_write_atomic_at(dir, name, text, strlen(text), 0600);

	return r < 0 ? r : set_time(dir, name, expires_s);
}

/* Under the folder's lock, so that two that find no key do not both write theirs. */
static int write_at(struct keyfile *k, int dir, const char *name, const char *certificate,
		    int64_t expires_s)
{
	char text[KEYFILE_TEXT], line[12288], cert_name[MAX_NAME + 16];
	struct keyfile found = {0};
	int r, there;

	if (flock(dir, LOCK_EX) < 0)
		return -errno;
	there = load_at(&found, dir, name);
	if (there == 0 && sodium_memcmp(found.public_key, k->public_key, 32) != 0) {
		*k = found;
		keyfile_wipe(&found);
		return -EEXIST;
	}
	keyfile_wipe(&found);
	snprintf(cert_name, sizeof(cert_name), "%s-cert.pub", name);
	if (snprintf(line, sizeof(line), "%s\n", certificate) >= (int)sizeof(line))
		return -EMSGSIZE;
	r = write_with_time(dir, cert_name, line, expires_s);
	if (r == 0 && there == 0)
		return set_time(dir, name, expires_s);
	if (r == 0)
		r = keyfile_text(k, text);
	if (r == 0)
		r = write_with_time(dir, name, text, expires_s);
	secret_wipe(text, sizeof(text));
	return r;
}

int keyfile_write(struct keyfile *k, const char *dir, const char *name, const char *certificate,
		  int64_t expires_s, struct error *err)
{
	int fd, r;

	if (!name_valid(name))
		return error_set(err, -EINVAL, "not a name for a key file: %s", name);
	fd = open_dir(dir);
	if (fd < 0)
		return error_set(err, fd, "cannot open %s: %s", dir, strerror(-fd));
	r = write_at(k, fd, name, certificate, expires_s);
	close(fd);
	if (r < 0)
		return error_set(err, r, "cannot write the login's key to %s: %s", dir,
				 strerror(-r));
	return 0;
}

static int64_t until_at(int dir, const char *name)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !ours(&st) ||
	    st.st_mtim.tv_sec <= time(NULL))
		return 0;
	return st.st_mtim.tv_sec;
}

int64_t keyfile_certificate_until(const char *dir, const char *name)
{
	char cert_name[MAX_NAME + 16];
	int64_t until_s = 0;
	int fd;

	if (!name_valid(name))
		return 0;
	fd = open_dir(dir);
	if (fd < 0)
		return 0;
	snprintf(cert_name, sizeof(cert_name), "%s-cert.pub", name);
	if (until_at(fd, name) > 0)
		until_s = until_at(fd, cert_name);
	close(fd);
	return until_s;
}

static bool hosts_name(char out[static MAX_NAME + 16], const char *name)
{
	if (!name_valid(name))
		return false;
	snprintf(out, MAX_NAME + 16, "%s.hosts", name);
	return true;
}

int keyfile_write_hosts(const char *dir, const char *name, const char *lines, int64_t expires_s)
{
	char file[MAX_NAME + 16];
	int fd, r;

	if (!hosts_name(file, name))
		return -EINVAL;
	fd = open_dir(dir);
	if (fd < 0)
		return fd;
	r = write_with_time(fd, file, lines, expires_s);
	close(fd);
	return r;
}

bool keyfile_has_hosts(const char *dir, const char *name)
{
	char file[MAX_NAME + 16];
	struct stat st;
	int fd;
	bool there;

	if (!hosts_name(file, name))
		return false;
	fd = open_dir(dir);
	if (fd < 0)
		return false;
	there = fstatat(fd, file, &st, AT_SYMLINK_NOFOLLOW) == 0 && lasts(&st);
	close(fd);
	return there;
}

void keyfile_forget(const char *dir)
{
	int fd = open_dir(dir);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (list == NULL) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(list)) != NULL)
		if (entry->d_name[0] != '.')
			(void)unlinkat(fd, entry->d_name, 0);
	closedir(list);
}
