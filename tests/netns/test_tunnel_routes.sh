#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Two ways between a and b, each of which lets only its own source addresses through, as networks do.
# The endpoint is b's loopback address, so routes alone decide the way.
#
#   a --- wire  192.0.2.0/24    --- b
#   a --- wire2 198.51.100.0/24 --- b    b also: 203.0.113.2, 2001:db8:ff::2
#
# While packets go both ways: the route moves, the link goes down, the source address goes, the
# source's own route goes. Then marks (SO_MARK), TTL, a machine without IPv4, one without IPv6.
# shellcheck source=tests/interop/lib_wg.sh
. "$WARREN_SRC/tests/interop/lib_wg.sh"
need nft

make_hosts
make_keys
ip link add wire2 netns a type veth peer name wire2 netns b
in_a ip addr add 198.51.100.1/24 dev wire2
in_b ip addr add 198.51.100.2/24 dev wire2
in_a ip link set wire2 up
in_b ip link set wire2 up
in_b ip addr add 203.0.113.2/32 dev lo
in_b ip addr add 2001:db8:ff::2/128 dev lo nodad
via() { # 1 or 2
	if [ "$1" = 1 ]; then
		in_a ip route replace 203.0.113.2 via 192.0.2.2 dev wire
	else
		in_a ip route replace 203.0.113.2 via 198.51.100.2 dev wire2
	fi
}
via 1
in_b nft -f - <<'N'
table inet t {
	chain wire {
		type filter hook prerouting priority -300
		iifname wire ip saddr != 192.0.2.0/24 drop
		iifname wire2 ip saddr != 198.51.100.0/24 drop
	}
}
N
start a warren-wg wa
start b warren-wg wb
in_a wg set wa listen-port 1001 private-key "$WORK/a.key" peer "$(cat "$WORK/b.pub")" \
	allowed-ips 10.9.0.2/32,fd09::2/128 endpoint 203.0.113.2:1002
in_b wg set wb listen-port 1002 private-key "$WORK/b.key" peer "$(cat "$WORK/a.pub")" \
	allowed-ips 10.9.0.1/32,fd09::1/128
address a wa 1
address b wb 2
seen() { in_b wg show wb endpoints | cut -f 2; }
lost() { sed -n 's/^\([0-9]*\) packets transmitted, \([0-9]*\) .*/\1 - \2/p' "$1"; }

three() { # ARGUMENTS of ping: three packets, none is lost
	in_a ping -q -c 1 -W 30 "$@" && in_a ping -q -c 1 -W 30 "$@" && in_a ping -q -c 1 -W 30 "$@"
}
in_a ping -q -c 1 -w 60 10.9.0.2 >/dev/null || fail "no answer"
[ "$(seen)" = 192.0.2.1:1001 ] || fail "endpoint $(seen)"

# Packets both ways every 20 ms while COMMAND happens, and until they come through again. A few are lost on
# a quiet machine (LIMIT), as many more as it takes until the device runs on a busy one; nothing comes
# through before the next handshake (15 s, which are 750) where the device does not notice.
during() { # LIMIT ADDRESS-SEEN-AFTERWARDS COMMAND…
	local limit=$1 expected=$2 pids=() p
	shift 2
	ip netns exec a ping -q -i 0.02 10.9.0.2 >"$WORK/ping.a" &
	pids+=($!)
	ip netns exec b ping -q -i 0.02 10.9.0.1 >"$WORK/ping.b" &
	pids+=($!)
	sleep 0.5
	"$@"
	in_a ping -q -c 1 -w 60 -i 0.2 10.9.0.2 >/dev/null || fail "$*: nothing comes through"
	in_b ping -q -c 1 -w 60 -i 0.2 10.9.0.1 >/dev/null || fail "$*: nothing comes through from b"
	sleep 0.5
	kill -INT "${pids[@]}"
	for p in "${pids[@]}"; do wait "$p" || true; done
	note "a lost $(lost "$WORK/ping.a"), b lost $(lost "$WORK/ping.b"), at most $limit on a quiet machine"
	for p in a b; do
		[ $(($(lost "$WORK/ping.$p"))) -le 500 ] || fail "$*: $p lost $(lost "$WORK/ping.$p")"
	done
	[ "$(seen)" = "$expected" ] || fail "$*: b sees $(seen)"
}

