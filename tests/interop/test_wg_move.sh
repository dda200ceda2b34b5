#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Moving: our address changes (endpoint follows only authenticated packets), the cached source address
# vanishes, the port changes, MTU changes live, a large MTU over a small path.
. "$(dirname "$0")/lib_wg.sh"

make_hosts
make_keys
start a warren-wg wa
start b warren-wg wb
in_a wg set wa listen-port 5001 private-key "$WORK/a.key" peer "$(cat "$WORK/b.pub")" \
	allowed-ips 10.9.0.2/32,fd09::2/128 endpoint 192.0.2.2:5002
in_b wg set wb listen-port 5002 private-key "$WORK/b.key" peer "$(cat "$WORK/a.pub")" \
	allowed-ips 10.9.0.1/32,fd09::1/128
address a wa 1
address b wb 2
endpoint_at_b() { in_b wg show wb endpoints | cut -f 2; }

in_a ping -c 2 -i 0.2 -W 60 10.9.0.2 >/dev/null || fail "no answer"
[ "$(endpoint_at_b)" = 192.0.2.1:5001 ] || fail "endpoint"

note "address of a changes: no packet is lost"
in_a ip addr del 192.0.2.1/24 dev wire
in_a ip addr add 192.0.2.51/24 dev wire
all_answered a 5 0.2 10.9.0.2 || fail "packets lost after the change"
[ "$(endpoint_at_b)" = 192.0.2.51:5001 ] || fail "b did not follow"

note "address of b's own goes: the packet in hand is sent from another"
in_b ip addr add 192.0.2.52/24 dev wire
in_a wg set wa peer "$(cat "$WORK/b.pub")" endpoint 192.0.2.52:5002
in_a ping -c 2 -i 0.2 -W 60 10.9.0.2 >/dev/null || fail "no answer from .52"
in_b ip addr del 192.0.2.52/24 dev wire
all_answered b 2 0.2 10.9.0.1 || fail "b lost packets with its address"
[ "$(in_a wg show wa endpoints | cut -f 2)" = 192.0.2.2:5002 ] || fail "a did not follow"

note "port of a changes"
in_a wg set wa listen-port 5099
all_answered a 3 0.2 10.9.0.2 || fail "packets lost with the port"
[ "$(endpoint_at_b)" = 192.0.2.51:5099 ] || fail "b did not follow the port"

note "to IPv6 and back"
in_a wg set wa peer "$(cat "$WORK/b.pub")" endpoint '[2001:db8::2]:5002'
all_answered a 3 0.2 10.9.0.2 || fail "IPv6"
[ "$(endpoint_at_b)" = '[2001:db8::1]:5099' ] || fail "b did not follow to IPv6"

note "link-local endpoint with scope"
lla=$(in_b ip -6 -br addr show dev wire scope link | awk '{ print $3 }' | cut -d / -f 1)
in_a wg set wa peer "$(cat "$WORK/b.pub")" endpoint "[$lla%wire]:5002"
all_answered a 3 0.2 10.9.0.2 || fail "link-local"
all_answered b 3 0.2 10.9.0.1 || fail "link-local back"
in_a wg set wa peer "$(cat "$WORK/b.pub")" endpoint 192.0.2.2:5002

note "MTU live"
for mtu in 1280 9000 65535 1420; do
	in_a ip link set wa mtu $mtu
	in_b ip link set wb mtu $mtu
	in_a ping -c 2 -i 0.2 -W 60 -M do -s $((mtu > 60000 ? 60000 : mtu - 28)) 10.9.0.2 >/dev/null || fail "MTU $mtu"
done

note "link down and up"
in_a ip link set wa down
! in_b ping -c 1 -W 1 10.9.0.1 >/dev/null || fail "answers while down"
in_a ip link set wa up
in_a ip addr add fd09::1/64 dev wa nodad 2>/dev/null || true
wait_for 90 in_a ping -c 1 -W 1 10.9.0.2 || fail "no answer after up"
answers b 10.9.0.1 || fail "no answer to b after up"

note "the interface moves to another namespace, the sockets stay"
ip netns add c
in_a ip link set wa netns c
ip netns exec c ip addr add 10.9.0.1/24 dev wa
ip netns exec c ip link set wa up
wait_for 90 ip netns exec c ping -c 1 -W 1 10.9.0.2 || fail "no answer from the other namespace"
ip netns exec c ip link del wa
wait_for 90 test ! -e /var/run/wireguard/wa.sock || fail "deletion there was not seen"
ip netns del c
note "all passed"
