/* SPDX-License-Identifier: Apache-2.0
 *
 * The list of break-glass CAs and of their revoked serials, read as strictly as the other files of
 * STATE/root. Ed25519 only, as every CA of Warren.
 */
#include "daemon/break_glass.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "identity/sshcert.h"
#include "platform/encode.h"
#include "platform/file.h"
#include "platform/json.h"

#define FILE_NAME "break_glass.json"
#define VERSION	  1
#define FILE_MAX  (64 * 1024)
#define TYPE	  "ssh-ed25519"

static void key_blob(const uint8_t key[static 32], struct writer *w)
{
	writer_cstring(w, TYPE);
	writer_string(w, key, 32);
}

void break_glass_fingerprint(const uint8_t key[static 32],
			     char ret_text[static BREAK_GLASS_FINGERPRINT])
{
	uint8_t blob[64], digest[crypto_hash_sha256_BYTES];
	struct writer w = writer_init(blob, sizeof(blob));
	char text[ENCODE_BASE64_SIZE(sizeof(digest))];

	key_blob(key, &w);
	crypto_hash_sha256(digest, blob, w.len);
	encode_base64(text, digest, sizeof(digest));
	text[strcspn(text, "=")] = '\0';
	snprintf(ret_text, BREAK_GLASS_FINGERPRINT, "SHA256:%s", text);
}

static int read_key(const char *line, uint8_t ret_key[static 32], struct error *err)
{
	uint8_t blob[1024];
	char type[64];
	struct reader r;
	const uint8_t *key;
	size_t len;

	if (strncmp(line, "-----", 5) == 0)
		return error_set(err, -EINVAL, "that is a private key: name the CA's .pub file");
	if (sshcert_text_decode(line, blob, sizeof(blob), &len, type) < 0)
		return error_set(err, -EINVAL,
				 "that is not one public key as ssh-keygen writes it");
	r = reader_init(blob, len);
	reader_cstring(&r, type, sizeof(type));
	key = reader_string(&r, 32, &len);
	if (strcmp(type, TYPE) != 0 || key == NULL || len != 32 || !reader_done(&r))
		return error_set(err, -EINVAL,
				 "a break-glass CA needs an Ed25519 key (ssh-keygen -t ed25519)");
	memcpy(ret_key, key, 32);
	return 0;
}

static int find(const struct break_glass *g, const uint8_t key[static 32])
{
	for (size_t i = 0; i < g->count; i++)
		if (memcmp(g->keys[i], key, 32) == 0)
			return (int)i;
	return -1;
}

static int pin(struct break_glass *g, const char *line, struct error *err)
{
	uint8_t key[32];
	int r = read_key(line, key, err);

	if (r < 0 || find(g, key) >= 0)
		return r;
	if (g->count == SSH_WIRE_BREAK_GLASS_MAX)
		return error_set(err, -ENOSPC, "at most %d break-glass CAs: unpin one first",
				 SSH_WIRE_BREAK_GLASS_MAX);
	memcpy(g->keys[g->count++], key, 32);
	return 0;
}

static int unpin(struct break_glass *g, const char *which, struct error *err)
{
	char text[BREAK_GLASS_FINGERPRINT];

	if (strcmp(which, "all") == 0) {
		g->count = 0;
		return 0;
	}
	for (size_t i = 0; i < g->count; i++) {
		break_glass_fingerprint(g->keys[i], text);
		if (strcmp(text, which) != 0)
			continue;
		g->count--;
		memmove(g->keys[i], g->keys[i + 1], (g->count - i) * sizeof(g->keys[0]));
		return 0;
	}
	return error_set(err, -ENOENT, "no break-glass CA with the fingerprint %.60s is pinned",
			 which);
}

static int revoke(struct break_glass *g, const char *text, struct error *err)
{
	size_t digits = strspn(text, "0123456789");
	uint64_t serial;

	errno = 0;
	serial = strtoull(text, NULL, 10);
	if (digits == 0 || text[digits] != '\0' || errno != 0)
		return error_set(err, -EINVAL, "\"%.40s\" is no serial: give the number after -z",
				 text);
	for (size_t i = 0; i < g->revoked_count; i++)
		if (g->revoked[i] == serial)
			return 0;
	if (g->revoked_count == SSH_WIRE_REVOKED_MAX)
		return error_set(err, -ENOSPC,
				 "%d serials are revoked: make a new CA, pin it and unpin the old",
				 SSH_WIRE_REVOKED_MAX);
	g->revoked[g->revoked_count++] = serial;
	return 0;
}

int break_glass_apply(struct break_glass *g, const json_t *request, bool *ret_narrowed,
		      struct error *err)
{
	static const char *const keys[] = {"id", "cmd", "pin", "unpin", "revoke", NULL};
	static const struct {
		const char *key;
		int (*apply)(struct break_glass *g, const char *text, struct error *err);
		bool narrows;
	} commands[] = {{"pin", pin, false}, {"unpin", unpin, true}, {"revoke", revoke, true}};
	struct break_glass new = *g;
	bool narrowed = false, one = false;
	int r = json_only_keys(request, keys, err);

