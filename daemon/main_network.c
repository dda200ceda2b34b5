/* SPDX-License-Identifier: Apache-2.0
 *
 * The machine's own network for the path machine: interface addresses, changes of links, addresses
 * and routes, the addresses of STUN servers, and the path machine's timer.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/main_core.h"
#include "platform/json.h"
#include "platform/log.h"
#include "platform/netlink.h"

#define MAX_ADDRS   64
#define DEBOUNCE_MS 150

/* ---- candidates */

static bool ours(const struct main_core *m, const struct netlink_local_addr *a)
{
	if (m->interface[0] != '\0' && strcmp(a->ifname, m->interface) == 0)
		return true;
	return m->peers != NULL && (ip_addr_equal(&a->addr, &m->peers->self.overlay4) ||
				    ip_addr_equal(&a->addr, &m->peers->self.overlay6));
}

/* Interface addresses with the tunnel's port. */
static size_t list_candidates(const struct main_core *m, struct endpoint *out, size_t max)
{
	struct netlink_local_addr addrs[MAX_ADDRS];
	size_t count = 0, found = 0;
	int r = netlink_list_addrs(addrs, MAX_ADDRS, &count);

	if (r < 0) {
		log_warn("the interface addresses could not be read", "error=%s", strerror(-r));
		return 0;
	}
	for (size_t i = 0; i < count && found < max; i++)
		if (addrs[i].up && !addrs[i].link_local && !ours(m, &addrs[i]))
			endpoint_from_ip(&addrs[i].addr, m->port, &out[found++]);
	return found;
}

static bool listed(const struct endpoint *address, const struct endpoint *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (endpoint_equal(&list[i], address))
			return true;
	return false;
}

/* True when an address from before is gone. */
static bool update_candidates(struct main_core *m)
{
	struct endpoint list[PATH_MAX_LOCAL] = {0};
	size_t count = list_candidates(m, list, PATH_MAX_LOCAL);
	bool lost = false;

	for (size_t i = 0; i < m->address_count; i++)
		lost = lost || !listed(&m->addresses[i], list, count);
	memcpy(m->addresses, list, sizeof(list));
	m->address_count = count;
	if (m->port != 0)
		path_set_local(m->path, list, count);
	return lost;
}

void main_network_candidates(struct main_core *m)
{
	(void)update_candidates(m);
}

static void on_settled(uv_timer_t *timer)
{
	struct main_core *m = timer->data;
	bool lost = update_candidates(m);

	log_debug("the network changed", "lost=%d", (int)lost);
	main_network_stun(m);
	path_network_changed(m->path, main_now_ns(m));
	control_client_kick(m->control, lost);
	main_network_path_tick(m);
}

static void on_netlink(uv_poll_t *poll, int status, int events)
{
	struct main_core *m = poll->data;
	bool changed = false;

	(void)events;
	if (status < 0 || netlink_monitor_drain(m->netlink_fd, &changed) < 0) {
		log_warn("changes of the network are no longer seen", NULL);
		uv_poll_stop(poll);
		return;
	}
	if (changed && !uv_is_active((uv_handle_t *)&m->network_timer))
		(void)uv_timer_start(&m->network_timer, on_settled, DEBOUNCE_MS, 0);
}

/* ---- STUN servers */

struct stun_lookup {
	struct main_core *m;
	size_t pending;
	struct endpoint found[PATH_MAX_STUN_SERVERS];
	size_t count;
};

struct stun_name {
	uv_getaddrinfo_t request;
	struct stun_lookup *lookup;
};

static void lookup_done(struct stun_lookup *lookup)
{
	struct main_core *m = lookup->m;

	if (--lookup->pending > 0)
		return;
	if (!m->stopping && m->path != NULL) {
		path_set_stun(m->path, lookup->found, lookup->count, main_now_ns(m));
		main_network_path_tick(m);
	}
	free(lookup);
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *result)
{
	struct stun_name *name = request->data;
	struct stun_lookup *lookup = name->lookup;
	bool had4 = false, had6 = false;

	for (const struct addrinfo *a = status == 0 ? result : NULL; a != NULL; a = a->ai_next) {
		bool *had = a->ai_family == AF_INET ? &had4 : &had6;

		/* One address of each family. */
		if (*had || lookup->count == PATH_MAX_STUN_SERVERS)
			continue;
		*had = true;
		endpoint_from_sockaddr(a->ai_addr, a->ai_addrlen, &lookup->found[lookup->count++]);
	}
	uv_freeaddrinfo(result);
	free(name);
	lookup_done(lookup);
}

static void resolve(struct stun_lookup *lookup, const char *text)
{
	struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_family = AF_UNSPEC};
	const char *colon = strrchr(text, ':');
	struct stun_name *name;
	char host[128];
	size_t len;

	if (lookup->count < PATH_MAX_STUN_SERVERS &&
	    endpoint_parse(text, &lookup->found[lookup->count]) == 0) {
		lookup->count++;
		return;
	}
	len = colon == NULL ? 0 : (size_t)(colon - text);
	name = len == 0 || len >= sizeof(host) ? NULL : calloc(1, sizeof(*name));
	if (name == NULL)
		return;
	memcpy(host, text, len);
	host[len] = '\0';
	name->lookup = lookup;
	name->request.data = name;
	if (uv_getaddrinfo(lookup->m->loop, &name->request, on_resolved, host, colon + 1, &hints) <
	    0) {
		free(name);
		return;
	}
	lookup->pending++;
}

void main_network_stun(struct main_core *m)
{
	const json_t *list = m->map.map == NULL ? NULL : map_get(m->map.map, "stun");
	const struct control_server *server = control_client_known(m->control);
	struct stun_lookup *lookup = calloc(1, sizeof(*lookup));
	const json_t *item;
	size_t i;

	if (lookup == NULL)
		return;
	lookup->m = m;
	lookup->pending = 1;
	json_array_foreach(list, i, item) if (json_is_string(item) && i < PATH_MAX_STUN_SERVERS)
		resolve(lookup, json_string_value(item));
	for (i = 0; list == NULL && server != NULL && i < server->stun_count; i++)
		resolve(lookup, server->stun[i]);
	lookup_done(lookup);
}

/* ---- the path machine's clock */

static void on_path_timer(uv_timer_t *timer)
{
	main_network_path_tick(timer->data);
}

void main_network_path_tick(struct main_core *m)
{
	uint64_t now_ns = main_now_ns(m);
	uint64_t next_ns = path_tick(m->path, now_ns);
	uint64_t wait_ms;

	if (next_ns == UINT64_MAX) {
		(void)uv_timer_stop(&m->path_timer);
		return;
	}
	wait_ms = next_ns <= now_ns ? 1 : (next_ns - now_ns + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC;
	uv_update_time(m->loop);
	(void)uv_timer_start(&m->path_timer, on_path_timer, wait_ms, 0);
}

int main_network_open(struct main_core *m)
{
	int r;

	(void)uv_timer_init(m->loop, &m->path_timer);
	(void)uv_timer_init(m->loop, &m->network_timer);
	m->path_timer.data = m;
	m->network_timer.data = m;
	r = netlink_monitor_open(&m->netlink_fd);
	if (r == 0)
		r = uv_poll_init(m->loop, &m->netlink, m->netlink_fd);
	if (r < 0)
		return r;
	m->netlink.data = m;
	return uv_poll_start(&m->netlink, UV_READABLE, on_netlink);
}
