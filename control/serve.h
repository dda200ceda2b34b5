/* SPDX-License-Identifier: Apache-2.0
 *
 * `warren-control serve`: puts the parts together and runs them.
 */
#ifndef WARREN_CONTROL_SERVE_H
#define WARREN_CONTROL_SERVE_H

#include "control/config.h"
#include "platform/error.h"

/* Runs until SIGTERM or SIGINT; an exit code of platform/error.h. Errors are on stderr. */
int serve_run(const struct control_config *config, const struct config_more *more);

/* ---- serve_sandbox.c: of the HTTP process, for good; everything that needs root is done. */
int serve_sandbox_enter(struct error *err) WARREN_MUST_USE;

#endif
