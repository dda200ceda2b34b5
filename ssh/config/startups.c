/* SPDX-License-Identifier: Apache-2.0
 *
 * Limits on connections that have not logged in: shared by the broker and by warren-sshd.
 */
#include "ssh/config/startups.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

bool startups_drops(const struct sshd_startups *s, unsigned unauthenticated, unsigned percent)
{
	uint64_t chance;

	if (unauthenticated < s->begin)
		return false;
	if (unauthenticated >= s->full || s->rate == 100)
		return true;
	chance = s->rate + (uint64_t)(100 - s->rate) * (unauthenticated - s->begin) /
				   (s->full - s->begin);
	return percent < chance;
}

bool startups_same_source(const struct sshd_startups *s, const struct ip_addr *a,
			  const struct ip_addr *b)
{
	uint8_t bits = a->family == 4 ? s->bits4 : s->bits6;
	struct ip_prefix net = {.addr = *a, .bits = bits};

	if (a->family != b->family)
		return false;
	for (unsigned i = 0; i < sizeof(net.addr.bytes); i++) /* host bits are none of its own */
		if (i * 8 >= bits)
			net.addr.bytes[i] = 0;
		else if (i * 8 + 8 > bits)
			net.addr.bytes[i] &= (uint8_t)(0xff << (i * 8 + 8 - bits));
	return ip_prefix_contains(&net, b);
}

const char *startups_refusal(const struct sshd_startups *s, unsigned unauthenticated,
			     unsigned of_source, unsigned percent)
{
	if (startups_of_source(s, of_source))
		return "Too many unfinished logins from your address: try again later.\r\n";
	if (startups_drops(s, unauthenticated, percent))
		return "Exceeded MaxStartups\r\n";
	return NULL;
}

bool startups_of_source(const struct sshd_startups *s, unsigned of_source)
{
	return of_source >= s->per_source;
}

void startups_turn_away(int fd, const char *line)
{
	/* As good as it gets: the connection is closed either way. */
	ssize_t ignored = send(fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT);

	(void)ignored;
	close(fd);
}

int startups_expect_an_end(int fd, bool keep_alive)
{
	static const struct {
		int level, name, value;
	} options[] = {
		{IPPROTO_TCP, TCP_USER_TIMEOUT, 60000},
		{SOL_SOCKET, SO_KEEPALIVE, 1},
		{IPPROTO_TCP, TCP_KEEPIDLE, 30},
		{IPPROTO_TCP, TCP_KEEPINTVL, 10},
		{IPPROTO_TCP, TCP_KEEPCNT, 3},
	};
	size_t count = keep_alive ? sizeof(options) / sizeof(options[0]) : 1;

	for (size_t i = 0; i < count; i++)
		if (setsockopt(fd, options[i].level, options[i].name, &options[i].value,
			       sizeof(options[i].value)) < 0)
			return -errno;
	return 0;
}
