/* SPDX-License-Identifier: Apache-2.0
 *
 * The old copy protocol of scp (`scp -O`), served on a confined part of the file system. Shared by
 * sftp_scp_source.c (files go out) and sftp_scp_sink.c (files come in).
 */
#ifndef WARREN_SSH_SFTP_SCP_H
#define WARREN_SSH_SFTP_SCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ssh/sftp_command.h"
#include "ssh/sftp_root.h"

#define SCP_INPUT_BYTES (256u << 10)
#define SCP_LINE_MAX	(SFTP_PATH_MAX + 64)
#define SCP_DEPTH_MAX	64

struct scp {
	struct sftp_root *root;
	int in, out, log;
	bool recursive, preserve, want_folder;
	unsigned errors; /* of single files: the exit status is 1 */
	uint8_t *input;
	size_t at, len; /* of input: not yet taken */
};

/* Serves the command; the exit status of scp: 0, or 1 when anything failed. */
int scp_serve(struct sftp_root *root, struct sftp_command *command, int in, int out, int log);

/* 0, or -errno: the connection is over. */
int scp_fill(struct scp *s) WARREN_MUST_USE; /* at least one byte in input; -EPIPE at the end */
int scp_byte(struct scp *s, uint8_t *ret_byte) WARREN_MUST_USE;
/* Up to a newline, without it. -EBADMSG when it is too long. */
int scp_line(struct scp *s, char line[static SCP_LINE_MAX]) WARREN_MUST_USE;
int scp_send(struct scp *s, const void *data, size_t len) WARREN_MUST_USE;
/* "\1scp: WHAT: WHY\n", and counts it. */
int scp_warn(struct scp *s, const char *what, const char *why) WARREN_MUST_USE;
/* The other side's word: 0 fine, 1 it could not (counted), negative: over. */
int scp_answer(struct scp *s) WARREN_MUST_USE;
int scp_source(struct scp *s, struct sftp_command *command) WARREN_MUST_USE;
int scp_sink(struct scp *s, const char *target) WARREN_MUST_USE;

#endif
