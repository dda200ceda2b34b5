/* SPDX-License-Identifier: Apache-2.0
 *
 * Around warren-wg for tests/bench/tunnel: BENCH_RULES=N puts policy's filter with N rules into the
 * path as warrend's engine does, BENCH_TIER chooses the AEAD engine, BENCH_NO_USO=1 is a kernel
 * before 6.2, BENCH_PROBE=NAME tells by the exit status whether that engine is here.
 */
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lib_rules.h"
#include "tunnel/aead.h"
#include "tunnel/tunnel.h"

int __real_tunnel_new(const struct tunnel_config *config, struct tunnel **ret_tunnel);
int __wrap_tunnel_new(const struct tunnel_config *config, struct tunnel **ret_tunnel);
int __real_tun_open(const char *name, bool multi_queue, char ret_name[static IFNAMSIZ], int *ret_fd,
		    struct tun_caps *ret_caps, struct error *err);
int __wrap_tun_open(const char *name, bool multi_queue, char ret_name[static IFNAMSIZ], int *ret_fd,
		    struct tun_caps *ret_caps, struct error *err);

struct bench {
	struct filter *filters[2]; /* of host 1 and 2; the first packet tells which */
	struct filter *mine;
};

static void judge(void *ctx, enum tunnel_direction dir, const uint8_t peer_key[32],
		  struct superpacket *packets, size_t count, uint64_t now_ns)
{
	struct bench *b = ctx;

	(void)peer_key;
	for (size_t i = 0; i < count; i++) {
		struct superpacket *p = &packets[i];
		struct filter_result result;

		if (!b->mine) { /* the last byte of our own address */
			unsigned at = dir == TUNNEL_TX ? 15 : 19;

			if (p->data[0] >> 4 == 6)
				at = dir == TUNNEL_TX ? 23 : 39;
			b->mine = b->filters[p->data[at] == 2];
		}
		filter_check(b->mine, dir == TUNNEL_TX ? FILTER_OUT : FILTER_IN, false, p->data,
			     p->len, now_ns, &result);
		p->drop = result.drop != FILTER_PASS;
	}
}

int __wrap_tunnel_new(const struct tunnel_config *config, struct tunnel **ret_tunnel)
{
	static struct bench benches[64]; /* each shard has a flow table of its own, as in warrend */
	static void *contexts[64];
	struct tunnel_config changed = *config;
	const char *rules = getenv("BENCH_RULES");

	changed.aead = getenv("BENCH_TIER");
	if (rules) {
		unsigned n = (unsigned)strtoul(rules, NULL, 10);

		for (unsigned i = 0; i < (config->shards ? config->shards : 1) && i < 64; i++) {
			benches[i].filters[0] = rules_filter(n, 1);
			benches[i].filters[1] = rules_filter(n, 2);
			contexts[i] = &benches[i];
		}
		changed.filter_ctx = contexts;
		changed.hooks.filter = judge;
	}
	return __real_tunnel_new(&changed, ret_tunnel);
}

int __wrap_tun_open(const char *name, bool multi_queue, char ret_name[static IFNAMSIZ], int *ret_fd,
		    struct tun_caps *ret_caps, struct error *err)
{
	int r = __real_tun_open(name, multi_queue, ret_name, ret_fd, ret_caps, err);

	if (r == 0 && getenv("BENCH_NO_USO") &&
	    ioctl(*ret_fd, TUNSETOFFLOAD, (unsigned long)(TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6)) ==
		    0)
		ret_caps->uso = false;
	return r;
}

/* Before main: the program itself has no such option. */
__attribute__((constructor)) static void probe(void)
{
	const char *name = getenv("BENCH_PROBE");
	struct aead_engine *e;

	if (name)
		_exit(aead_engine_new(name, &e) == 0 ? 0 : 1);
}
