/* SPDX-License-Identifier: Apache-2.0
 *
 * RevokedKeys: KRLs that OpenSSH's ssh-keygen made (data/revoked_*.krl), lists, and what is neither. key's
 * certificate has serial 42 and key id "alice".
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "identity/sshcert.h"
#include "platform/buffer.h"
#include "platform/file.h"
#include "ssh/revoked.h"

static void path_of(const char *name, char out[static 512])
{
	snprintf(out, 512, TEST_DATA_DIR "/revoked_%s", name);
}

static size_t blob_of(const char *name, uint8_t *out, size_t cap)
{
	char path[512], type[64];
	struct buffer text;
	size_t len;

	path_of(name, path);
	buffer_init(&text, 16384);
	assert_int_equal(file_read(path, &text), 0);
	assert_non_null(buffer_cstring(&text));
	text.data[strcspn((char *)text.data, "\n")] = '\0';
	assert_int_equal(sshcert_text_decode((char *)text.data, out, cap, &len, type), 0);
	buffer_done(&text);
	return len;
}

/* What the file says of the key or certificate. */
static int ask(const char *file, const char *key)
{
	uint8_t blob[SSHCERT_MAX_BLOB];
	char path[512];
	struct error err = {0};
	size_t len = key != NULL ? blob_of(key, blob, sizeof(blob)) : 0;
	int fd, r;

	path_of(file, path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	r = revoked_judge_fd(fd, blob, len, &err);
	close(fd);
	if (r < 0)
		assert_true(error_text(&err)[0] != '\0');
	return r;
}

static void krls(void **state)
{
	static const struct {
		const char *file;
		int key, cert, other, ecdsa;
	} table[] = {
		{"plain.krl", 1, 1, 0, 1},   {"sha256.krl", 1, 1, 0, 0}, {"certs.krl", 0, 1, 0, 0},
		{"id.krl", 0, 1, 0, 0},	     {"others.krl", 0, 0, 0, 0}, {"ca.krl", 0, 1, 0, 0},
		{"empty.krl", 0, 0, 0, 0},   {"key.pub", 1, 1, 0, 0},	 {"ca.pub", 0, 1, 0, 0},
		{"key-cert.pub", 0, 1, 0, 0}, {"ecdsa.pub", 0, 0, 0, 1},
		{"sha1.krl", -EBADMSG, -EBADMSG, -EBADMSG, -EBADMSG},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		print_message("%s\n", table[i].file);
		assert_int_equal(ask(table[i].file, "key.pub"), table[i].key);
		assert_int_equal(ask(table[i].file, "key-cert.pub"), table[i].cert);
		assert_int_equal(ask(table[i].file, "other.pub"), table[i].other);
		assert_int_equal(ask(table[i].file, "ecdsa.pub"), table[i].ecdsa);
		assert_int_equal(ask(table[i].file, NULL), table[i].key < 0 ? table[i].key : 0);
	}
}

static int judge(const void *file, size_t len, uint64_t serial)
{
	static const uint8_t key[4] = "key";
	const struct revoked_query q = {
		.blob = key,
		.blob_len = sizeof(key),
		.subject = key,
		.subject_len = sizeof(key),
		.certificate = true,
		.serial = serial,
		.key_id = "somebody",
	};
	struct error err = {0};

	return revoked_judge(file, len, &q, &err);
}

/* Every byte of a good file missing or changed: never a crash, and what is cut off is not believed. */
static void broken(void **state)
{
	char path[512];
	struct buffer file;

	(void)state;
	path_of("certs.krl", path);
	buffer_init(&file, 4096);
	assert_int_equal(file_read(path, &file), 0);
	for (size_t n = 8; n < file.len; n++)
		if (n != 44) /* the head alone is an empty KRL */
			assert_int_equal(judge(file.data, n, 42), -EBADMSG);
	for (size_t i = 0; i < file.len * 8; i++) {
		int r;

		file.data[i / 8] ^= (uint8_t)(1 << i % 8);
		r = judge(file.data, file.len, 42);
		assert_true(r == 0 || r == 1 || r == -EBADMSG);
		file.data[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	buffer_done(&file);
	assert_int_equal(judge("ssh-ed25519 nonsense\n", 21, 1), -EBADMSG);
	assert_int_equal(judge("# only\n\n  # comments\r\n\r\n", 24, 1), 0);
	assert_int_equal(judge("", 0, 1), 0);
	assert_int_equal(judge("SSHKRL\n", 8, 1), -EBADMSG);
}

/* A KRL with one section of serials, for certificates of all authorities. */
static int serials(uint8_t type, const void *data, size_t len, uint64_t serial)
{
	uint8_t out[512], section[256];
	struct writer w = writer_init(out, sizeof(out)), s = writer_init(section, sizeof(section));

	writer_bytes(&w, "SSHKRL\n", 8);
	writer_u32(&w, 1);
	for (int i = 0; i < 3; i++)
		writer_u64(&w, 0);
	writer_cstring(&w, "");
	writer_cstring(&w, "");
	writer_cstring(&s, "");
	writer_cstring(&s, "");
	writer_u8(&s, type);
	writer_string(&s, data, len);
	writer_u8(&w, 1);
	writer_string(&w, section, s.len);
	return judge(out, w.len, serial);
}

static void bounds(void **state)
{
	static const uint8_t range[] = {0, 0, 0, 0, 0, 0, 0, 5, 255, 255, 255, 255, 255, 255, 255, 255};
	static const uint8_t backwards[] = {0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 4};
	/* offset, then a mpint */
	static const uint8_t bitmap[] = {0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 2, 0x40, 0x01};
	static const uint8_t negative[] = {0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 1, 0x80};
	static const uint8_t over[] = {255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 1, 0x01};

	(void)state;
	assert_int_equal(serials(0x21, range, 16, 4), 0);
	assert_int_equal(serials(0x21, range, 16, 5), 1);
	assert_int_equal(serials(0x21, range, 16, UINT64_MAX), 1);
	assert_int_equal(serials(0x21, range, 8, 5), -EBADMSG);
	assert_int_equal(serials(0x21, backwards, 16, 5), -EBADMSG);
	assert_int_equal(serials(0x20, range, 16, 5), 1);
	assert_int_equal(serials(0x20, range, 16, 6), 0);
	assert_int_equal(serials(0x20, range, 15, 6), -EBADMSG);
	assert_int_equal(serials(0x22, bitmap, sizeof(bitmap), 7), 0);
	assert_int_equal(serials(0x22, bitmap, sizeof(bitmap), 8), 1);
	assert_int_equal(serials(0x22, bitmap, sizeof(bitmap), 9), 0);
	assert_int_equal(serials(0x22, bitmap, sizeof(bitmap), 22), 1);
	assert_int_equal(serials(0x22, bitmap, sizeof(bitmap), 24), 0);
	assert_int_equal(serials(0x22, bitmap, sizeof(bitmap), UINT64_MAX), 0);
	assert_int_equal(serials(0x22, negative, sizeof(negative), 8), -EBADMSG);
	assert_int_equal(serials(0x22, over, sizeof(over), 8), -EBADMSG);
	assert_int_equal(serials(0x24, range, 16, 5), -EBADMSG);
	/* Serial 0 is no serial. */
	assert_int_equal(serials(0x20, "\0\0\0\0\0\0\0", 8, 0), 0);
	assert_int_equal(serials(0x23, "\0\0\0\10somebody", 12, 0), 1);
	assert_int_equal(serials(0x23, "\0\0\0\7someone", 11, 0), 0);
	assert_int_equal(serials(0x39, "\0\0\0\1x\0\0\0\0\0", 10, 0), 0);
	assert_int_equal(serials(0x39, "\0\0\0\1x\1\0\0\0\0", 10, 0), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(krls),
		cmocka_unit_test(broken),
		cmocka_unit_test(bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
