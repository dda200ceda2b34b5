/* SPDX-License-Identifier: Apache-2.0
 *
 * Audit events: fields on the wire, members of JSON in the log.
 */
#include "ssh/wire/ssh_wire_audit.h"

#include <errno.h>
#include <string.h>

#define WHO_MAX 256

static const char *const event_names[SSH_AUDIT_EVENTS] = {
	[SSH_AUDIT_CONNECTION] = "ssh.connection",
	[SSH_AUDIT_LOGIN] = "ssh.login",
	[SSH_AUDIT_LOGIN_REFUSED] = "ssh.login.refused",
	[SSH_AUDIT_SESSION] = "ssh.session",
	[SSH_AUDIT_SESSION_REFUSED] = "ssh.session.refused",
	[SSH_AUDIT_SESSION_END] = "ssh.session.end",
	[SSH_AUDIT_SFTP] = "ssh.sftp",
	[SSH_AUDIT_FORWARD] = "ssh.forward",
	[SSH_AUDIT_FORWARD_REFUSED] = "ssh.forward.refused",
	[SSH_AUDIT_FORWARD_END] = "ssh.forward.end",
	[SSH_AUDIT_LISTEN] = "ssh.listen",
	[SSH_AUDIT_LISTEN_REFUSED] = "ssh.listen.refused",
	[SSH_AUDIT_ENDING] = "ssh.ending",
	[SSH_AUDIT_VIOLATION] = "ssh.violation",
	[SSH_AUDIT_END] = "ssh.end",
	[SSH_AUDIT_NOTE] = "ssh.note",
};

static const char *const key_names[SSH_AUDIT_KEYS] = {
	[SSH_AUDIT_CODE] = "code",
	[SSH_AUDIT_REASON] = "reason",
	[SSH_AUDIT_METHOD] = "method",
	[SSH_AUDIT_CHANNEL] = "channel",
	[SSH_AUDIT_KIND] = "kind",
	[SSH_AUDIT_COMMAND] = "command",
	[SSH_AUDIT_OP] = "op",
	[SSH_AUDIT_PATH] = "path",
	[SSH_AUDIT_PATH2] = "new_path",
	[SSH_AUDIT_DETAIL] = "detail",
	[SSH_AUDIT_READ] = "bytes_read",
	[SSH_AUDIT_WRITTEN] = "bytes_written",
	[SSH_AUDIT_TO] = "to",
	[SSH_AUDIT_ON] = "on",
	[SSH_AUDIT_STATUS] = "status",
	[SSH_AUDIT_SIGNAL] = "signal",
	[SSH_AUDIT_DURATION_MS] = "duration_ms",
	[SSH_AUDIT_RECEIVED] = "bytes_received",
	[SSH_AUDIT_SENT] = "bytes_sent",
	[SSH_AUDIT_NETWORK] = "network",
	[SSH_AUDIT_TTY] = "tty",
	[SSH_AUDIT_PID] = "pid",
	[SSH_AUDIT_FROM] = "from",
};

static void put_text(struct writer *w, const char *text)
{
	size_t len = text != NULL ? strlen(text) : 0;

	writer_string(w, text != NULL ? text : "",
		      len > SSH_AUDIT_TEXT_MAX ? SSH_AUDIT_TEXT_MAX : len);
}

static bool left_out(const struct ssh_audit_field *f)
{
	return f->text != NULL && f->text[0] == '\0';
}

void ssh_wire_audit_put(struct writer *w, const struct ssh_audit *a)
{
	uint8_t count = 0;

	writer_u8(w, a->event);
	put_text(w, a->identity);
	put_text(w, a->peer);
	put_text(w, a->login);
	for (size_t i = 0; i < a->count; i++)
		count = (uint8_t)(count + !left_out(&a->fields[i]));
	writer_u8(w, count);
	for (size_t i = 0; i < a->count; i++) {
		if (left_out(&a->fields[i]))
			continue;
		writer_u8(w, a->fields[i].key);
		writer_u8(w, a->fields[i].text == NULL);
		if (a->fields[i].text != NULL)
			put_text(w, a->fields[i].text);
		else
			writer_u64(w, a->fields[i].number);
	}
}