note "the route moves to the other way, and back"
during 1 198.51.100.1:1001 via 2
during 1 192.0.2.1:1001 via 1
note "the link of the way goes down"
in_a ip route add 203.0.113.2 via 198.51.100.2 dev wire2 metric 50
during 4 198.51.100.1:1001 in_a ip link set wire down
in_a ip link set wire up
in_a ip addr add 2001:db8::1/64 dev wire nodad
in_a ip route del 203.0.113.2 via 198.51.100.2 dev wire2 metric 50
via 1
wait_for 60 in_a ping -q -c 1 -W 1 10.9.0.2 || fail "no answer after the link came back"
note "the source address goes; another takes over"
during 2 192.0.2.61:1001 eval 'in_a ip addr add 192.0.2.61/24 dev wire; in_a ip addr del 192.0.2.1/24 dev wire; in_a ip addr add 192.0.2.61/24 dev wire 2>/dev/null; via 1'
note "the source's own route goes"
in_a ip rule add from 192.0.2.61 lookup 77 priority 100
in_a ip route add 203.0.113.2 via 192.0.2.2 dev wire table 77
in_a ping -q -c 1 -w 60 10.9.0.2 >/dev/null || fail "no answer with a rule"
during 2 198.51.100.1:1001 eval 'in_a ip route replace unreachable 203.0.113.2 table 77; via 2'
in_a ip rule del priority 100
in_a ip route flush table 77

note "marks: from the start, live, and off"
in_a nft -f - <<'N'
table inet m {
	counter marked { }
	counter other { }
	chain out {
		type route hook output priority 0
		udp dport 1002 meta mark 0x77 counter name marked
		udp dport 1002 meta mark 0 counter name other
	}
}
N
count() { in_a nft list counter inet m "$1" | sed -n 's/.*packets \([0-9]*\).*/\1/p'; }
fresh() { in_a nft reset counters table inet m >/dev/null && three 10.9.0.2 >/dev/null; }
in_a wg set wa fwmark 0x77
fresh || fail "no answer with a mark"
[ "$(count marked)" -ge 3 ] && [ "$(count other)" = 0 ] || fail "mark: $(count marked) with, $(count other) without"
in_a wg set wa listen-port 1003
fresh || fail "no answer with a mark and another port"
[ "$(count marked)" -ge 3 ] && [ "$(count other)" = 0 ] || fail "the mark went with the port"
in_a wg set wa fwmark 0
fresh || fail "no answer without a mark"
[ "$(count marked)" = 0 ] && [ "$(count other)" -ge 3 ] || fail "the mark stays"
note "a mark that leads elsewhere"
in_a ip rule add fwmark 0x88 lookup 88 priority 100
in_a ip route add 203.0.113.2 via 192.0.2.2 dev wire table 88
via 2
in_a wg set wa fwmark 0x88
three 10.9.0.2 >/dev/null || fail "no answer by the mark's table"
[ "$(seen)" = 192.0.2.61:1003 ] || fail "b sees $(seen), not the mark's way"
in_a wg set wa fwmark 0
in_a ip rule del priority 100

note "TTL: the inner one stays, the outer one is the machine's"
in_b nft -f - <<'N'
table inet ttl {
	counter inner { }
	counter outer { }
	counter odd { }
	chain input {
		type filter hook input priority 0
		iifname wb icmp type echo-request ip ttl 33 counter name inner
		udp dport 1002 ip ttl 64 counter name outer
		udp dport 1002 ip ttl != 64 counter name odd
	}
}
N
three -t 33 10.9.0.2 >/dev/null || fail "no answer with TTL 33"
ttl() { in_b nft list counter inet ttl "$1" | sed -n 's/.*packets \([0-9]*\).*/\1/p'; }
[ "$(ttl inner)" = 3 ] || fail "the inner TTL changed"
[ "$(ttl outer)" -ge 3 ] && [ "$(ttl odd)" = 0 ] || fail "the outer TTL is not the machine's"

note "IPv6 only"
in_a ip -4 addr flush dev wire
in_a ip -4 addr flush dev wire2
in_a ip -6 route add 2001:db8:ff::2 via 2001:db8::2 dev wire
in_a wg set wa peer "$(cat "$WORK/b.pub")" endpoint '[2001:db8:ff::2]:1002'
in_a ping -q -c 1 -w 60 10.9.0.2 >/dev/null || fail "no answer over IPv6"
in_a ping -q -c 1 -w 60 fd09::2 >/dev/null || fail "no answer over IPv6 for IPv6"
[ "$(seen)" = '[2001:db8::1]:1003' ] || fail "b sees $(seen)"
note "a source that goes, over IPv6"
in_a ip addr add 2001:db8::61/64 dev wire nodad
in_a ip addr del 2001:db8::1/64 dev wire
three 10.9.0.2 >"$WORK/ping" || fail "packets lost with the address: $(cat "$WORK/ping")"
[ "$(seen)" = '[2001:db8::61]:1003' ] || fail "b sees $(seen)"

note "a machine without IPv6 at all"
ip netns add c
trap 'code=$?; set +e; ip netns del c; clean_up; exit $code' EXIT
ip netns exec c sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
start c warren-wg wc
ip netns exec c wg set wc listen-port 1009 private-key "$WORK/a.key"
ip netns exec c ip link set wc up
wait_for 60 eval 'ip netns exec c ss -Hlun sport = 1009 | grep -q 1009' || fail "no port without IPv6"
note "all passed"
