/* SPDX-License-Identifier: Apache-2.0
 *
 * The stateful filter of design section 4 and the interception of section 8: addresses first, then
 * the flow, and the compiled policy once per flow and once more after each change of the rules.
 * Drops whatever it does not understand.
 */
#include "policy/filter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/block.h"
#include "policy/flow.h"
#include "policy/fragment.h"
#include "policy/packet.h"
#include "policy/tcp_state.h"

#define SECONDS		 UINT64_C(1000000000)
#define DEFAULT_FLOWS	 65536
#define SSH_PORT	 22
#define SSH_INNER_PORT	 22022
#define UDP_NEW_NS	 (30 * SECONDS)
#define UDP_REPLIED_NS	 (180 * SECONDS)
#define ICMP_NS		 (30 * SECONDS)
#define OTHER_NEW_NS	 (60 * SECONDS)
#define OTHER_REPLIED_NS (600 * SECONDS)

struct filter {
	struct block block;
	bool loaded, intercept;
	uint32_t generation; /* of the rules */
	uint64_t resume_until_ns;
	struct flow_table *flows;
	struct fragment_table fragments;
	uint64_t drops[FILTER_DROP_REASONS];
};

/* One packet on its way through. */
struct passage {
	struct filter *f;
	struct filter_packet p;
	const uint8_t *local, *remote;
	bool out, from_ssh;
	uint64_t now_ns;
	struct filter_result *result;
};

int filter_new(size_t max_flows, const uint8_t seed[16], struct filter **ret_filter)
{
	struct filter *f = calloc(1, sizeof(*f));
	int rc;

	if (!f)
		return -ENOMEM;
	rc = flow_table_new(max_flows ? max_flows : DEFAULT_FLOWS, seed, &f->flows);
	if (rc) {
		free(f);
		return rc;
	}
	*ret_filter = f;
	return 0;
}

void filter_free(struct filter *f)
{
	if (!f)
		return;
	flow_table_free(f->flows);
	free(f);
}

int filter_set_rules(struct filter *f, const void *blob, size_t len)
{
	struct block block;
	int rc = block_open(blob, len, &block);

	if (rc)
		return rc;
	/* Flows belong to our addresses; with other ones they are over. */
	if (f->loaded && (block.has4 != f->block.has4 || block.has6 != f->block.has6 ||
			  memcmp(block.self4, f->block.self4, sizeof(block.self4)) != 0 ||
			  memcmp(block.self6, f->block.self6, sizeof(block.self6)) != 0)) {
		flow_remove_flagged(f->flows, 0);
		fragment_clear(&f->fragments);
	}
	f->block = block;
	f->loaded = true;
	f->generation++;
	return 0;
}

void filter_set_ssh(struct filter *f, bool intercept)
{
	if (f->intercept && !intercept) {
		flow_remove_flagged(f->flows, FLOW_KEY_SSH);
		fragment_clear(&f->fragments);
	}
	f->intercept = intercept;
}

void filter_resume(struct filter *f, uint64_t until_ns)
{
	f->resume_until_ns = until_ns;
}

static bool is_self(const struct block *b, uint8_t family, const uint8_t *addr)
{
	if (family == 4)
		return b->has4 && memcmp(addr, b->self4, 4) == 0;
	return b->has6 && memcmp(addr, b->self6, 16) == 0;
}

/* Does the policy let a flow be opened between us and this remote? */
static bool judge(const struct filter *f, uint8_t family, const uint8_t *remote, bool out,
		  uint8_t proto, uint16_t port)
{
	uint32_t class = block_class(&f->block, family, remote);

	return class != BLOCK_NONE && block_allows(&f->block, class, out, proto, port);
}

/* Who opened a resumed flow was a guess: is it allowed the other way round? */
static bool turn(const struct passage *ps, const struct flow_key *key, struct flow *flow)
{
	uint16_t port = flow->out ? key->local_port : key->remote_port;

	if ((key->flags & FLOW_KEY_SSH) ||
	    !judge(ps->f, key->family, key->remote, !flow->out, key->proto, port))
		return false;
	flow->out = !flow->out;
	flow->orig_port = port;
	return true;
}

/* The flow of a key, judged again when the rules are newer than its verdict. *ret_denied: it was
 * there, and the rules do not want it any more; it is gone. */
