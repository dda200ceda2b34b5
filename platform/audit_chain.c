/* SPDX-License-Identifier: Apache-2.0
 *
 * The chain of the audit log. Lines are read by position, not by value: what is hashed is what stands
 * in the file.
 */
#include "platform/audit_chain.h"

#include <errno.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "platform/encode.h"
#include "platform/json.h"

#define SEQ_KEY	 "{\"seq\":"
#define PREV_KEY ",\"prev\":\""
#define HASH_KEY ",\"hash\":\""
#define TAIL_LEN (sizeof(HASH_KEY) - 1 + AUDIT_CHAIN_HEX + 2)		/* ,"hash":"HEX"} */
#define PREV_LEN (sizeof(PREV_KEY) - 1 + AUDIT_CHAIN_HEX + 1 + TAIL_LEN) /* from ,"prev" on */
#define HEAD_MAX 256

void audit_chain_start(struct audit_chain_point *ret_point)
{
	ret_point->seq = 0;
	memset(ret_point->hash, '0', AUDIT_CHAIN_HEX);
	ret_point->hash[AUDIT_CHAIN_HEX] = '\0';
}

static void hash_of(const void *data, size_t len, char hex[static AUDIT_CHAIN_HEX + 1])
{
	uint8_t digest[crypto_hash_sha256_BYTES];

	crypto_hash_sha256(digest, data, len);
	encode_hex(hex, digest, sizeof(digest));
}

int audit_chain_make(const struct audit_chain_point *last, int64_t now_ms, const char *members,
		     struct buffer *out, struct audit_chain_point *ret_point)
{
	time_t when = (time_t)(now_ms / 1000);
	size_t start = out->len;
	struct tm tm;
	char text[32];
	int r;

	if (gmtime_r(&when, &tm) == NULL ||
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
		return -EINVAL;
	ret_point->seq = last->seq + 1;
	r = buffer_printf(out, SEQ_KEY "%llu,\"time\":\"%s.%03dZ\",%s" PREV_KEY "%s\"",
			  (unsigned long long)ret_point->seq, text, (int)(now_ms % 1000), members,
			  last->hash);
	if (r < 0)
		return r;
	hash_of(out->data + start, out->len - start, ret_point->hash);
	r = buffer_printf(out, HASH_KEY "%s\"}\n", ret_point->hash);
	return r == 0 && out->len - start > AUDIT_CHAIN_LINE_MAX ? -EMSGSIZE : r;
}

static bool hex(const char *text)
{
	for (size_t i = 0; i < AUDIT_CHAIN_HEX; i++)
		if (strchr("0123456789abcdef", text[i]) == NULL || text[i] == '\0')
			return false;
	return true;
}

/* Digits without a leading zero, at most 18 of them; 0 is none. */
static uint64_t digits(const char *at, const char *end, const char **ret_end)
{
	uint64_t value = 0;
	const char *p = at;

	for (; p < end && *p >= '0' && *p <= '9' && p - at < 18; p++)
		value = value * 10 + (uint64_t)(*p - '0');
	*ret_end = p;
	return p > at && *at != '0' ? value : 0;
}

int audit_chain_read(const char *line, size_t len, struct audit_chain_point *ret_point, char *prev,
		     struct error *err)
{
	const char *tail = line + len - TAIL_LEN, *before = line + len - PREV_LEN, *end;
	char actual[AUDIT_CHAIN_HEX + 1];
	struct audit_chain_point p;
	json_t *value;

