/* SPDX-License-Identifier: Apache-2.0
 *
 * What people are told about a path: `status` and `warren why PEER`, in sentences, with the outcome
 * of every candidate.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/path_internal.h"

int path_get(const struct path *p, const char *peer_id, struct path_info *ret_info)
{
	const struct path_peer *peer = path_peer_by_id(p, peer_id);
	struct path_info info = {.state = PATH_IDLE};

	if (peer == NULL)
		return -ENOENT;
	if (peer->current != NULL) {
		info.state = PATH_DIRECT;
		info.endpoint = peer->current->endpoint;
		info.rtt_ns = peer->current->rtt_ns;
		info.last_proof_ns = peer->current->last_proof_ns;
	} else if (p->active && (peer->round_start_ns != 0 || peer->next_round_ns != 0)) {
		info.state = PATH_CONNECTING;
	}
	*ret_info = info;
	return 0;
}

size_t path_reflexive(const struct path *p, struct endpoint *out, size_t max)
{
	size_t count = 0;

	for (size_t i = 0; i < p->stun_count && count < max; i++) {
		bool known = !endpoint_is_set(&p->stun[i].mapped);

		for (size_t j = 0; j < count && !known; j++)
			known = endpoint_equal(&out[j], &p->stun[i].mapped);
		if (!known)
			out[count++] = p->stun[i].mapped;
	}
	return count;
}

static const char *type_name(uint8_t type)
{
	switch (type) {
	case PROBE_CANDIDATE_INTERFACE:
		return "interface";
	case PROBE_CANDIDATE_REFLEXIVE:
		return "reflexive";
	case PROBE_CANDIDATE_MAPPED:
		return "port-mapped";
	case PROBE_CANDIDATE_LAST_GOOD:
		return "last known good";
	default:
		return "seen";
	}
}

static void outcome(const struct path_peer *peer, const struct path_candidate *c, uint64_t now_ns,
		    char *out, size_t cap)
{
	double rtt_ms = (double)c->rtt_ns / (double)MS;
	unsigned long long age_s =
		c->last_proof_ns == 0 ? 0 : (now_ns - c->last_proof_ns) / NSEC_PER_SEC;
	int n;

	if (c == peer->current)
		n = snprintf(out, cap, "in use, answers in %.1f ms, proven %llu s ago", rtt_ms,
			     age_s);
	else if (c->proven)
		n = snprintf(out, cap, "works, answered in %.1f ms %llu s ago", rtt_ms, age_s);
	else if (c->sent == 0)
		n = snprintf(out, cap, "not tried yet");
	else if (c->received > 0)
		n = snprintf(out, cap, "worked until %llu s ago, no answer to %u probes since",
			     age_s, c->tries);
	else
		n = snprintf(out, cap, "no answer to %u probe%s", c->sent, c->sent == 1 ? "" : "s");
	if (n < 0 && cap > 0)
		out[0] = '\0';
}

static int why_ours(const struct path *p, struct buffer *out)
{
	char text[ENDPOINT_STRLEN];
	struct endpoint mapped[PATH_MAX_STUN_SERVERS];
	size_t count = path_reflexive(p, mapped, PATH_MAX_STUN_SERVERS);
	int r = 0;

	for (size_t i = 0; i < p->local_count && r == 0; i++)
		r = buffer_printf(out, "  ours %s (interface)\n",
				  endpoint_format(&p->local[i], text));
	for (size_t i = 0; i < count && r == 0; i++)
		r = buffer_printf(out, "  ours %s (reflexive, as a STUN server saw it)\n",
				  endpoint_format(&mapped[i], text));
	for (size_t i = 0; i < p->stun_count && r == 0; i++)
		if (!endpoint_is_set(&p->stun[i].mapped))
			r = buffer_printf(out, "  the STUN server %s %s\n",
					  endpoint_format(&p->stun[i].server, text),
					  p->stun[i].waiting ? "has not answered yet"
							     : "did not answer");
	return r;
}

static int why_state(const struct path *p, const struct path_peer *peer, uint64_t now_ns,
		     struct buffer *out)
{
	char text[ENDPOINT_STRLEN];

	if (!p->active)
		return buffer_printf(out,
				     "%s: the mesh is down on this machine; run `warren up`.\n",
				     peer->name);
	if (!peer->usable)
		return buffer_printf(
			out, "%s: its path key is not a valid key, so it is never probed.\n",
			peer->name);
	if (peer->current != NULL)
		return buffer_printf(out, "%s: direct, over %s.\n", peer->name,
				     endpoint_format(&peer->current->endpoint, text));
	if (peer->round_start_ns != 0)
		return buffer_printf(out, "%s: connecting, no path has answered so far.\n",
				     peer->name);
	if (peer->next_round_ns != 0)
		return buffer_printf(
			out,
			"%s: connecting, no path answered in %u round%s; the next one starts "
			"in %llu s.\n",
			peer->name, peer->rounds_failed, peer->rounds_failed == 1 ? "" : "s",
			peer->next_round_ns <= now_ns
				? 0ULL
				: (unsigned long long)((peer->next_round_ns - now_ns) /
						       NSEC_PER_SEC));
	return buffer_printf(out, "%s: idle, there was no traffic that needs a path.\n",
			     peer->name);
}

static int why_signal(const struct path_peer *peer, uint64_t now_ns, struct buffer *out)
{
	int r = 0;

	if (peer->signal_result == -ENOENT)
		r = buffer_printf(
			out,
			"  %s has no connection to the control server, so it could not be told "
			"our addresses\n",
			peer->name);
	else if (peer->signal_result < 0)
		r = buffer_printf(
			out, "  the control server could not be asked to pass our addresses on\n");
	else if (peer->signal_out_ns != 0)
		r = buffer_printf(
			out, "  our addresses were sent to it %llu s ago\n",
			(unsigned long long)((now_ns - peer->signal_out_ns) / NSEC_PER_SEC));
	if (r == 0 && peer->signal_in_ns == 0)
		r = buffer_printf(out, "  it has not told us its addresses\n");
	else if (r == 0)
		r = buffer_printf(
			out, "  it told us its addresses %llu s ago\n",
			(unsigned long long)((now_ns - peer->signal_in_ns) / NSEC_PER_SEC));
	if (r == 0 && peer->lost_ns != 0)
		r = buffer_printf(out, "  the last path stopped answering %llu s ago\n",
				  (unsigned long long)((now_ns - peer->lost_ns) / NSEC_PER_SEC));
	return r;
}

static bool has_port(const struct endpoint *list, size_t count, uint16_t port)
{
	for (size_t i = 0; i < count; i++)
		if (endpoint_port(&list[i]) == port)
			return true;
	return false;
}

/* A port on the outside that no interface has: the NAT maps by destination (RFC 4787 section 4.1),
 * as far as can be told from one STUN server. Hole punching sends to a port that is not the one
 * then. */
