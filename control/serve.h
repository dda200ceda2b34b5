/* SPDX-License-Identifier: Apache-2.0
 *
 * `warren-control serve`: puts the parts together and runs them.
 */
#ifndef WARREN_CONTROL_SERVE_H
#define WARREN_CONTROL_SERVE_H

#include "control/config.h"

/* Runs until SIGTERM or SIGINT; an exit code of platform/error.h. Errors are on stderr. */
int serve_run(const struct control_config *config, const struct config_more *more);

#endif
