/* SPDX-License-Identifier: Apache-2.0
 *
 * See place.h.
 */
#include "ssh/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>

#include "platform/file.h"
#include "platform/sandbox.h"
#include "platform/user.h"

#define SERVICE_ACCOUNT "warren-ssh"
#define ABOVE_FIXED	10 /* no number that a program is handed something by */

int place_open(int inherited, struct place *ret_place)
{
	struct place p = {.root = -1};
	int made = -1, r = 0;
	bool found;

	if (inherited < 0) {
		r = sandbox_open_empty_root(&made);
		inherited = made;
	}
	if (r == 0) {
		p.root = fcntl(inherited, F_DUPFD_CLOEXEC, ABOVE_FIXED);
		r = p.root < 0 ? -errno : 0;
	}
	file_close(&made);
	if (r < 0)
		return r;
	user_service_account(SERVICE_ACCOUNT, &p.uid, &p.gid, &found);
	*ret_place = p;
	return 0;
}

int place_enter(const struct place *place)
{
	struct place own;
	int r = 0;

	if (place == NULL) {
		r = place_open(-1, &own);
		place = &own;
	}
	if (r == 0)
		r = sandbox_enter_empty_root(place->root);
	if (r == 0)
		r = user_drop_privileges(place->uid, place->gid);
	if (place == &own)
		place_close(&own);
	return r;
}

void place_close(struct place *place)
{
	file_close(&place->root);
}
