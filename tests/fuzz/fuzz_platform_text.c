/* SPDX-License-Identifier: Apache-2.0
 *
 * Text that others write: addresses, encodings, JSON. What is accepted must print and parse again
 * to the same value, and nothing is written beyond its bounds.
 */
#include <stdlib.h>
#include <string.h>

#include "platform/addr.h"
#include "platform/encode.h"
#include "platform/json.h"
#include "platform/log.h"
#include "platform/user.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

static void addresses(const char *text)
{
	char out[ENDPOINT_STRLEN], prefix_out[IP_PREFIX_STRLEN], addr_out[IP_ADDR_STRLEN];
	struct endpoint ep, ep_again;
	struct ip_prefix prefix, prefix_again;
	struct ip_addr addr, addr_again;

	if (ip_addr_parse(text, &addr) == 0) {
		REQUIRE(ip_addr_parse(ip_addr_format(&addr, addr_out), &addr_again) == 0);
		REQUIRE(ip_addr_equal(&addr, &addr_again));
	}
	if (ip_prefix_parse(text, &prefix) == 0) {
		REQUIRE(ip_prefix_contains(&prefix, &prefix.addr));
		REQUIRE(ip_prefix_parse(ip_prefix_format(&prefix, prefix_out), &prefix_again) == 0);
		REQUIRE(ip_prefix_equal(&prefix, &prefix_again));
	}
	if (endpoint_parse(text, &ep) == 0) {
		REQUIRE(endpoint_parse(endpoint_format(&ep, out), &ep_again) == 0);
		REQUIRE(endpoint_equal(&ep, &ep_again));
	}
}

static void encodings(const char *text, size_t size)
{
	uint8_t bytes[1600];
	char again[3300];
	size_t len;

	if (encode_base64_decode(bytes, sizeof(bytes), text, size, &len) == 0)
		REQUIRE(encode_base64(again, bytes, len) == size && memcmp(again, text, size) == 0);
	if (encode_base64url_decode(bytes, sizeof(bytes), text, size, &len) == 0)
		REQUIRE(encode_base64url(again, bytes, len) == size &&
			memcmp(again, text, size) == 0);
	if (encode_hex_decode(bytes, sizeof(bytes), text, size, &len) == 0)
		REQUIRE(encode_hex(again, bytes, len) == size);
}

static void json(const char *text, size_t size)
{
	json_t *value = json_load_strict(text, size, 4096, NULL);
	char *canonical;
	size_t len;

	if (!value)
		return;
	canonical = json_canonical(value, &len);
	if (canonical) {
		json_t *again = json_load_strict(canonical, len, 65536, NULL);

		REQUIRE(again && json_equal(value, again));
		json_decref(again);
	}
	free(canonical);
	json_decref(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[2049];

	if (size >= sizeof(text))
		return 0;
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	addresses(text);
	(void)user_name_valid(text);
	encodings(text, size);
	json(text, size);
	return 0;
}
