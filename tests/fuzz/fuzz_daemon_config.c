/* SPDX-License-Identifier: Apache-2.0
 *
 * The configuration file of warrend: a refused one changes nothing and says where.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct daemon_options o, before;
	struct error err = {0};

	memset(&o, 0, sizeof(o));
	options_defaults(&o);
	memcpy(&before, &o, sizeof(o));
	if (options_config("w", (const char *)data, size, &o, &err) == 0)
		return 0;
	if (memcmp(&before, &o, sizeof(o)) != 0 || err.text[0] == '\0')
		abort();
	return 0;
}
