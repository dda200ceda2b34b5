/* SPDX-License-Identifier: Apache-2.0
 *
 * Who is turned away before SSH begins (MaxStartups, PerSourceMaxStartups of sshd_config(5)). Pure:
 * the caller keeps the list of connections and brings the randomness.
 */
#ifndef WARREN_SSH_CONFIG_STARTUPS_H
#define WARREN_SSH_CONFIG_STARTUPS_H

#include "ssh/config/sshd_config.h"

/* MaxStartups begin:rate:full; percent: a random number 0 to 99. */
bool startups_drops(const struct sshd_startups *s, unsigned unauthenticated, unsigned percent);
/* Are both in the same network of PerSourceNetBlockSize? */
bool startups_same_source(const struct sshd_startups *s, const struct ip_addr *a,
			  const struct ip_addr *b);
/* The line that the client reads, or NULL: let it in. of_source: unauthenticated connections of the
 * same source. */
const char *startups_refusal(const struct sshd_startups *s, unsigned unauthenticated,
			     unsigned of_source, unsigned percent);
/* A connection that is refused takes the place of one that came STARTUPS_SLOW_NS ago and has not come to
 * the end of a key exchange, which a client needs no person for: the oldest of the same source where
 * its limit is reached, else of all. So scanners and half-open connections lock nobody out, and a
 * flood starts no more monitors than places × 1/STARTUPS_SLOW_NS. */
#define STARTUPS_SLOW_NS   (UINT64_C(2) * 1000000000)
#define STARTUPS_DISPLACED "Too many unfinished logins: another took the place of this one."
/* of_source: is it the limit of a source that is reached? */
bool startups_of_source(const struct sshd_startups *s, unsigned of_source);

/* Closes the connection after that line (RFC 4253 section 4.2). */
void startups_turn_away(int fd, const char *line);
/* TCP keep-alive and user timeout, so that a connection does not outlive its peer by more than a
 * minute. -errno of the first option that could not be set. */
int startups_expect_an_end(int fd, bool keep_alive) WARREN_MUST_USE;

#endif
