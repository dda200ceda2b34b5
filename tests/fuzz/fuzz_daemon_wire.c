/* SPDX-License-Identifier: Apache-2.0
 *
 * Endpoints and the monitor's configuration: what is read is written back byte for byte, so that
 * there is one spelling of each.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/wire.h"
#include "ssh/wire/ssh_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t out[2048];
	struct writer w = writer_init(out, sizeof(out));
	struct reader r = reader_init(data, size);
	struct ssh_wire_config config;
	struct endpoint ep;

	wire_get_endpoint(&r, &ep);
	if (!r.failed) {
		wire_put_endpoint(&w, &ep);
		if (w.failed || w.len != r.at || memcmp(out, data, w.len) != 0)
			abort();
	}
	r = reader_init(data, size);
	if (ssh_wire_config_get(&r, &config) == 0) {
		w = writer_init(out, sizeof(out));
		ssh_wire_config_put(&w, &config);
		if (w.failed)
			abort();
	}
	return 0;
}
