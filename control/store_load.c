/* SPDX-License-Identifier: Apache-2.0
 *
 * The end of what store_load gave: every backend fills it and frees it on its own failures too.
 */
#include <stdlib.h>

#include "control/store.h"

void store_load_done(struct store_load *a)
{
	free(a->network.policy);
	for (size_t i = 0; i < a->login_count; i++)
		json_decref(a->logins[i].groups);
	free(a->peers);
	free(a->logins);
	free(a->keys);
	free(a->nonces);
	free(a->cutoffs);
	free(a->revoked);
	*a = (struct store_load){0};
}
