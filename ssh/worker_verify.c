/* SPDX-License-Identifier: Apache-2.0
 *
 * `warren-ssh-worker --verify`: one ECDSA or RSA signature for the monitor (monitor_proof.c), in a
 * process without rights that ends with its answer.
 */
#include "platform/buffer.h"
#include "platform/log.h"
#include "platform/unixsock.h"
#include "ssh/monitor.h"
#include "ssh/worker.h"
#include "ssh/worker_internal.h"

int worker_verify(void)
{
	static uint8_t in[MONITOR_WIRE_MAX];
	struct error err = {0};
	const uint8_t *subject, *signature, *data;
	size_t subject_len, signature_len, data_len;
	char algorithm[64];
	uint8_t answer = MONITOR_NO;
	struct reader r;
	ssize_t n;

	if (worker_confine(NULL, &err) < 0) {
		log_error("cannot verify a signature", "error=\"%s\"", error_text(&err));
		return WARREN_EXIT_FAILED;
	}
	n = unixsock_recv(WORKER_FD_MONITOR, in, sizeof(in), NULL, NULL, 0);
	r = reader_init(in, n > 0 ? (size_t)n : 0);
	reader_cstring(&r, algorithm, sizeof(algorithm));
	subject = reader_string(&r, MONITOR_WIRE_MAX, &subject_len);
	signature = reader_string(&r, MONITOR_WIRE_MAX, &signature_len);
	data = reader_string(&r, MONITOR_WIRE_MAX, &data_len);
	if (reader_done(&r) && subject && signature && data &&
	    monitor_signature_verify(algorithm, subject, subject_len, signature, signature_len,
				     data, data_len))
		answer = MONITOR_YES;
	return unixsock_send(WORKER_FD_MONITOR, &answer, 1, NULL, 0) < 0 ? WARREN_EXIT_FAILED
									 : WARREN_EXIT_OK;
}