static struct flow *find_judged(struct passage *ps, const struct flow_key *key, bool *ret_denied)
{
	struct flow *flow = flow_find(ps->f->flows, key, ps->now_ns);

	*ret_denied = false;
	if (!flow || flow->generation == ps->f->generation)
		return flow;
	if (judge(ps->f, key->family, key->remote, flow->out, key->proto, flow->orig_port) ||
	    (flow->resumed && turn(ps, key, flow))) {
		flow->generation = ps->f->generation;
		return flow;
	}
	flow_remove(ps->f->flows, flow);
	*ret_denied = true;
	return NULL;
}

static struct flow_key make_key(const struct passage *ps, uint16_t local_port, uint16_t remote_port,
				uint8_t flags)
{
	struct flow_key key = {
		.local_port = local_port,
		.remote_port = remote_port,
		.family = ps->p.family,
		.proto = ps->p.proto,
		.flags = flags,
	};

	memcpy(key.remote, ps->remote, filter_addr_len(ps->p.family));
	return key;
}

/* Judges and notes a new flow in the direction of the packet. */
static enum filter_drop open_flow(struct passage *ps, const struct flow_key *key, uint16_t port,
				  enum flow_state state, struct flow **ret_flow)
{
	struct flow *flow;

	if (!judge(ps->f, key->family, key->remote, ps->out, key->proto, port))
		return FILTER_DROP_DENIED;
	flow = flow_insert(ps->f->flows, key, ps->now_ns);
	if (!flow)
		return FILTER_DROP_TABLE_FULL;
	flow->out = ps->out;
	flow->orig_port = port;
	flow->state = (uint8_t)state;
	flow->generation = ps->f->generation;
	*ret_flow = flow;
	return FILTER_PASS;
}

/* ---- TCP ---- */

static bool is_ssh_port(uint16_t port)
{
	return port == SSH_PORT || port == SSH_INNER_PORT;
}

static bool is_over(const struct flow *flow)
{
	return flow->state == FLOW_TIME_WAIT || flow->state == FLOW_RESET;
}

/* Is this segment the embedded SSH server's, or the host's? */
static enum filter_drop choose_server(struct passage *ps, uint16_t local_port, uint16_t remote_port,
				      bool opening, bool *ret_ssh)
{
	struct flow_key plain = make_key(ps, local_port, remote_port, 0);
	struct flow_key ssh = make_key(ps, SSH_INNER_PORT, remote_port, FLOW_KEY_SSH);
	struct flow *flow;

	*ret_ssh = ps->from_ssh;
	if (ps->from_ssh)
		return local_port == SSH_INNER_PORT ? FILTER_PASS : FILTER_DROP_STATE;
	if (!ps->f->intercept || !is_ssh_port(local_port))
		return FILTER_PASS;
	flow = flow_find(ps->f->flows, &ssh, ps->now_ns);
	if (ps->out)
		/* On the wire the host's own segment would belong to the SSH server's connection.
		 */
		return flow && flow->orig_port == local_port ? FILTER_DROP_STATE : FILTER_PASS;
	*ret_ssh = flow != NULL;
	if (!flow) {
		/* Connections to the host's sshd from before interception stay there until they
		 * end. */
		flow = flow_find(ps->f->flows, &plain, ps->now_ns);
		*ret_ssh = !flow || (opening && is_over(flow));
	}
	return FILTER_PASS;
}

/* A connection that a filter before us knew: noted when the rules allow that one of the two opened
 * it. The embedded server opens nothing; that its client came to port 22 is what clients do. */
static struct flow *resume(struct passage *ps, const struct flow_key *key)
{
	bool ssh = key->flags & FLOW_KEY_SSH;
	struct flow *flow = NULL;

	if (ps->now_ns >= ps->f->resume_until_ns || (ps->p.tcp_flags & FILTER_TCP_SYN))
		return NULL;
	for (int i = 0; i < 2 && !flow; i++) {
		bool out = i == 0 ? ps->out : !ps->out;
		uint16_t port = out	       ? key->remote_port
				: ps->from_ssh ? SSH_PORT
				: ssh	       ? ps->p.dst_port
					       : key->local_port;

		if ((ssh && out) ||
		    !judge(ps->f, key->family, key->remote, out, key->proto, port))
			continue;
		flow = flow_insert(ps->f->flows, key, ps->now_ns);
		if (!flow)
			break;
		flow->out = out;
		flow->orig_port = port;
		flow->state = FLOW_ESTABLISHED;
		flow->generation = ps->f->generation;
		flow->resumed = true;
	}
	return flow;
}

