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
/* Closes the connection after that line (RFC 4253 section 4.2). */
void startups_turn_away(int fd, const char *line);
/* TCP keep-alive and user timeout, so that a connection does not outlive its peer by more than a
 * minute. -errno of the first option that could not be set. */
int startups_expect_an_end(int fd, bool keep_alive) WARREN_MUST_USE;

#endif
