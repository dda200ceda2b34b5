/* SPDX-License-Identifier: Apache-2.0
 *
 * A client that is there but does not read (^Z, a pager) keeps its connection, as with sshd. The listener's
 * TCP_USER_TIMEOUT, which ends connections whose other machine is gone, also counts while the other machine
 * says that its window is shut (Linux since 5.11): it is off as long as that is what is waited for.
 */
#include <errno.h>
#include <linux/tcp.h> /* has tcpi_notsent_bytes, netinet/tcp.h hasn't */
#include <netinet/in.h>
#include <sys/socket.h>

#include "platform/clock.h"
#include "ssh/worker_internal.h"

#define LOOK_EVERY_NS (15 * NSEC_PER_SEC)
#define PROBES_MAX    2 /* unanswered in a row: nobody is there */

static void set_timeout(unsigned timeout_ms)
{
	/* Errors are fine: a connection may be something else than TCP. */
	(void)setsockopt(WORKER_FD_CONNECTION, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms,
			 sizeof(timeout_ms));
}

/* Are there bytes that the other side does not want yet? *ret_outstanding: are there any at all? */
static bool window_is_shut(bool *ret_outstanding)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);

	*ret_outstanding = false;
	if (getsockopt(WORKER_FD_CONNECTION, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return false;
	*ret_outstanding = info.tcpi_notsent_bytes > 0 || info.tcpi_unacked > 0;
	return info.tcpi_notsent_bytes > 0 && info.tcpi_unacked == 0 &&
	       info.tcpi_probes < PROBES_MAX;
}

void worker_patience_tick(struct worker *w, uint64_t now_ns)
{
	struct worker_patience *p = &w->patience;
	uint64_t received, sent;
	bool outstanding;

	libssh_server_bytes(w->server, &received, &sent);
	if (p->look_ns == 0 && sent != p->sent)
		p->look_ns = now_ns + LOOK_EVERY_NS;
	if (p->look_ns == 0 || now_ns < p->look_ns)
		return;
	p->sent = sent;
	if (p->timeout_ms == 0) {
		socklen_t len = sizeof(p->timeout_ms);

		if (getsockopt(WORKER_FD_CONNECTION, IPPROTO_TCP, TCP_USER_TIMEOUT, &p->timeout_ms,
			       &len) < 0)
			p->timeout_ms = 0;
	}
	set_timeout(window_is_shut(&outstanding) ? 0 : p->timeout_ms);
	p->look_ns = outstanding ? now_ns + LOOK_EVERY_NS : 0;
}
