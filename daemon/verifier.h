/* SPDX-License-Identifier: Apache-2.0
 *
 * The verifier: a short-lived process without any rights that opens one signed object of type "ssh"
 * (control/PROTOCOL.md section 6) for the broker, which never parses it. It answers with a struct
 * of fixed size.
 */
#ifndef WARREN_DAEMON_VERIFIER_H
#define WARREN_DAEMON_VERIFIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/error.h"

/* Descriptors of the role. */
enum verifier_fd {
	VERIFIER_FD_OBJECT = 3,	 /* sealed memfd, read from offset 0 */
	VERIFIER_FD_REQUEST = 4, /* struct verifier_request */
	VERIFIER_FD_ANSWER = 5,	 /* pipe: struct verifier_answer */
};

/* Same program on the same machine: fixed layout, no padding. */
struct verifier_request {
	uint8_t signing_key[32];
	char network[32];
	char peer_id[32];
	uint64_t min_seq;
};

struct verifier_answer {
	uint32_t magic; /* VERIFIER_MAGIC */
	uint8_t ok;	/* 1: believed */
	uint8_t enabled;
	uint8_t zero[2];
	uint64_t seq;
	uint64_t valid_until;
	char sentence[232]; /* when refused; NUL-terminated printable ASCII */
};

#define VERIFIER_MAGIC UINT32_C(0x57565631)

/* Pure part: judges the text at time now_s. */
void verifier_judge(const struct verifier_request *request, const char *text, size_t len,
		    int64_t now_s, struct verifier_answer *ret_answer);
/* Checks an answer that came from the process. */
bool verifier_answer_valid(const struct verifier_answer *answer);
/* The role `warrend --role verifier`; returns the exit status. */
int verifier_run(void);

#endif