	for (size_t i = 0; r == 0 && i < sizeof(commands) / sizeof(commands[0]); i++) {
		const json_t *value = json_object_get(request, commands[i].key);

		if (value == NULL)
			continue;
		if (one || !json_is_string(value))
			return error_set(err, -EINVAL, "one thing at a time, as text");
		one = true;
		narrowed = commands[i].narrows;
		r = commands[i].apply(&new, json_string_value(value), err);
	}
	if (r < 0)
		return r;
	*g = new;
	*ret_narrowed = narrowed;
	return 0;
}

static json_t *key_line(const uint8_t key[static 32])
{
	uint8_t blob[64];
	char text[sizeof(TYPE) + ENCODE_BASE64_SIZE(sizeof(blob))];
	struct writer w = writer_init(blob, sizeof(blob));

	key_blob(key, &w);
	memcpy(text, TYPE " ", sizeof(TYPE));
	encode_base64(text + sizeof(TYPE), blob, w.len);
	return json_string(text);
}

json_t *break_glass_json(const struct break_glass *g)
{
	json_t *keys = json_array(), *revoked = json_array();
	char text[BREAK_GLASS_FINGERPRINT], number[24];
	int r = keys != NULL && revoked != NULL ? 0 : -1;

	for (size_t i = 0; r == 0 && i < g->count; i++) {
		break_glass_fingerprint(g->keys[i], text);
		r = json_array_append_new(keys, json_pack("{s:o,s:s}", "key", key_line(g->keys[i]),
							  "fingerprint", text));
	}
	for (size_t i = 0; r == 0 && i < g->revoked_count; i++) {
		snprintf(number, sizeof(number), "%" PRIu64, g->revoked[i]);
		r = json_array_append_new(revoked, json_string(number));
	}
	if (r == 0)
		return json_pack("{s:o,s:o}", "keys", keys, "revoked", revoked);
	json_decref(keys);
	json_decref(revoked);
	return NULL;
}

int break_glass_save(int dirfd, const struct break_glass *g)
{
	json_t *object = break_glass_json(g);
	char *text = NULL;
	int r = -ENOMEM;

	if (object != NULL && json_object_set_new(object, "v", json_integer(VERSION)) == 0)
		text = json_dumps(object, JSON_INDENT(2) | JSON_SORT_KEYS);
	if (text != NULL)
		r = file_write_atomic_at(dirfd, FILE_NAME, text, strlen(text), 0600);
	free(text);
	json_decref(object);
	return r;
}

static int parse(const json_t *object, struct break_glass *g, struct error *err)
{
	static const char *const keys[] = {"v", "keys", "revoked", NULL};
	json_t *list, *revoked;
	int64_t version;
	int r = json_get_int(object, "v", VERSION, VERSION, &version, err);

	if (r == 0)
		r = json_only_keys(object, keys, err);
	if (r == 0)
		r = json_get_array(object, "keys", SSH_WIRE_BREAK_GLASS_MAX, &list, err);
	if (r == 0)
		r = json_get_array(object, "revoked", SSH_WIRE_REVOKED_MAX, &revoked, err);
	for (size_t i = 0; r == 0 && i < json_array_size(list); i++) {
		const char *line =
			json_string_value(json_object_get(json_array_get(list, i), "key"));

		r = line != NULL ? pin(g, line, err) : error_set(err, -EINVAL, "no \"key\"");
	}
	for (size_t i = 0; r == 0 && i < json_array_size(revoked); i++) {
		const char *serial = json_string_value(json_array_get(revoked, i));

		r = serial != NULL ? revoke(g, serial, err)
				   : error_set(err, -EINVAL, "a serial is not text");
	}
	return r;
}

int break_glass_load(int dirfd, const char *path, struct break_glass *ret_glass, struct error *err)
{
	struct break_glass g = {0};
	struct error inner = {0};
	json_t *object = NULL;
	struct buffer text;
	int r;

	buffer_init(&text, FILE_MAX);
	r = file_read_at(dirfd, FILE_NAME, &text);
	if (r == 0) {
		object = json_load_strict((const char *)text.data, text.len, FILE_MAX, &inner);
		r = json_is_object(object) ? parse(object, &g, &inner) : -EINVAL;
	} else if (r == -ENOENT) {
		buffer_done(&text);
		*ret_glass = g;
		return 0;
	}
	json_decref(object);
	buffer_done(&text);
	if (r < 0)
		return error_set(err, -EBADMSG,
				 "cannot use the state file %s/" FILE_NAME
				 " (%s); it was left as it is: restore it from a backup, or move "
				 "it away and pin again with `warren break-glass pin`",
				 path, error_text(&inner));
	*ret_glass = g;
	return 0;
}
