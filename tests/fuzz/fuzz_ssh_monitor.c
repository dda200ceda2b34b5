/* SPDX-License-Identifier: Apache-2.0
 *
 * What a worker may send to the monitor: packets (u16 length each) in a state that the first byte
 * chooses. There is no verifier, so no login succeeds, and the login that is open may do nothing:
 * every field is parsed, and no process starts.
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/file.h"
#include "platform/log.h"
#include "platform/secret.h"
#include "platform/unixsock.h"
#include "ssh/monitor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void drain(int fd)
{
	static uint8_t answer[MONITOR_WIRE_MAX];
	int fds[UNIXSOCK_MAX_FDS];
	size_t nfds;

	while (unixsock_recv(fd, answer, sizeof(answer), fds, &nfds, MSG_DONTWAIT) > 0)
		if (nfds > 0)
			abort(); /* nothing of the machine may be given away */
}

static struct monitor *make(uint8_t choice, int worker)
{
	struct monitor *m = monitor_new();
	uint8_t seed[32] = {1};

	if (m == NULL)
		abort();
	m->host_secret = secret_alloc(crypto_sign_SECRETKEYBYTES);
	if (m->host_secret == NULL)
		abort();
	crypto_sign_seed_keypair(m->host_public, m->host_secret, seed);
	m->worker_fd = worker;
	m->config.no_auth = m->config.through_mesh = (choice & 8) != 0;
	m->config.allow_local_forward = m->config.allow_remote_forward = true;
	m->state = (enum monitor_state)(choice & 3);
	m->asked = (choice & 4) != 0 ? 1U << MONITOR_HELLO : 0;
	m->agent_permitted = (choice & 16) != 0;
	if (m->state != MONITOR_KEX)
		m->session_id_len = 32;
	return m;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct reader r = reader_init(data, len);
	uint8_t choice = reader_u8(&r);
	struct monitor *m;
	int pair[2], result = 0;

	log_init("fuzz", -1, LOG_LEVEL_ERROR, false);
	if (sodium_init() < 0 || unixsock_pair(pair) < 0 || file_set_nonblock(pair[0], true) < 0)
		abort();
	m = make(choice, pair[0]);
	while (result == 0 && reader_left(&r) > 2) {
		uint16_t n = reader_u16(&r);
		const uint8_t *packet = n > 0 && n <= reader_left(&r) ? reader_take(&r, n) : NULL;

		if (packet == NULL)
			break;
		result = monitor_packet(m, packet, n);
		drain(pair[1]);
		if (m->logged_in || m->session_count > 0 || m->listener_count > 0)
			abort();
	}
	monitor_free(m);
	close(pair[1]);
	return 0;
}
