/* SPDX-License-Identifier: Apache-2.0
 *
 * What libssh (0.10.6) tells in its log alone: requests that it drops without an answer, and names
 * of requests that its callbacks don't have. What a client wrote stands behind the beginning of a
 * line and cannot forge it.
 */
#include "ssh/libssh_internal.h"

#include <string.h>

#include "ssh/libssh_ahead.h"

#define LOGGED_BYTES 4096 /* of one read */

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* The first line of each packet. Its message or another line about it follows before the next
 * one's. */
static void on_packet(struct libssh_server *s, const char *text)
{
	const char *type = text + sizeof("Dispatching handler for packet type ") - 1;

	if (!begins(text, "Dispatching handler for packet type "))
		return;
	s->unreadable |= s->channel;
	s->channel = strcmp(type, "90") == 0 || strcmp(type, "98") == 0; /* RFC 4254 section 9 */
}

static void on_global(struct libssh_server *s, const char *text)
{
	if (begins(text, "Received SSH_MSG_GLOBAL_REQUEST packet")) {
		s->global = true;
	} else if (begins(text, "Invalid ")) { /* also at the end of what was refused */
		s->unreadable |= s->global;
		s->global = false;
	} else if (!begins(text, "The requester doesn't want")) {
		s->global = false;
	}
	if (begins(text, "UNKNOWN SSH_MSG_GLOBAL_REQUEST ") &&
	    strstr(text, " no-more-sessions@openssh.com,"))
		s->ops->no_more_sessions(s->ctx);
}

/* buffer: "function: text" */
static void read_log(int priority, const char *function, const char *buffer, void *userdata)
{
	struct libssh_server *s = userdata;
	size_t len = strlen(function);
	const char *text;

	(void)priority;
	if (!s || strncmp(buffer, function, len) != 0 || strncmp(buffer + len, ": ", 2) != 0)
		return;
	text = buffer + len + 2;
	/* First of a request with a key or signature that it cannot read. */
	if (strcmp(function, "ssh_packet_userauth_request") == 0)
		s->seen += begins(text, "Auth request for service ");
	if (!s->ops)
		return;
	if (strcmp(function, "ssh_packet_process") == 0)
		on_packet(s, text);
	else if (strcmp(function, "ssh_packet_global_request") == 0)
		on_global(s, text);
	else if (strcmp(function, "ssh_message_handle_channel_request") == 0)
		s->no_more = begins(text, "Received a eow@openssh.com channel_request ");
	/* What libssh deals with itself, such as signals and keepalives. */
	else if (strcmp(function, "channel_rcv_request") == 0)
		s->channel &= begins(text, "Invalid MSG_CHANNEL_REQUEST");
}

/* A line for each packet is too much where much comes in; requests come in small pieces. Packets of
 * our own have none: whoever writes lowers the level again. */
static void listen_closely(size_t came)
{
	ssh_set_log_level(came > LOGGED_BYTES ? SSH_LOG_PROTOCOL : SSH_LOG_PACKET);
}

void libssh_log_start(struct libssh_server *s)
{
	ssh_set_log_callback(read_log);
	ssh_set_log_userdata(s);
	ssh_set_log_level(SSH_LOG_PACKET);
}

void libssh_log_stop(void)
{
	ssh_set_log_level(SSH_LOG_NOLOG);
	ssh_set_log_userdata(NULL);
}

void libssh_log_listen(void)
{
	ssh_set_log_level(SSH_LOG_PROTOCOL);
	libssh_ahead_tell(listen_closely);
}

void libssh_log_message(struct libssh_server *s)
{
	s->channel = false;
}

bool libssh_log_unreadable(const struct libssh_server *s)
{
	return s->unreadable || s->channel;
}
