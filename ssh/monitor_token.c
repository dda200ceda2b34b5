/* SPDX-License-Identifier: Apache-2.0
 *
 * A JWT as password (ssh/PROTOCOL.md section 8), where root and policy take it: the token and the
 * keys of the signed object go to a process without rights; who it says came, the verifier judges.
 * The token is believed only from a machine that its owner is logged in on.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/log.h"
#include "platform/secret.h"
#include "ssh/monitor.h"

static int ask_helper(const struct monitor *m, const uint8_t *token, size_t len, const uint8_t *issuers, size_t issuers_len,
		      struct verifier_token *ret_token, char message[static 256])
{
	uint8_t *data = malloc(MONITOR_WIRE_MAX);
	struct writer w = writer_init(data, data != NULL ? MONITOR_WIRE_MAX : 0);
	struct reader r;
	uint8_t result;
	ssize_t n;

	if (data == NULL)
		return -ENOMEM;
	writer_string(&w, token, len);
	writer_string(&w, issuers, issuers_len);
	writer_u64(&w, (uint64_t)monitor_now_s());
	n = w.failed ? -EMSGSIZE : monitor_helper(m, "--token", data, w.len, data);
	r = reader_init(data, n > 0 ? (size_t)n : 0);
	result = reader_u8(&r);
	reader_cstring(&r, message, 256);
	reader_cstring(&r, ret_token->identity, sizeof(ret_token->identity));
	ret_token->auth_time_s = (int64_t)reader_u64(&r);
	ret_token->issued_s = (int64_t)reader_u64(&r);
	ret_token->group_count = reader_u32(&r);
	if (ret_token->group_count > VERIFIER_GROUPS_MAX)
		r.failed = true;
	for (size_t i = 0; i < ret_token->group_count && !r.failed; i++)
		reader_cstring(&r, ret_token->groups[i], sizeof(ret_token->groups[i]));
	secret_wipe(data, MONITOR_WIRE_MAX);
	free(data);
	if (!reader_done(&r)) {
		snprintf(message, 256, "the token could not be verified");
		return -EACCES;
	}
	return result == MONITOR_YES ? 0 : -EACCES;
}

static int judge(struct monitor *m, const uint8_t *token, size_t len,
		 struct verifier_decision *ret_decision, char message[static 256])
{
	struct verifier_token *proof = calloc(1, sizeof(*proof));
	uint8_t *issuers = malloc(MONITOR_WIRE_MAX);
	struct ip_addr client;
	size_t issuers_len = 0;
	int r = proof != NULL && issuers != NULL ? 0 : -ENOMEM;

	endpoint_ip(&m->config.client, &client);
	if (r == 0)
		r = verifier_issuers(m->verifier, issuers, MONITOR_WIRE_MAX, &issuers_len);
	if (r == 0)
		r = ask_helper(m, token, len, issuers, issuers_len, proof, message);
	if (r == 0)
		r = verifier_token(m->verifier, proof, m->login, &client, monitor_now_s(),
				   ret_decision);
	free(proof);
	free(issuers);
	return r;
}

int monitor_token_judge(struct monitor *m, const uint8_t *token, size_t len,
			struct verifier_decision *ret_decision, char message[static 256])
{
	int r;

	message[0] = '\0';
	if (!m->config.tokens || !m->config.through_mesh)
		return -EPERM;
	r = judge(m, token, len, ret_decision, message);
	if (r < 0 && message[0] == '\0')
		snprintf(message, 256, "the token could not be verified");
	return r;
}
