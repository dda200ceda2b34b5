/* SPDX-License-Identifier: Apache-2.0
 *
 * The engine role: tunnel and filter joined, fed with descriptors by the broker and with keys,
 * peers and rules by main. Every message of the broker with a request id is answered, so that the
 * broker knows when a descriptor is out of use. Without a policy nothing passes.
 */
#include "daemon/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/engine_internal.h"
#include "platform/file.h"
#include "platform/netlink.h"
#include "platform/sandbox.h"
#include "platform/secret.h"
#include "platform/unixsock.h"
#include "platform/user.h"

enum {
	MAX_FILES = 64,
	FILES_PER_SHARD = 16,
	SSH_PORT = 22022,
	MAX_FLOWS = 65536, /* of all shards */
	RETRY_MS = 5,	   /* while answers wait for room in main's socket */
	IDLE_MS = 60000,   /* an upper bound; the tunnel's own timers wake earlier */
};

#define RESUME_NS  (300 * NSEC_PER_SEC)
#define LOCK_BYTES (64u << 20) /* keys of 20,000 peers with sessions */

/* tunnel/PROTOCOL.md, "Descriptors and system calls"; recvmsg and fcntl for the two sockets, fstat
 * (and newfstatat, as glibc has it) for the policy; bpf only for the elements of the maps of
 * allowed IPs (linux_sandbox.c), where there is more than one shard. */
static const char *const calls[] = {
	"bpf",	     "read",	   "write",	 "writev",	"recvmsg",
	"recvmmsg",  "sendmsg",	   "sendmmsg",	 "epoll_wait",	"epoll_pwait",
	"epoll_ctl", "getsockopt", "setsockopt", "getsockname", "fstat",
	"newfstatat", "close",	   NULL,
};
/* Flags are all that a descriptor gets; no owner, no lock, no signal. */
static const struct sandbox_rule rules[] = {
	{"fcntl", 1, F_GETFL, 0}, {"fcntl", 1, F_SETFL, 0}, {"fcntl", 1, F_GETFD, 0},
	{"fcntl", 1, F_SETFD, 0}, {"fcntl", 1, F_GET_SEALS, 0}, {NULL, 0, 0, 0},
};
static const char *const refused[] = {
	"open",	    "openat",	  "access", "faccessat", "faccessat2",
	"readlink", "readlinkat", "socket", NULL,
};

/* Is this a TCP segment from the SSH server's port? (Host-stack mode only: there the answers of the
 * embedded server come out of the main TUN.) */
static bool from_ssh_port(const struct superpacket *p)
{
	const uint8_t *d = p->data;
	size_t at;

	if (p->len < 20)
		return false;
	if ((d[0] >> 4) == 4) {
		at = (size_t)(d[0] & 15) * 4;
		if (d[9] != IPPROTO_TCP || ((d[6] & 0x1f) | d[7]) != 0)
			return false;
	} else {
		at = 40;
		if ((d[0] >> 4) != 6 || d[6] != IPPROTO_TCP)
			return false;
	}
	return p->len >= at + 2 && (d[at] << 8 | d[at + 1]) == SSH_PORT;
}

static void log_drop(struct engine_shard *s, enum tunnel_direction dir, enum filter_drop reason,
		     uint64_t now_ns)
{
	if (log_enabled(LOG_LEVEL_DEBUG) && log_limit_allow(&s->drop_limit, now_ns))
		log_debug("dropped a packet", "direction=%s reason=%s",
			  dir == TUNNEL_TX ? "out" : "in", filter_drop_name(reason));
}

static void on_packets(void *ctx, enum tunnel_direction dir, const uint8_t peer_key[32],
		       struct superpacket *packets, size_t count, uint64_t now_ns)
{
	struct engine_shard *s = ctx;

	(void)peer_key;
	for (size_t i = 0; i < count; i++) {
		struct superpacket *p = &packets[i];
		struct filter_result result;
		bool from_ssh = p->port == TUNNEL_PORT_SSH;

		if (dir == TUNNEL_TX && s->ssh_mode == WIRE_SSH_HOST)
			from_ssh = from_ssh_port(p);
		filter_check(s->filter, dir == TUNNEL_TX ? FILTER_OUT : FILTER_IN,
			     dir == TUNNEL_TX && from_ssh, p->data, p->len, now_ns, &result);
		p->drop = result.drop != FILTER_PASS;
		if (p->drop) {
			log_drop(s, dir, result.drop, now_ns);
			continue;
		}
		p->rewrite_port = result.rewrite_port;
		if (dir == TUNNEL_RX)
			p->port = result.to_ssh && s->ssh_mode == WIRE_SSH_NAMESPACE
					  ? TUNNEL_PORT_SSH
					  : TUNNEL_PORT_MAIN;
	}
}

