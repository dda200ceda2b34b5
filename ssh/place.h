/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the confined processes of a connection live, and as whom: the empty root and the account
 * warren-ssh. Found once, by who starts them, because a folder is dear on a disk and so is a name
 * service; entered by each.
 */
#ifndef WARREN_SSH_PLACE_H
#define WARREN_SSH_PLACE_H

#include <sys/types.h>

#include "platform/error.h"

struct place {
	int root; /* -1: none is held */
	uid_t uid;
	gid_t gid;
};

/* inherited: an empty root (platform/sandbox.h), which stays the caller's, or -1 to make one. Root only; *ret_place's descriptor is above 9 and close-on-exec. */
int place_open(int inherited, struct place *ret_place) WARREN_MUST_USE;
/* Gives up the root folder, the account and all capabilities. NULL: finds a place first. */
int place_enter(const struct place *place) WARREN_MUST_USE;
void place_close(struct place *place);

#endif
