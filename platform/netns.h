/* SPDX-License-Identifier: Apache-2.0
 *
 * Network namespaces: an anonymous one that lives as long as its descriptor, and running a piece of
 * work inside one on the calling thread.
 */
#ifndef WARREN_PLATFORM_NETNS_H
#define WARREN_PLATFORM_NETNS_H

#include "platform/error.h"

/* A new, empty namespace with its loopback up; -EPERM in containers without CAP_SYS_ADMIN. */
int netns_create(int *ret_fd, struct error *err) WARREN_MUST_USE;
int netns_current(int *ret_fd) WARREN_MUST_USE;
/* Runs fn(ctx) inside the namespace and comes back; the result is fn's. If coming back fails the
 * process aborts (it must never go on in the wrong namespace). Single-threaded callers only. */
int netns_run(int ns_fd, int (*fn)(void *ctx), void *ctx) WARREN_MUST_USE;

#endif
