/* SPDX-License-Identifier: Apache-2.0
 *
 * The two programs with which the kernel keeps a peer's packets on one shard: which UDP socket of a
 * port takes a datagram (by WireGuard's receiver index), and which queue of a TUN takes a packet
 * (by its destination). Written out as instructions; nothing is compiled at run time.
 */
#ifndef WARREN_PLATFORM_BPF_H
#define WARREN_PLATFORM_BPF_H

#include <stddef.h>

#include "platform/addr.h"
#include "platform/error.h"

/* The sockets that share a port with fd (SO_REUSEPORT), in the order in which they were bound: the
 * first byte (on the wire the last) of the receiver index, modulo count, names the socket of
 * messages of type 2, 3 and 4; others go by the hash of their addresses. Needs no privilege.
 * -errno. */
int bpf_reuseport_attach(int fd, unsigned count) WARREN_MUST_USE;

/* Maps from prefix to queue (4 and 6) and the program that reads them; queue 0 for what is in
 * neither. Needs CAP_BPF and CAP_NET_ADMIN (or root): -EPERM; -errno. */
int bpf_steer_new(int *ret_map4, int *ret_map6, int *ret_program,
		  struct error *err) WARREN_MUST_USE;
/* Gives the program to a multi-queue TUN (TUNSETSTEERINGEBPF), which keeps it. -errno. */
int bpf_steer_attach(int tun_fd, int program) WARREN_MUST_USE;
/* With the descriptor of a map alone, also without privileges (Linux 5.19). -ENOSPC: more than a
 * million; -errno. */
int bpf_steer_set(int map, const struct ip_prefix *prefix, unsigned queue) WARREN_MUST_USE;
void bpf_steer_remove(int map, const struct ip_prefix *prefix);
/* Runs the program on an IP packet, for tests: the queue, or -errno. */
int bpf_steer_test(int program, const void *packet, size_t len) WARREN_MUST_USE;

#endif
