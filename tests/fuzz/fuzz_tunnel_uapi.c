/* SPDX-License-Identifier: Apache-2.0
 *
 * UAPI requests at a device that is up. Every answer ends with an errno line; a get always works.
 */
#include "../unit/tunnel/pair.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t lose(void *ctx, struct train *trains, size_t count)
{
	(void)ctx;
	(void)trains;
	return count;
}

static int accept_port(void *ctx, uint16_t port, uint32_t mark)
{
	(void)ctx;
	(void)port;
	(void)mark;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tunnel_config config = {.max_peers = 8, .aead = "evp"};
	struct tunnel *t;
	struct buffer reply;

	assert(device_new(&config, &t) == 0);
	t->io.send = lose;
	tunnel_set_bind_hook(t, accept_port, NULL);
	assert(pair_uapi(t,
			 "set=1\nprivate_key=0101010101010101010101010101010101010101010101010101"
			 "010101010101\n") == 0);
	tunnel_set_up(t, true);
	buffer_init(&reply, 1 << 20);
	assert(tunnel_uapi(t, (const char *)data, size, &reply) == 0);
	assert(strstr(buffer_cstring(&reply), "errno="));
	buffer_reset(&reply);
	assert(tunnel_uapi(t, "get=1\n", 6, &reply) == 0);
	assert(strstr(buffer_cstring(&reply), "errno=0\n\n"));
	buffer_done(&reply);
	tunnel_free(t);
	return 0;
}
