/* SPDX-License-Identifier: Apache-2.0
 *
 * Request heads and forms from the network: nothing read past its end, and what is taken is whole.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control/server.h"
#include "control/server_http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct server_http_head head;
	char *copy = malloc(size + 1), value[64];

	if (!copy)
		return 0;
	memcpy(copy, data, size);
	copy[size] = 0;
	int n = server_http_parse((const char *)data, size, &head);
	if (n > 0) {
		if ((size_t)n > size || head.path[0] != '/' || !head.host ||
		    strchr(head.path, '\n') || strchr(head.query, ' '))
			abort();
		for (size_t i = 0; i < head.header_count; i++)
			if (strpbrk(head.headers[i].value, "\r\n"))
				abort();
		server_http_head_done(&head);
	}
	if (server_form_value(copy, "a", value, sizeof(value)) == 0 &&
	    strlen(value) >= sizeof(value))
		abort();
	free(copy);
	return 0;
}
