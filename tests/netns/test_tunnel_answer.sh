#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# As the kernel's WireGuard: "host unreachable" for addresses that no peer has; ECN goes outwards
# without CE, a CE on the way comes inwards, DSCP stays inside, handshakes are AF41.
# shellcheck source=tests/interop/lib_wg.sh
. "$WARREN_SRC/tests/interop/lib_wg.sh"
need nft

make_hosts
make_keys
for h in a b; do LEVEL=error start $h warren-wg "w$h"; done
# What arrives on the wire is counted in b before it is marked.
in_b nft -f - <<'N'
table inet t {
	counter af41 { }
	counter plain_ce { }
	counter ect { }
	counter dscp { }
	counter inner_ce { }
	chain wire {
		type filter hook prerouting priority -300
		iifname wire udp dport 1002 ip dscp af41 counter name af41
		iifname wire udp dport 1002 ip dscp ef counter name dscp
		iifname wire udp dport 1002 ip ecn ce counter name plain_ce
		iifname wire udp dport 1002 ip ecn ect0 counter name ect
		iifname wire udp dport 1002 ip ecn ect0 ip ecn set ce
	}
	chain inner {
		type filter hook input priority 0
		iifname wb ip ecn ce counter name inner_ce
	}
}
N
in_a wg set wa listen-port 1001 private-key "$WORK/a.key" peer "$(cat "$WORK/b.pub")" \
	allowed-ips 10.9.0.2/32,fd09::2/128 endpoint 192.0.2.2:1002
in_b wg set wb listen-port 1002 private-key "$WORK/b.key" peer "$(cat "$WORK/a.pub")" \
	allowed-ips 10.9.0.1/32,fd09::1/128
address a wa 1
address b wb 2
count() { in_b nft list counter inet t "$1" | sed -n 's/.*packets \([0-9]*\).*/\1/p'; }
expect() { [ "$(count "$1")" "$2" "$3" ] || fail "$1: $(count "$1") packets, not $2 $3"; }

note "without ECN nothing is marked; the handshake is AF41"
in_a ping -q -c 5 -i 0.05 -w 60 10.9.0.2 >/dev/null || fail "no ping"
expect af41 -ge 1
expect ect -eq 0
expect inner_ce -eq 0

note "ECT(0) goes out, CE comes in; EF stays inside"
in_a ping -q -c 5 -i 0.05 -w 60 -Q 0xba 10.9.0.2 >/dev/null || fail "no ping with ECT(0)"
expect ect -ge 5
expect inner_ce -ge 5
expect dscp -eq 0

note "CE inside is ECT(0) outside"
before=$(count ect)
in_a ping -q -c 5 -i 0.05 -w 60 -Q 3 10.9.0.2 >/dev/null || fail "no ping with CE"
expect ect -ge $((before + 5))
expect plain_ce -eq 0

note "host unreachable for an address without a peer"
in_a ping -c 1 -w 30 10.9.0.77 >"$WORK/out" && fail "an answer from nobody"
grep -q "Destination Host Unreachable" "$WORK/out" || fail "$(cat "$WORK/out")"
in_a ping -c 1 -w 30 fd09::77 >"$WORK/out" && fail "an answer from nobody"
grep -q "Address unreachable" "$WORK/out" || fail "$(cat "$WORK/out")"
echo PASS