static uint16_t our_changed_port(const struct path *p)
{
	struct endpoint mapped[PATH_MAX_STUN_SERVERS];
	size_t count = path_reflexive(p, mapped, PATH_MAX_STUN_SERVERS);

	for (size_t i = 0; i < count; i++)
		if (!has_port(p->local, p->local_count, endpoint_port(&mapped[i])))
			return endpoint_port(&mapped[i]);
	return 0;
}

static uint16_t their_changed_port(const struct path_peer *peer)
{
	for (size_t i = 0; i < peer->count; i++) {
		uint16_t port = endpoint_port(&peer->candidates[i].endpoint);
		bool same = peer->candidates[i].type != PROBE_CANDIDATE_REFLEXIVE;

		for (size_t j = 0; j < peer->count && !same; j++)
			same = peer->candidates[j].type == PROBE_CANDIDATE_INTERFACE &&
			       endpoint_port(&peer->candidates[j].endpoint) == port;
		if (!same)
			return port;
	}
	return 0;
}

static int why_nat(const struct path *p, const struct path_peer *peer, struct buffer *out)
{
	uint16_t ours = our_changed_port(p), theirs = their_changed_port(peer);

	if (peer->current != NULL || (ours == 0 && theirs == 0))
		return 0;
	if (ours != 0 && theirs != 0)
		return buffer_printf(
			out,
			"  both machines are behind a NAT that gives each destination another port "
			"(outside %u here, %u there): no direct path can be made. It takes a "
			"relay, "
			"which Warren does not have yet, or a UDP port that one of the NATs "
			"forwards\n",
			ours, theirs);
	return buffer_printf(
		out,
		"  the NAT in front of %s gives each destination another port (outside %u): a "
		"direct path needs a NAT on the other side that takes packets from any port, or a "
		"forwarded UDP port there; a relay is not there yet\n",
		ours != 0 ? "this machine" : peer->name, ours != 0 ? ours : theirs);
}

int path_why(const struct path *p, const char *peer_id, uint64_t now_ns, struct buffer *out,
	     json_t **ret_candidates)
{
	const struct path_peer *peer = path_peer_by_id(p, peer_id);
	json_t *list;
	int r;

	if (peer == NULL)
		return -ENOENT;
	list = json_array();
	r = list == NULL ? -ENOMEM : why_state(p, peer, now_ns, out);
	for (size_t i = 0; i < peer->count && r == 0; i++) {
		const struct path_candidate *c = &peer->candidates[i];
		char text[ENDPOINT_STRLEN], what[128];

		(void)endpoint_format(&c->endpoint, text);
		outcome(peer, c, now_ns, what, sizeof(what));
		r = buffer_printf(out, "  %s (%s): %s\n", text, type_name(c->type), what);
		if (r == 0)
			r = json_array_append_new(
				    list, json_pack("{s:s,s:s,s:s,s:b,s:f}", "endpoint", text,
						    "type", type_name(c->type), "outcome", what,
						    "inUse", c == peer->current, "latency_ms",
						    (double)c->rtt_ns / (double)MS)) < 0
				    ? -ENOMEM
				    : 0;
	}
	if (r == 0)
		r = why_signal(peer, now_ns, out);
	if (r == 0)
		r = why_ours(p, out);
	if (r == 0)
		r = why_nat(p, peer, out);
	if (r < 0) {
		json_decref(list);
		return r;
	}
	*ret_candidates = list;
	return 0;
}