	if (len < sizeof(SEQ_KEY) + PREV_LEN || len > AUDIT_CHAIN_LINE_MAX ||
	    memcmp(line, SEQ_KEY, sizeof(SEQ_KEY) - 1) != 0 ||
	    memcmp(before, PREV_KEY, sizeof(PREV_KEY) - 1) != 0 ||
	    memcmp(tail, HASH_KEY, sizeof(HASH_KEY) - 1) != 0 || memcmp(line + len - 2, "\"}", 2) != 0 ||
	    tail[-1] != '"' || !hex(before + sizeof(PREV_KEY) - 1) ||
	    !hex(tail + sizeof(HASH_KEY) - 1))
		return error_set(err, -EBADMSG, "it is no record of an audit log");
	p.seq = digits(line + sizeof(SEQ_KEY) - 1, before, &end);
	if (p.seq == 0 || *end != ',')
		return error_set(err, -EBADMSG, "it is no record of an audit log");
	memcpy(p.hash, tail + sizeof(HASH_KEY) - 1, AUDIT_CHAIN_HEX);
	p.hash[AUDIT_CHAIN_HEX] = '\0';
	hash_of(line, (size_t)(tail - line), actual);
	if (memcmp(actual, p.hash, AUDIT_CHAIN_HEX) != 0)
		return error_set(err, -EBADMSG,
				 "record %llu was edited: it does not fit its own hash",
				 (unsigned long long)p.seq);
	value = json_load_strict(line, len, AUDIT_CHAIN_LINE_MAX, NULL);
	if (value == NULL)
		return error_set(err, -EBADMSG, "record %llu is no JSON",
				 (unsigned long long)p.seq);
	json_decref(value);
	if (prev != NULL) {
		memcpy(prev, before + sizeof(PREV_KEY) - 1, AUDIT_CHAIN_HEX);
		prev[AUDIT_CHAIN_HEX] = '\0';
	}
	*ret_point = p;
	return 0;
}

/* ------------------------------------------------------------------ checking */

void audit_chain_check_init(struct audit_chain_check *c, bool from_start)
{
	memset(c, 0, sizeof(*c));
	audit_chain_start(&c->last);
	c->want_first = from_start;
}

/* The numbers: the next one, or what that says. */
static int check_number(const struct audit_chain_check *c, uint64_t seq, struct error *err)
{
	unsigned long long got = seq, last = c->last.seq;

	if (!c->begun && (!c->want_first || seq == 1))
		return 0;
	if (seq == c->last.seq + 1)
		return 0;
	if (!c->begun)
		return error_set(err, -EBADMSG, "records 1 to %llu are missing before record %llu",
				 got - 1, got);
	if (seq <= c->last.seq)
		return error_set(err, -EBADMSG,
				 "record %llu comes after record %llu: records are out of order or "
				 "there twice",
				 got, last);
	if (seq == c->last.seq + 2)
		return error_set(err, -EBADMSG, "record %llu is missing before record %llu",
				 got - 1, got);
	return error_set(err, -EBADMSG, "records %llu to %llu are missing before record %llu",
			 last + 1, got - 1, got);
}

int audit_chain_check_line(struct audit_chain_check *c, const char *line, size_t len,
			   struct error *err)
{
	char prev[AUDIT_CHAIN_HEX + 1];
	struct audit_chain_point p;
	int r = audit_chain_read(line, len, &p, prev, err);

	if (r == 0)
		r = check_number(c, p.seq, err);
	if (r < 0)
		return r;
	if ((c->begun || p.seq == 1) && strcmp(prev, c->last.hash) != 0)
		return error_set(err, -EBADMSG,
				 "record %llu does not follow on the record before it: one of them "
				 "was replaced",
				 (unsigned long long)p.seq);
	if (!c->begun)
		c->first_seq = p.seq;
	c->begun = true;
	c->records++;
	c->last = p;
	return 0;
}

int audit_chain_check_head(const struct audit_chain_check *c, const struct audit_chain_point *head,
			   const char *seen, struct error *err)
{
	if (head->seq > c->last.seq)
		return error_set(err, -EBADMSG,
				 "the log is cut off: it ends with record %llu, and record %llu was "
				 "written",
				 (unsigned long long)c->last.seq, (unsigned long long)head->seq);
	if (head->seq > 0 && seen != NULL && strcmp(seen, head->hash) != 0)
		return error_set(err, -EBADMSG,
				 "record %llu is another one than was written: the log was replaced",
				 (unsigned long long)head->seq);
	if (head->seq > 0 && seen == NULL)
		return error_set(err, -EBADMSG, "record %llu, which was written, is not there",
				 (unsigned long long)head->seq);
	return 0;
}

/* ------------------------------------------------------------------ head */

int audit_chain_head_put(const struct audit_chain_point *head, uint64_t first, struct buffer *out)
{
	return buffer_printf(out, "{\"v\":1,\"seq\":%llu,\"hash\":\"%s\",\"first\":%llu}\n",
			     (unsigned long long)head->seq, head->hash, (unsigned long long)first);
}

int audit_chain_head_get(const char *text, size_t len, struct audit_chain_point *ret_head,
			 uint64_t *ret_first, struct error *err)
{
	static const char *const keys[] = {"v", "seq", "hash", "first", NULL};
	json_t *value = json_load_strict(text, len, HEAD_MAX, err);
	struct audit_chain_point p;
	int64_t version, seq, first;
	int r = value != NULL ? json_only_keys(value, keys, err) : -EBADMSG;

	if (r == 0)
		r = json_get_int(value, "v", 1, 1, &version, err);
	if (r == 0)
		r = json_get_int(value, "seq", 0, INT64_MAX, &seq, err);
	if (r == 0)
		r = json_get_int(value, "first", 0, INT64_MAX, &first, err);
	if (r == 0)
		r = json_get_string(value, "hash", p.hash, sizeof(p.hash), err);
	if (r == 0 && (strlen(p.hash) != AUDIT_CHAIN_HEX || !hex(p.hash)))
		r = error_set(err, -EBADMSG, "\"hash\" is no SHA-256");
	json_decref(value);
	if (r < 0)
		return -EBADMSG;
	p.seq = (uint64_t)seq;
	*ret_head = p;
	*ret_first = (uint64_t)first;
	return 0;
}
