/* SPDX-License-Identifier: Apache-2.0
 *
 * Several packet threads in the engine (--shards): the broker opens a queue of each TUN for each,
 * loads the program that chooses among them, and hands the maps behind it to the engine, which
 * keeps them up to date with allowed IPs. Without the right to load BPF there is one.
 */
#include <errno.h>
#include <string.h>

#include "daemon/broker_internal.h"
#include "platform/bpf.h"
#include "platform/file.h"
#include "platform/log.h"

int broker_steer_new(struct broker *b)
{
	struct error err = {0};
	bool first = b->shards == 0;
	int rc;

	file_close(&b->steer4);
	file_close(&b->steer6);
	file_close(&b->steer_program);
	if (first)
		b->shards = b->options->shards;
	if (b->shards == 1)
		return 0;
	rc = bpf_steer_new(&b->steer4, &b->steer6, &b->steer_program, &err);
	if (rc < 0 && first) {
		log_warn("packets run in one thread only", "error=%s", error_text(&err));
		b->shards = 1;
		return 0;
	}
	return rc;
}

int broker_steer_attach(struct broker *b, int tun)
{
	return b->shards > 1 ? bpf_steer_attach(tun, b->steer_program) : 0;
}

int broker_steer_tell(struct broker *b)
{
	const int fds[] = {b->steer4, b->steer6};
	struct writer w;

	if (b->shards == 1)
		return 0;
	w = broker_engine_begin(b, WIRE_STEER);
	return broker_engine_call(b, &w, fds, 2);
}

int broker_tun_open(struct broker *b, const char *name, char ret_name[static IFNAMSIZ], int *fds,
		    struct tun_caps *ret_caps, struct error *err)
{
	int rc = tun_open(name, b->shards > 1, ret_name, &fds[0], ret_caps, err);

	if (rc == 0)
		rc = tun_open_queues(ret_name, b->shards, fds, err);
	if (rc < 0)
		return rc;
	rc = broker_steer_attach(b, fds[0]);
	return rc < 0 ? error_set(err, rc, "cannot spread packets of %s over threads: %s", ret_name,
				  strerror(-rc))
		      : 0;
}

int broker_tun_attach(struct broker *b, uint8_t which, const int *fds, const struct tun_caps *caps)
{
	int rc = 0;

	for (unsigned i = 0; i < b->shards && rc == 0; i++) {
		struct writer w = broker_engine_begin(b, WIRE_ATTACH);

		writer_u8(&w, which);
		writer_u8(&w, caps->vnet_hdr);
		writer_u8(&w, caps->tso);
		writer_u8(&w, caps->uso);
		writer_u16(&w, b->net.mtu);
		writer_u8(&w, (uint8_t)i);
		rc = broker_engine_call(b, &w, &fds[i], 1);
	}
	return rc;
}

void broker_close_all(int fds[static DAEMON_MAX_SHARDS])
{
	for (unsigned i = 0; i < DAEMON_MAX_SHARDS; i++)
		file_close(&fds[i]);
}
