/* SPDX-License-Identifier: Apache-2.0
 *
 * Log lines. The words of `pairs` are split by its format, never by what the arguments contain, and
 * each value is escaped on its own: what a peer sends can't forge a line, a key or another value.
 */
#include "platform/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "platform/buffer.h"

enum { LINE_MAX_BYTES = 2048, VALUE_MAX_BYTES = 1024, KEY_MAX_BYTES = 48, TAIL_BYTES = 32 };

/* The one piece of state a program's log has; set once before threads start (the level any time).
 */
static struct {
	const char *program;
	int fd;
	bool json;
	atomic_int level;
} state = {.program = "warren", .fd = STDERR_FILENO, .level = LOG_LEVEL_INFO};

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_init(const char *program, int fd, enum log_level level, bool json)
{
	state.program = program;
	state.fd = fd;
	state.json = json;
	atomic_store(&state.level, (int)level);
}

void log_set_level(enum log_level level)
{
	atomic_store(&state.level, (int)level);
}

bool log_enabled(enum log_level level)
{
	return (int)level <= atomic_load(&state.level);
}

int log_level_parse(const char *word, enum log_level *ret_level)
{
	for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++)
		if (strcmp(word, level_names[i]) == 0) {
			*ret_level = (enum log_level)i;
			return 0;
		}
	if (strcmp(word, "verbose") == 0)
		*ret_level = LOG_LEVEL_DEBUG;
	else if (strcmp(word, "silent") == 0)
		*ret_level = LOG_LEVEL_ERROR;
	else
		return -EINVAL;
	return 0;
}

static void put(struct writer *line, const char *text)
{
	writer_bytes(line, text, strlen(text));
}

/* Length of the well-formed UTF-8 sequence at s (RFC 3629), 0 for none or a control (C0, DEL, C1).
 */
static size_t printable_sequence(const uint8_t *s)
{
	uint32_t c;
	size_t len;

	if (s[0] < 0x80)
		return s[0] >= 0x20 && s[0] != 0x7f ? 1 : 0;
	len = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	c = s[0] & (0xffU >> (len + 1));
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < 0xa0 || (len == 3 && c < 0x800) || (len == 4 && c < 0x10000) || c > 0x10ffff ||
	    (c >= 0xd800 && c <= 0xdfff))
		return 0;
	return len;
}

/* Text and JSON escape the same characters; a byte that is no text is \xNN or \u00NN. */
static void put_escaped(struct writer *line, const char *text)
{
	const uint8_t *s = (const uint8_t *)text;

	while (*s) {
		size_t len = printable_sequence(s);
		char code[8];

		if (len == 0) {
			snprintf(code, sizeof(code), state.json ? "\\u00%02x" : "\\x%02x", *s++);
			put(line, code);
			continue;
		}
		if (*s == '"' || *s == '\\')
			writer_u8(line, '\\');
		writer_bytes(line, s, len);
		s += len;
	}
}

static bool needs_quotes(const char *text)
{
	if (*text == '\0')
		return true;
	for (; *text; text++)
		if ((uint8_t)*text <= ' ' || *text == '"' || *text == '\\' || *text == 0x7f)
			return true;
	return false;
}

/* One "key=value"; all of it or nothing. */
static void put_pair(struct writer *line, const char *key, const char *value, bool number)
{
	size_t before = line->len;

	if (state.json) {
		put(line, ",\"");
		put_escaped(line, key);
		put(line, number ? "\":" : "\":\"");
		put_escaped(line, value);
		if (!number)
			put(line, "\"");
	} else {
		bool quote = *key != '\0' ? needs_quotes(value) : strchr(value, '=') != NULL;

		put(line, " ");
		put(line, key);
		if (*key != '\0')
			put(line, "=");
		put(line, quote ? "\"" : "");
		put_escaped(line, value);
		if (quote)
			put(line, "\"");
	}
	if (line->failed)
		line->len = before;
}

/* The arguments that are left, passed by pointer so that every part of the format takes its own. */
struct arguments {
	va_list list;
};

struct conversion {
	char spec[24]; /* "%-5ld" */
	char kind;     /* its last letter */
	char size;     /* 0, 'l', 'q' (ll), 'z', 'j', 't' */
	bool star;     /* the precision is an argument: "%.*s" */
};

