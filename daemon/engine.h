/* SPDX-License-Identifier: Apache-2.0
 *
 * The engine: the process that moves packets (daemon/PROTOCOL.md section 3). It has no privileges
 * and opens nothing; descriptors and rules come to it.
 */
#ifndef WARREN_DAEMON_ENGINE_H
#define WARREN_DAEMON_ENGINE_H

/* Exit status: the main TUN went away under us. */
#define ENGINE_EXIT_TUN_GONE 3

/* Runs packets in so many threads, on descriptor WIRE_FD_BROKER until the broker closes it; returns
 * the exit status. Started as root, it gives everything up before the first message is read. */
int engine_run(unsigned shards);

#endif