static enum filter_drop check_tcp(struct passage *ps)
{
	uint16_t local_port = ps->out ? ps->p.src_port : ps->p.dst_port;
	uint16_t remote_port = ps->out ? ps->p.dst_port : ps->p.src_port;
	bool opening = (ps->p.tcp_flags & (FILTER_TCP_SYN | FILTER_TCP_ACK)) == FILTER_TCP_SYN;
	enum filter_drop drop;
	bool ssh, denied;

	drop = choose_server(ps, local_port, remote_port, opening, &ssh);
	if (drop)
		return drop;
	struct flow_key key = make_key(ps, ssh ? SSH_INNER_PORT : local_port, remote_port,
				       ssh ? FLOW_KEY_SSH : 0);
	struct flow *flow = find_judged(ps, &key, &denied);
	if (denied)
		return FILTER_DROP_DENIED;
	if (!flow)
		flow = resume(ps, &key);
	if (flow && flow->resumed && opening) { /* a new one, which is judged as such */
		flow_remove(ps->f->flows, flow);
		flow = NULL;
	}
	if (flow && ssh && !ps->out && flow->orig_port != local_port) {
		/* 22 and 22022 are one port behind the rewrite: one connection at a time. */
		if (!opening || !is_over(flow))
			return FILTER_DROP_STATE;
		flow_remove(ps->f->flows, flow);
		flow = NULL;
	}
	if (flow) {
		enum tcp_step step = tcp_state_step(flow, ps->out == flow->out, ps->p.tcp_flags);

		if (step == TCP_STEP_DROP)
			return FILTER_DROP_STATE;
		if (step == TCP_STEP_AGAIN) {
			flow_remove(ps->f->flows, flow);
			flow = NULL;
		}
	}
	if (!flow) {
		/* Nothing is picked up in the middle, and the SSH server opens nothing. */
		if (!opening || ps->from_ssh)
			return FILTER_DROP_STATE;
		drop = open_flow(ps, &key, ps->out ? remote_port : local_port, FLOW_SYN_SENT,
				 &flow);
		if (drop)
			return drop;
	}
	flow_refresh(ps->f->flows, flow,
		     flow->state != FLOW_SYN_SENT && flow->state != FLOW_SYN_RECEIVED,
		     tcp_state_timeout_ns(flow), ps->now_ns);
	if (ssh) {
		ps->result->to_ssh = !ps->out;
		if (flow->orig_port == SSH_PORT)
			ps->result->rewrite_port = ps->out ? SSH_PORT : SSH_INNER_PORT;
	}
	return FILTER_PASS;
}

/* ---- UDP, ICMP queries, other protocols ---- */

static enum filter_drop check_pair(struct passage *ps, const struct flow_key *key, uint16_t port,
				   bool may_open, uint64_t new_ns, uint64_t replied_ns)
{
	bool denied;
	struct flow *flow = find_judged(ps, key, &denied);

	if (denied)
		return FILTER_DROP_DENIED;
	if (!flow) {
		enum filter_drop drop;

		if (!may_open)
			return FILTER_DROP_STATE;
		drop = open_flow(ps, key, port, FLOW_NEW, &flow);
		if (drop)
			return drop;
	}
	if (flow->out != ps->out)
		flow->state = FLOW_REPLIED;
	flow_refresh(ps->f->flows, flow, flow->state == FLOW_REPLIED,
		     flow->state == FLOW_REPLIED ? replied_ns : new_ns, ps->now_ns);
	return FILTER_PASS;
}

static enum filter_drop check_udp(struct passage *ps)
{
	uint16_t local_port = ps->out ? ps->p.src_port : ps->p.dst_port;
	uint16_t remote_port = ps->out ? ps->p.dst_port : ps->p.src_port;
	struct flow_key key = make_key(ps, local_port, remote_port, 0);

	return check_pair(ps, &key, ps->out ? remote_port : local_port, true, UDP_NEW_NS,
			  UDP_REPLIED_NS);
}

static enum filter_drop check_other(struct passage *ps)
{
	struct flow_key key = make_key(ps, 0, 0, 0);