/* Reads the conversion at *at (which points to '%') and moves behind it. */
static bool read_conversion(const char **at, struct conversion *ret)
{
	const char *start = *at, *p = start + 1;
	size_t len;

	*ret = (struct conversion){0};
	p += strspn(p, "-+ #0");
	p += strspn(p, "0123456789");
	if (*p == '.') {
		p++;
		ret->star = *p == '*';
		p += ret->star ? 1 : strspn(p, "0123456789");
	}
	for (; *p && strchr("hlzjt", *p); p++)
		if (*p != 'h') /* promoted to int */
			ret->size = *p == 'l' && ret->size == 'l' ? 'q' : *p;
	ret->kind = *p;
	len = (size_t)(p - start) + 1;
	if (*p == '\0' || !strchr("diuxXocspfge%", *p) || len >= sizeof(ret->spec))
		return false;
	memcpy(ret->spec, start, len);
	*at = p + 1;
	return true;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored                                                                     \
	"-Wformat-nonliteral" /* pieces of a format that the compiler checked */
#define FORMAT(type) snprintf(out, cap, c->spec, va_arg(args->list, type))
static void format_one(char *out, size_t cap, const struct conversion *c, struct arguments *args)
{
	out[0] = '\0';
	switch (c->kind) {
	case '%':
		snprintf(out, cap, "%%");
		break;
	case 's':
		if (c->star) {
			int precision = va_arg(args->list, int);
			const char *text = va_arg(args->list, const char *);

			snprintf(out, cap, c->spec, precision, text);
		} else {
			const char *text = va_arg(args->list, const char *);

			snprintf(out, cap, c->spec, text ? text : "(null)");
		}
		break;
	case 'p':
		FORMAT(void *);
		break;
	case 'f':
	case 'g':
	case 'e':
		FORMAT(double);
		break;
	default:
		if (c->size == 'l')
			FORMAT(long);
		else if (c->size == 'q')
			FORMAT(long long);
		else if (c->size == 'z')
			FORMAT(size_t);
		else if (c->size == 'j')
			FORMAT(intmax_t);
		else if (c->size == 't')
			FORMAT(ptrdiff_t);
		else
			FORMAT(int);
	}
}
#undef FORMAT
#pragma GCC diagnostic pop

/* The value of one pair: from *at to the next space of the format (spaces inside "…" belong to it;
 * the quotes themselves are left out). False when the format can't be followed any further. */
static bool read_value(const char **at, char *out, size_t cap, struct arguments *args,
		       bool *ret_number)
{
	struct writer value = writer_init(out, cap - 1);
	bool quoted = false, readable = true;
	unsigned parts = 0, numbers = 0;
	struct conversion c;

	for (; **at && (quoted || **at != ' '); parts++) {
		char piece[VALUE_MAX_BYTES];
		size_t len;

		if (**at == '"') {
			quoted = !quoted;
			++*at;
			continue;
		}
		if (**at != '%') {
			writer_u8(&value, (uint8_t) * *at);
			++*at;
			continue;
		}
		readable = read_conversion(at, &c);
		if (!readable)
			break;
		format_one(piece, sizeof(piece), &c, args);
		numbers += (c.kind == 'd' || c.kind == 'i' || c.kind == 'u') && c.spec[1] >= 'a';
		len = strlen(piece);
		if (len > value.cap - value.len)
			len = value.cap - value.len;
		writer_bytes(&value, piece, len);
	}
	out[value.len] = '\0';
	*ret_number = parts == 1 && numbers == 1;
	return readable;
}

static void put_pairs(struct writer *line, const char *pairs, struct arguments *args)
{
	char key[KEY_MAX_BYTES], value[VALUE_MAX_BYTES];
	unsigned unnamed = 0;

	while (*pairs) {
		size_t len = strcspn(pairs, "= %\"");
		bool number, readable;

		if (*pairs == ' ') {
			pairs++;
			continue;
		}
		key[0] = '\0';
		if (pairs[len] == '=' && len < sizeof(key)) {
			memcpy(key, pairs, len);
			key[len] = '\0';
			pairs += len + 1;
		} else if (state.json) {
			snprintf(key, sizeof(key), unnamed > 0 ? "detail%u" : "detail",
				 unnamed + 1);
			unnamed++;
		}
		readable = read_value(&pairs, value, sizeof(value), args, &number);
		put_pair(line, key, value, number);
		if (!readable)
			break;
	}
}

static void put_head(struct writer *line, enum log_level level, const char *sentence)
{
	char when[40];
	struct timespec ts;
	struct tm tm;
	size_t used;

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	used = strftime(when, sizeof(when), "%FT%T", &tm);
	snprintf(when + used, sizeof(when) - used, ".%03dZ", (int)(ts.tv_nsec / 1000000 % 1000));
	put(line, state.json ? "{\"time\":\"" : "");
	put(line, when);
	put(line, state.json ? "\",\"level\":\"" : " ");
	put(line, level_names[level]);
	put(line, state.json ? "\",\"program\":\"" : " ");
	put_escaped(line, state.program);
	put(line, state.json ? "\",\"message\":\"" : ": ");
	put_escaped(line, sentence);
	put(line, state.json ? "\"" : "");
}

void log_write(enum log_level level, const char *sentence, const char *pairs, ...)
{
	uint8_t bytes[LINE_MAX_BYTES];
	struct writer line = writer_init(bytes, sizeof(bytes) - TAIL_BYTES);
	char head[256];
	struct arguments args;
	int saved_errno = errno;

	if (!log_enabled(level))
		return;
	/* Escaping makes a sentence at most six times as long: it always fits. */
	snprintf(head, sizeof(head), "%.250s", sentence);
	put_head(&line, level, head);
	if (pairs) {
		va_start(args.list, pairs);
		put_pairs(&line, pairs, &args);
		va_end(args.list);
	}
	if (line.failed) {
		line.failed = false;
		line.cap = sizeof(bytes);
		put(&line, state.json ? ",\"truncated\":true" : " truncated=true");
	}
	line.cap = sizeof(bytes);
	put(&line, state.json ? "}\n" : "\n");
	/* One write per line keeps lines of several threads apart; there is nobody to tell about a
	 * log that can't be written. */
	while (write(state.fd, bytes, line.len) < 0 && errno == EINTR)
		;
	errno = saved_errno;
}

bool log_limit_allow(struct log_limit *limit, uint64_t now_ns)
{
	uint64_t refill = limit->interval_ns > 0 && now_ns > limit->last_ns
				  ? (now_ns - limit->last_ns) / limit->interval_ns
				  : 0;

	if (refill >= limit->used) {
		limit->used = 0;
		limit->last_ns = now_ns;
	} else if (refill > 0) {
		limit->used -= (unsigned)refill;
		limit->last_ns += refill * limit->interval_ns;
	}
	if (limit->used >= limit->burst) {
		limit->suppressed++;
		return false;
	}
	limit->used++;
	return true;
}
