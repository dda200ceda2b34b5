/* SPDX-License-Identifier: Apache-2.0
 *
 * What both directions of the old copy protocol share.
 */
#include "ssh/sftp_scp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/file.h"

int scp_fill(struct scp *s)
{
	ssize_t n;

	if (s->len > s->at)
		return 0;
	do
		n = read(s->in, s->input, SCP_INPUT_BYTES);
	while (n < 0 && errno == EINTR);
	s->at = 0;
	s->len = n > 0 ? (size_t)n : 0;
	return n > 0 ? 0 : n < 0 ? -errno : -EPIPE;
}

int scp_byte(struct scp *s, uint8_t *ret_byte)
{
	int r = scp_fill(s);

	if (r == 0)
		*ret_byte = s->input[s->at++];
	return r;
}

int scp_line(struct scp *s, char line[static SCP_LINE_MAX])
{
	size_t n = 0;
	uint8_t c;
	int r;

	while ((r = scp_byte(s, &c)) == 0 && c != '\n') {
		if (n + 1 >= SCP_LINE_MAX || c == '\0')
			return -EBADMSG;
		line[n++] = (char)c;
	}
	line[n] = '\0';
	return r;
}

int scp_send(struct scp *s, const void *data, size_t len)
{
	return file_write_all(s->out, data, len);
}

int scp_warn(struct scp *s, const char *what, const char *why)
{
	char line[SFTP_PATH_MAX + 256];
	int len = snprintf(line, sizeof(line), "\1scp: %s%s%s\n", what, what[0] != '\0' ? ": " : "",
			   why);

	s->errors++;
	for (int i = 1; i + 1 < len; i++) /* a name may hold a newline */
		if ((unsigned char)line[i] < 0x20)
			line[i] = '?';
	return scp_send(s, line, (size_t)len);
}

int scp_answer(struct scp *s)
{
	char line[SCP_LINE_MAX];
	uint8_t c;
	int r = scp_byte(s, &c);

	if (r < 0 || c == 0)
		return r;
	s->errors++;
	r = c == 1 || c == 2 ? scp_line(s, line) : -EBADMSG;
	return r < 0 ? r : c == 1 ? 1 : -ECANCELED;
}

int scp_serve(struct sftp_root *root, struct sftp_command *command, int in, int out, int log)
{
	struct scp s = {
		.root = root,
		.in = in,
		.out = out,
		.log = log,
		.recursive = command->recursive,
		.preserve = command->preserve,
		.want_folder = command->want_folder,
		.input = malloc(SCP_INPUT_BYTES),
	};
	int r;

	if (s.input == NULL)
		return 1;
	if (command->kind == SFTP_COMMAND_SOURCE) {
		r = scp_source(&s, command);
	} else {
		sftp_command_plain(command->paths[0]);
		r = scp_sink(&s, command->paths[0]);
	}
	free(s.input);
	return r < 0 || s.errors > 0 ? 1 : 0;
}