	return check_pair(ps, &key, 0, true, OTHER_NEW_NS, OTHER_REPLIED_NS);
}

enum icmp_kind { ICMP_REFUSED, ICMP_QUERY, ICMP_ANSWER, ICMP_ERROR };

static enum icmp_kind icmp_kind(uint8_t family, uint8_t type)
{
	switch (family == 4 ? type : 256 + type) {
	case 8:
	case 13: /* timestamp */
	case 256 + 128:
		return ICMP_QUERY;
	case 0:
	case 14:
	case 256 + 129:
		return ICMP_ANSWER;
	case 3:	 /* unreachable, too big */
	case 11: /* time exceeded */
	case 12: /* parameter problem */
	case 256 + 1:
	case 256 + 2:
	case 256 + 3:
	case 256 + 4:
		return ICMP_ERROR;
	default:
		return ICMP_REFUSED; /* redirects, router and neighbour messages: not on a mesh */
	}
}

static enum filter_drop check_query(struct passage *ps, bool query)
{
	bool asked_out = ps->out == query;
	struct flow_key key = make_key(ps, ps->p.icmp_id, 0, asked_out ? FLOW_KEY_ECHO_OUT : 0);

	return check_pair(ps, &key, 0, query, ICMP_NS, ICMP_NS);
}

/* The flow that a quoted packet belonged to. sent: it was going out. */
static struct flow *quoted_flow(struct passage *ps, const struct filter_packet *q, bool sent)
{
	uint16_t local_port = sent ? q->src_port : q->dst_port;
	uint16_t remote_port = sent ? q->dst_port : q->src_port;
	struct passage as = *ps;
	struct flow_key key;
	struct flow *flow = NULL;
	bool denied;

	as.p = *q;
	if (q->proto == FILTER_PROTO_ICMP || q->proto == FILTER_PROTO_ICMPV6) {
		enum icmp_kind kind = icmp_kind(q->family, q->icmp_type);

		if (kind != ICMP_QUERY && kind != ICMP_ANSWER)
			return NULL;
		key = make_key(&as, q->icmp_id, 0,
			       sent == (kind == ICMP_QUERY) ? FLOW_KEY_ECHO_OUT : 0);
		return find_judged(ps, &key, &denied);
	}
	if (q->proto == FILTER_PROTO_TCP && is_ssh_port(local_port) &&
	    (ps->from_ssh || (!ps->out && ps->f->intercept))) {
		key = make_key(&as, SSH_INNER_PORT, remote_port, FLOW_KEY_SSH);
		flow = find_judged(ps, &key, &denied);
		/* Inside, the server's port is always 22022; on the wire, the one the client used.
		 */
		if (flow && local_port != (ps->from_ssh ? SSH_INNER_PORT : flow->orig_port))
			flow = NULL;
	}
	if (flow || ps->from_ssh)
		return flow;
	key = make_key(&as, local_port, remote_port, 0);
	return find_judged(ps, &key, &denied);
}

/* An error may only speak of a flow that is there, between the same two machines. */
static enum filter_drop check_icmp_error(struct passage *ps)
{
	size_t addr_len = filter_addr_len(ps->p.family);
	struct filter_packet q;
	bool sent = !ps->out; /* what came back as an error went the other way */
	struct flow *flow;

	if (!filter_packet_parse(ps->p.quote, ps->p.quote_len, true, &q) ||
	    q.family != ps->p.family)
		return FILTER_DROP_MALFORMED;
	if (q.frag_offset > 0 || memcmp(sent ? q.src : q.dst, ps->local, addr_len) != 0 ||
	    memcmp(sent ? q.dst : q.src, ps->remote, addr_len) != 0)
		return FILTER_DROP_STATE;
	flow = quoted_flow(ps, &q, sent);
	if (!flow)
		return FILTER_DROP_STATE;
	if (flow->key.flags & FLOW_KEY_SSH) {
		ps->result->to_ssh = !ps->out;
		/* Also in what it quotes. */
		if (flow->orig_port == SSH_PORT)
			ps->result->rewrite_port = ps->out ? SSH_PORT : SSH_INNER_PORT;
	}
	return FILTER_PASS;
}

static enum filter_drop check_icmp(struct passage *ps)
{
	enum icmp_kind kind = icmp_kind(ps->p.family, ps->p.icmp_type);