/* Length of a valid UTF-8 sequence of two or more bytes (RFC 3629), or 0. */
static size_t utf8(const uint8_t *p, size_t left)
{
	size_t n = p[0] >= 0xc2 && p[0] <= 0xdf	  ? 2
		   : p[0] >= 0xe0 && p[0] <= 0xef ? 3
		   : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4
						  : 0;

	if (n == 0 || n > left)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	/* C1 controls and what turns lines around stay out of terminals. */
	if ((p[0] == 0xc2 && p[1] < 0xa0) || (p[0] == 0xe2 && (p[1] == 0x80 || p[1] == 0x81)))
		return 0;
	return n;
}

int ssh_wire_audit_text(struct buffer *out, const void *text, size_t len)
{
	const uint8_t *p = text;
	int r = buffer_append(out, "\"", 1);

	for (size_t i = 0; i < len && r == 0;) {
		size_t n = p[i] >= 0x80 ? utf8(p + i, len - i) : 1;

		if (n == 1 && (p[i] == '"' || p[i] == '\\'))
			r = buffer_printf(out, "\\%c", p[i]);
		else if (p[i] == 0) /* readers of JSON refuse it */
			r = buffer_printf(out, "\\ufffd");
		else if (n == 0 || p[i] < 0x20 || p[i] == 0x7f)
			r = buffer_printf(out, "\\u%04x", p[i]); /* a byte that is no text, as Latin-1 */
		else
			r = buffer_append(out, p + i, n);
		i += n > 0 ? n : 1;
	}
	return r == 0 ? buffer_append(out, "\"", 1) : r;
}

static int member(struct buffer *out, const char *name, const uint8_t *text, size_t len)
{
	int r = buffer_printf(out, ",\"%s\":", name);

	return r == 0 ? ssh_wire_audit_text(out, text, len) : r;
}

static int who(struct buffer *out, struct reader *r, const char *name)
{
	size_t len;
	const uint8_t *text = reader_string(r, WHO_MAX, &len);

	if (text == NULL)
		return -EBADMSG;
	return len > 0 ? member(out, name, text, len) : 0;
}

static int field(struct buffer *out, struct reader *r, uint32_t *seen)
{
	uint8_t key = reader_u8(r), number = reader_u8(r);
	const uint8_t *text;
	uint64_t value;
	size_t len;

	if (r->failed || key == 0 || key >= SSH_AUDIT_KEYS || number > 1 ||
	    (*seen & (uint32_t)1 << key) != 0)
		return -EBADMSG;
	*seen |= (uint32_t)1 << key;
	if (number) {
		value = reader_u64(r);
		return r->failed ? -EBADMSG
				 : buffer_printf(out, ",\"%s\":%llu", key_names[key],
						 (unsigned long long)(value & INT64_MAX));
	}
	text = reader_string(r, SSH_AUDIT_TEXT_MAX, &len);
	return text != NULL ? member(out, key_names[key], text, len) : -EBADMSG;
}

int ssh_wire_audit_json(struct reader *r, uint32_t connection, const struct endpoint *client,
			struct buffer *out, bool *ret_ended)
{
	char address[ENDPOINT_STRLEN];
	uint8_t event = reader_u8(r), count;
	uint32_t seen = 0;
	int rc;

	_Static_assert(SSH_AUDIT_KEYS <= 32, "a bit for each key");

	if (r->failed || event == 0 || event >= SSH_AUDIT_EVENTS)
		return -EBADMSG;
	rc = buffer_printf(out, "\"event\":\"%s\",\"connection\":%u,\"client\":\"%s\"",
			   event_names[event], connection, endpoint_format(client, address));
	if (rc == 0)
		rc = who(out, r, "identity");
	if (rc == 0)
		rc = who(out, r, "peer");
	if (rc == 0)
		rc = who(out, r, "login");
	count = reader_u8(r);
	if (rc == 0 && count > SSH_AUDIT_FIELDS)
		rc = -EBADMSG;
	for (uint8_t i = 0; rc == 0 && i < count; i++)
		rc = field(out, r, &seen);
	if (rc == 0 && !reader_done(r))
		rc = -EBADMSG;
	if (rc == 0 && ret_ended != NULL)
		*ret_ended = event == SSH_AUDIT_END;
	return rc;
}
