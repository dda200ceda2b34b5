/* SPDX-License-Identifier: Apache-2.0
 *
 * What every process that is confined by sandbox_service (platform/sandbox.h) may and may not do.
 */
#ifndef WARREN_TESTS_SUPPORT_CONFINED_H
#define WARREN_TESTS_SUPPORT_CONFINED_H

#include "platform/error.h"

/* In a child process: enters the sandbox, tries what is common, then own() (may be NULL; not under
 * sanitizers, which have no filter). 0, or the number of the first check that is not as it should
 * be (own's begin with 50), 30: it cannot be entered, negative: the child was ended by that signal.
 */
int confined(int (*enter)(struct error *err), int (*own)(void));

#endif