static void on_event(void *ctx, const struct tunnel_event *event)
{
	struct engine *e = ctx;

	if (event->type == TUNNEL_EVENT_CLOSED) {
		log_warn("the TUN interface is gone", NULL);
		e->exit_status = ENGINE_EXIT_TUN_GONE;
		e->stop = true;
		return;
	}
	engine_main_event(e, event);
}

static void forget_waiting(struct engine *e, uint8_t which)
{
	for (unsigned i = 0; i < e->shard_count; i++) {
		file_close(&e->waiting[which][i]);
		if (which == WIRE_ATTACH_UDP)
			file_close(&e->waiting[which + 1][i]);
	}
}

/* Which of the two is for IPv6? */
static int sort_sockets(const int *fds, size_t nfds, int *ret_fd4, int *ret_fd6)
{
	int domain = 0;
	socklen_t len = sizeof(domain);

	if (nfds < 1 || nfds > 2)
		return -EBADMSG;
	if (getsockopt(fds[0], SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0)
		return -errno;
	*ret_fd4 = domain == AF_INET6 ? -1 : fds[0];
	*ret_fd6 = domain == AF_INET6 ? fds[0] : nfds == 2 ? fds[1] : -1;
	return 0;
}

/* All of them are here. */
static int attach_all(struct engine *e, uint8_t which, const struct tun_caps *caps, uint16_t mtu)
{
	enum tunnel_port port = which == WIRE_ATTACH_TUN ? TUNNEL_PORT_MAIN : TUNNEL_PORT_SSH;
	int rc;

	if (which == WIRE_ATTACH_UDP)
		rc = tunnel_attach_udps(e->tunnel, e->waiting[which], e->waiting[which + 1],
					e->shard_count);
	else
		rc = tunnel_attach_tuns(e->tunnel, port, e->waiting[which], e->shard_count, caps);
	if (rc < 0) {
		forget_waiting(e, which);
		return rc;
	}
	for (unsigned i = 0; i < e->shard_count; i++)
		e->waiting[which][i] = -1;
	if (which == WIRE_ATTACH_UDP)
		for (unsigned i = 0; i < e->shard_count; i++)
			e->waiting[which + 1][i] = -1;
	else
		tunnel_set_mtu(e->tunnel, port, mtu);
	return 0;
}

/* *ret_taken: the descriptors are no longer the caller's. */
static int on_attach(struct engine *e, struct reader *r, const int *fds, size_t nfds,
		     bool *ret_taken)
{
	uint8_t which = reader_u8(r), shard;
	struct tun_caps caps;
	uint16_t mtu;
	int rc;

	caps.vnet_hdr = reader_u8(r) != 0;
	caps.tso = reader_u8(r) != 0;
	caps.uso = reader_u8(r) != 0;
	mtu = reader_u16(r);
	shard = reader_u8(r);
	if (!reader_done(r) || which > WIRE_ATTACH_UDP || nfds == 0 || shard >= e->shard_count ||
	    (which != WIRE_ATTACH_UDP && nfds != 1))
		return -EBADMSG;
	if (shard == 0)
		forget_waiting(e, which);
	if (e->waiting[which][shard] >= 0 ||
	    (shard > 0 && e->waiting[which][shard - 1] < 0 &&
	     (which != WIRE_ATTACH_UDP || e->waiting[which + 1][shard - 1] < 0)))
		return -EBADMSG;
	if (which == WIRE_ATTACH_UDP) {
		rc = sort_sockets(fds, nfds, &e->waiting[which][shard],
				  &e->waiting[which + 1][shard]);
		if (rc < 0)
			return rc;
	} else {
		e->waiting[which][shard] = fds[0];
	}
	*ret_taken = true;
	return shard + 1u == e->shard_count ? attach_all(e, which, &caps, mtu) : 0;
}

static int on_steer(struct engine *e, const struct reader *r, const int *fds, size_t nfds,
		    bool *ret_taken)
{
	int rc;

	if (!reader_done(r) || nfds != 2)
		return -EBADMSG;
	rc = tunnel_set_steering(e->tunnel, fds[0], fds[1]);
	*ret_taken = rc == 0;
	return rc;
}

static int on_detach(struct engine *e, struct reader *r)
{
	uint8_t which = reader_u8(r);

	if (!reader_done(r))
		return -EBADMSG;
	switch (which) {
	case WIRE_ATTACH_TUN:
		return tunnel_attach_tun(e->tunnel, TUNNEL_PORT_MAIN, -1, NULL);
	case WIRE_ATTACH_SSH_TUN:
		return tunnel_attach_tun(e->tunnel, TUNNEL_PORT_SSH, -1, NULL);
	case WIRE_ATTACH_UDP:
		return tunnel_attach_udp(e->tunnel, -1, -1);
	default:
		return -EBADMSG;
	}
}

struct ssh_change {
	struct engine *engine;
	uint8_t mode;
};

static void change_ssh(void *ctx, unsigned shard)
{
	const struct ssh_change *c = ctx;
	struct engine_shard *s = &c->engine->shards[shard];

	s->ssh_mode = c->mode;
	filter_set_ssh(s->filter, c->mode != WIRE_SSH_OFF);
}

static int on_ssh(struct engine *e, struct reader *r)
{
	struct ssh_change c = {.engine = e, .mode = reader_u8(r)};

	if (!reader_done(r) || c.mode > WIRE_SSH_HOST)
		return -EBADMSG;
	return tunnel_on_shards(e->tunnel, change_ssh, &c);
}

static int on_mtu(struct engine *e, struct reader *r)
{
	uint16_t mtu = reader_u16(r);

	if (!reader_done(r))
		return -EBADMSG;
	tunnel_set_mtu(e->tunnel, TUNNEL_PORT_MAIN, mtu);
	tunnel_set_mtu(e->tunnel, TUNNEL_PORT_SSH, mtu);
	return 0;
}

static int dispatch(struct engine *e, struct reader *r, const int *fds, size_t nfds,
		    uint32_t *ret_id, bool *ret_taken)
{
	uint8_t type = reader_u8(r);
	int rc;

	*ret_id = reader_u32(r);
	if (r->failed ||
	    (nfds > 0 && type != WIRE_ATTACH && type != WIRE_MAIN && type != WIRE_STEER))
		return -EBADMSG;
	switch (type) {
	case WIRE_ATTACH:
		return on_attach(e, r, fds, nfds, ret_taken);
	case WIRE_DETACH:
		return on_detach(e, r);
	case WIRE_MAIN:
		if (!reader_done(r) || nfds != 1)
			return -EBADMSG;
		rc = engine_main_attach(e, fds[0]);
		*ret_taken = rc == 0;
		return rc;
	case WIRE_SSH:
		return on_ssh(e, r);
	case WIRE_STEER:
		return on_steer(e, r, fds, nfds, ret_taken);
	case WIRE_MTU:
		return on_mtu(e, r);
	case WIRE_SOURCES:
		if (!reader_done(r))
			return -EBADMSG;
		tunnel_forget_sources(e->tunnel);
		return 0;
	default:
		return -EBADMSG;
	}
}

static int reply(struct engine *e, int broker, uint32_t id, int rc)
{
	struct writer w = writer_init(e->out, sizeof(e->out));

	if (id == 0)
		return 0;
	wire_begin(&w, WIRE_REPLY, id);
	writer_u8(&w, rc == 0 ? 0 : 1);
	writer_cstring(&w, rc == 0 ? "" : strerror(-rc));
	return unixsock_send(broker, w.data, w.len, NULL, 0);
}

static void on_broker(void *ctx, int fd)
{
	struct engine *e = ctx;
	int fds[UNIXSOCK_MAX_FDS];
	size_t nfds = 0;
	bool taken = false;
	uint32_t id = 0;
	struct reader r;
	ssize_t n;
	int rc;

	n = unixsock_recv(fd, e->in, sizeof(e->in), fds, &nfds, MSG_DONTWAIT);
	if (n == -EAGAIN)
		return;
	if (n == 0) { /* the broker is gone, and with it everything that made us */
		e->stop = true;
		return;
	}
	r = reader_init(e->in, n > 0 ? (size_t)n : 0);
	rc = n < 0 ? (int)n : dispatch(e, &r, fds, nfds, &id, &taken);
	for (size_t i = 0; i < nfds && !taken; i++)
		close(fds[i]);
	if (rc == -EBADMSG || n < 0 || reply(e, fd, id, rc) < 0) {
		log_error("a message of the broker does not parse", "type=%u", e->in[0]);
		e->exit_status = 1;
		e->stop = true;
	}
}

/* Asked of the kernel on a descriptor from before the sandbox. */
static bool on_source(void *ctx, const struct endpoint *to, const struct ip_addr *source,
		      unsigned ifindex)
{
	const struct engine *e = ctx;
	struct ip_addr dst;
	unsigned leaves = 0;
	int rc;

	endpoint_ip(to, &dst);
	rc = netlink_route_get(e->routes, &dst, source, 0, &leaves);
	if (rc == 0)
		return leaves == ifindex;
	return rc != -EINVAL && rc != -ENETUNREACH && rc != -EHOSTUNREACH;
}

/* Everything that needs a name or a library's own files comes before the sandbox. */
static int make(struct engine *e, struct error *err)
{
	void *filter_ctx[DAEMON_MAX_SHARDS];
	struct tunnel_config config = {
		.hooks = {.ctx = e,
			  .filter = on_packets,
			  .foreign = engine_main_foreign,
			  .event = on_event,
			  .source = on_source},
		.roaming = false, /* the path machine owns endpoints */
		.shards = e->shard_count,
		.filter_ctx = filter_ctx,
	};
	uint8_t seed[16];
	int rc = 0;

	(void)secret_lock_limit(LOCK_BYTES);
	random_bytes(&random_system, seed, sizeof(seed));
	for (unsigned i = 0; i < e->shard_count && rc == 0; i++) {
		struct engine_shard *s = &e->shards[i];

		s->drop_limit = (struct log_limit){.interval_ns = NSEC_PER_SEC, .burst = 10};
		filter_ctx[i] = s;
		rc = filter_new(MAX_FLOWS / e->shard_count, seed, &s->filter);
		/* Connections outlive an engine that died, and a daemon that is updated. */
		if (rc == 0)
			filter_resume(s->filter, clock_monotonic_ns(&clock_system) + RESUME_NS);
	}
	if (rc == 0)
		rc = netlink_route_open(&e->routes);
	if (rc == 0)
		rc = tunnel_new(&config, &e->tunnel);
	if (rc == 0)
		rc = tunnel_watch(e->tunnel, WIRE_FD_BROKER, on_broker, e);
	if (rc < 0)
		return error_set(err, rc, "cannot make the tunnel: %s", strerror(-rc));
	return 0;
}

static int give_up_privileges(struct engine *e, struct error *err)
{
	const struct sandbox_profile profile = {
		.name = "engine",
		.allow = e->shard_count > 1 ? calls : calls + 1,
		.eacces = refused,
		.rules = rules,
	};
	bool found;
	uid_t uid;
	gid_t gid;
	int rc;

	user_service_account("warren-engine", &uid, &gid, &found);
	rc = sandbox_empty_root();
	if (rc < 0) /* seccomp refuses every path anyway */
		log_warn("the engine keeps the root folder it was started in", "error=%s",
			 strerror(-rc));
	rc = user_drop_privileges(uid, gid);
	if (rc < 0)
		return error_set(err, rc, "cannot become the account warren-engine: %s",
				 strerror(-rc));
	rc = tunnel_start(e->tunnel); /* threads, while there may be new ones */
	if (rc < 0)
		return error_set(err, rc, "cannot start the packet threads: %s", strerror(-rc));
	rc = sandbox_limits(MAX_FILES + FILES_PER_SHARD * e->shard_count, 1, 0);
	if (rc < 0)
		return error_set(err, rc, "cannot set limits: %s", strerror(-rc));
	return sandbox_apply(&profile, err);
}

int engine_run(unsigned shards)
{
	struct engine *e = calloc(1, sizeof(*e));
	struct error err = {0};
	int rc, status;

	if (!e)
		return 1;
	e->main_fd = -1;
	e->pending_tail = &e->pending;
	e->foreign_limit = (struct log_limit){.interval_ns = NSEC_PER_SEC / 2000, .burst = 1000};
	e->shard_count = shards;
	memset(e->waiting, 0xff, sizeof(e->waiting)); /* -1 */
	rc = make(e, &err);
	if (rc == 0)
		rc = give_up_privileges(e, &err);
	if (rc < 0) {
		log_error(error_text(&err), NULL);
		e->exit_status = 1;
		e->stop = true;
	}
	while (!e->stop) {
		rc = tunnel_run_once(e->tunnel, engine_main_flush(e) ? IDLE_MS : RETRY_MS);
		if (rc < 0 && !e->stop) {
			log_error("the packet loop failed", "error=%s", strerror(-rc));
			e->exit_status = 1;
			break;
		}
	}
	status = e->exit_status;
	if (e->tunnel) {
		engine_main_detach(e);
		tunnel_free(e->tunnel);
	}
	for (unsigned i = 0; i < e->shard_count; i++)
		filter_free(e->shards[i].filter);
	free(e);
	return status;
}
