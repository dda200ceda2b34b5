#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The whole of the Internet through the tunnel, as wg-quick does it with AllowedIPs = 0.0.0.0/0, ::/0: a mark
# on our datagrams (SO_MARK) keeps them out of the tunnel that carries everything else, also when the
# peer is the default route's own host, when the port changes and when the way outside changes.
#
#   a: qa (everything) ---- wire ---- b: qb, and what is behind it: 198.51.100.9, 2001:db8:9::9
. "$(dirname "$0")/lib_wg.sh"
need wg-quick nft

make_hosts
make_keys
export WG_QUICK_USERSPACE_IMPLEMENTATION=warren-wg
in_b ip addr add 198.51.100.9/32 dev lo
in_b ip addr add 2001:db8:9::9/128 dev lo nodad
in_a ip route add default via 192.0.2.2
in_a ip -6 route add default via 2001:db8::2
in_b sysctl -qw net.ipv4.ip_forward=1

side() { # HOST PEER NUMBER ALLOWED ENDPOINT
	cat >"$WORK/q$1.conf" <<-END
		[Interface]
		PrivateKey = $(cat "$WORK/$1.key")
		ListenPort = $((3000 + $3))
		Address = 10.9.0.$3/24, fd09::$3/64
		[Peer]
		PublicKey = $(cat "$WORK/$2.pub")
		AllowedIPs = $4
		Endpoint = $5
	END
}
side b a 2 "10.9.0.1/32, fd09::1/128" 192.0.2.1:3001
in_b wg-quick up "$WORK/qb.conf" >"$WORK/up.log" 2>&1 || fail "wg-quick up: $(cat "$WORK/up.log")"
grep -q warren-wg "$WORK/up.log" || skip "this kernel has WireGuard of its own"
in_b nft -f - <<'N'
table inet t {
	counter inside { }
	counter outside { }
	chain input {
		type filter hook input priority 0
		ip daddr 198.51.100.9 iifname qb counter name inside
		ip6 daddr 2001:db8:9::9 iifname qb counter name inside
		ip daddr 198.51.100.9 iifname wire counter name outside
		ip6 daddr 2001:db8:9::9 iifname wire counter name outside
	}
}
N
count() { in_b nft list counter inet t "$1" | sed -n 's/.*packets \([0-9]*\).*/\1/p'; }
reaches() { # WHAT
	in_b nft reset counters table inet t >/dev/null
	wait_for 90 in_a ping -q -c 1 -W 1 198.51.100.9 || fail "$1: no answer"
	all_answered a 3 0.1 198.51.100.9 || fail "$1: lost packets"
	all_answered a 3 0.1 2001:db8:9::9 || fail "$1: lost packets of IPv6"
	[ "$(count inside)" -ge 6 ] && [ "$(count outside)" = 0 ] ||
		fail "$1: $(count inside) packets through the tunnel, $(count outside) beside it"
	answers a 192.0.2.2 || fail "$1: the peer itself does not answer"
}
for family in 4 6; do
	note "everything through IPv$family"
	side a b 1 "0.0.0.0/0, ::/0" "$([ $family = 4 ] && echo 192.0.2.2 || echo '[2001:db8::2]'):3002"
	in_a wg-quick up "$WORK/qa.conf" >"$WORK/up.log" 2>&1 || fail "wg-quick up: $(cat "$WORK/up.log")"
	mark=$(in_a wg show qa fwmark)
	[ "$mark" != off ] || fail "wg-quick set no mark: $(cat "$WORK/up.log")"
	reaches "first"
	in_a wg set qa listen-port 3011
	reaches "another port"
	in_a ip link set qa down
	in_a wg-quick down "$WORK/qa.conf" >"$WORK/down.log" 2>&1 || fail "wg-quick down: $(cat "$WORK/down.log")"
	in_a ip rule | grep -q "fwmark" && fail "a rule is left"
	in_a ip -6 route add default via 2001:db8::2 2>/dev/null || true
done

note "the way outside changes under it"
in_a wg-quick up "$WORK/qa.conf" >"$WORK/up.log" 2>&1 || fail "wg-quick up: $(cat "$WORK/up.log")"
in_a wg set qa peer "$(cat "$WORK/b.pub")" endpoint 192.0.2.2:3002
reaches "before"
in_a ip addr add 192.0.2.77/24 dev wire
in_a ip addr del 192.0.2.1/24 dev wire
in_a ip addr add 192.0.2.77/24 dev wire 2>/dev/null || true
reaches "another address"
[ "$(in_b wg show qb endpoints | cut -f 2)" = 192.0.2.77:3001 ] || fail "b sees $(in_b wg show qb endpoints)"
note "all passed"
