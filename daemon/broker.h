/* SPDX-License-Identifier: Apache-2.0
 *
 * The broker: the one process of warrend that keeps root (daemon/PROTOCOL.md sections 1, 2 and 5).
 */
#ifndef WARREN_DAEMON_BROKER_H
#define WARREN_DAEMON_BROKER_H

#include "daemon/options.h"

/* Runs until SIGTERM or SIGINT, then removes everything it made; the exit status. */
int broker_run(const struct daemon_options *options);

#endif