	switch (kind) {
	case ICMP_ERROR:
		return check_icmp_error(ps);
	case ICMP_QUERY:
	case ICMP_ANSWER:
		return ps->from_ssh ? FILTER_DROP_STATE : check_query(ps, kind == ICMP_QUERY);
	case ICMP_REFUSED:
		break;
	}
	return FILTER_DROP_DENIED;
}

static enum filter_drop check_transport(struct passage *ps)
{
	switch (ps->p.proto) {
	case FILTER_PROTO_TCP:
		return check_tcp(ps);
	case FILTER_PROTO_ICMP:
	case FILTER_PROTO_ICMPV6:
		return check_icmp(ps);
	default:
		break;
	}
	if (ps->from_ssh)
		return FILTER_DROP_STATE;
	return ps->p.proto == FILTER_PROTO_UDP ? check_udp(ps) : check_other(ps);
}

static enum filter_drop check(struct passage *ps, const uint8_t *data, size_t len)
{
	struct filter *f = ps->f;
	enum filter_drop drop;

	if (!f->loaded)
		return FILTER_DROP_NO_POLICY;
	if (!filter_packet_parse(data, len, false, &ps->p))
		return FILTER_DROP_MALFORMED;
	ps->local = ps->out ? ps->p.src : ps->p.dst;
	ps->remote = ps->out ? ps->p.dst : ps->p.src;
	if (!is_self(&f->block, ps->p.family, ps->local) ||
	    is_self(&f->block, ps->p.family, ps->remote))
		return FILTER_DROP_SPOOFED;
	if (!ps->p.fragment)
		return check_transport(ps);

	struct fragment_key key = {
		.id = ps->p.frag_id,
		.family = ps->p.family,
		.proto = ps->p.family == 4 ? ps->p.proto : 0,
		.out = ps->out,
		.ssh = ps->from_ssh,
	};
	memcpy(key.remote, ps->remote, filter_addr_len(ps->p.family));
	if (ps->p.frag_offset > 0) {
		const struct fragment_entry *first =
			fragment_find(&f->fragments, &key, f->generation, ps->now_ns);

		if (!first)
			return FILTER_DROP_FRAGMENT;
		ps->result->to_ssh = first->to_ssh;
		return FILTER_PASS;
	}
	drop = check_transport(ps);
	fragment_note(&f->fragments, &key, f->generation, drop == FILTER_PASS, ps->result->to_ssh,
		      ps->now_ns);
	return drop;
}

void filter_check(struct filter *f, enum filter_dir dir, bool from_ssh, const uint8_t *data,
		  size_t len, uint64_t now_ns, struct filter_result *ret_result)
{
	struct passage ps = {.f = f,
			     .out = dir == FILTER_OUT,
			     .from_ssh = from_ssh && dir == FILTER_OUT,
			     .now_ns = now_ns,
			     .result = ret_result};

	*ret_result = (struct filter_result){0};
	enum filter_drop drop = check(&ps, data, len);
	if (drop != FILTER_PASS) {
		*ret_result = (struct filter_result){.drop = drop};
		/* Written by this thread alone, read by any (filter_stats). */
		__atomic_store_n(&f->drops[drop], f->drops[drop] + 1, __ATOMIC_RELAXED);
	}
}

void filter_stats(const struct filter *f, size_t *ret_flows,
		  uint64_t ret_drops[FILTER_DROP_REASONS])
{
	*ret_flows = flow_count(f->flows);
	for (size_t i = 0; i < FILTER_DROP_REASONS; i++)
		ret_drops[i] = __atomic_load_n(&f->drops[i], __ATOMIC_RELAXED);
}

const char *filter_drop_name(enum filter_drop drop)
{
	static const char *const names[FILTER_DROP_REASONS] = {
		[FILTER_PASS] = "pass",
		[FILTER_DROP_NO_POLICY] = "no_policy",
		[FILTER_DROP_MALFORMED] = "malformed",
		[FILTER_DROP_SPOOFED] = "spoofed",
		[FILTER_DROP_DENIED] = "denied",
		[FILTER_DROP_STATE] = "state",
		[FILTER_DROP_FRAGMENT] = "fragment",
		[FILTER_DROP_TABLE_FULL] = "table_full",
	};

	return drop < FILTER_DROP_REASONS ? names[drop] : "unknown";
}
