#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Cookies (WireGuard paper section 5.4.7) between implementations: somebody who knows our public key floods
# us with handshakes of nobody; a real peer gets its session all the same, because it proves its address by
# the cookie of our reply. warren-wg under load with wireguard-go and with itself; wireguard-go under load
# with us. What a flood costs in memory stays where it was.
. "$(dirname "$0")/lib_wg.sh"
need wireguard-go tcpdump python3

make_hosts
make_keys
# More than 128 in 100 ms are load for a second; this is more, also on a busy machine.
flood() { # ADDRESS PORT KEY PER-SECOND
	ip netns exec a python3 "$WARREN_SRC/tests/support/wg_flood.py" "$1" "$2" "$3" 300 "$4" &
	FLOOD=$!
	PIDS+=("$FLOOD")
}
in_dump() { { tcpdump -Z root -n -r "$WORK/dump" "$1" 2>/dev/null || true; } | grep -c . || true; }
rss_kb() { awk '/^VmRSS/ { print $2 }' "/proc/$1/status"; }

at_once() { # a new session in less than two seconds
	in_a wg set wa peer "$(cat "$WORK/b.pub")" remove
	in_a wg set wa peer "$(cat "$WORK/b.pub")" preshared-key "$WORK/psk" allowed-ips 10.9.0.2/32 endpoint 192.0.2.2:1002
	in_a ping -q -c 1 -W 2 10.9.0.2 >/dev/null
}

replies_of_b="src 192.0.2.2 and udp[8] = 3 and udp[4:2] = 72" # cookie replies
with_mac2="src port 1001 and udp[8] = 1 and udp[4:2] = 156"
round() { # PROGRAM-UNDER-LOAD PROGRAM-OF-THE-PEER PER-SECOND
	note "$1 is under load, $2 comes"
	start b "$1" wb
	local pid_b=$LAST_PID
	start a "$2" wa
	local pid_a=$LAST_PID before after
	in_a wg set wa listen-port 1001 private-key "$WORK/a.key" peer "$(cat "$WORK/b.pub")" \
		preshared-key "$WORK/psk" allowed-ips 10.9.0.2/32
	in_b wg set wb listen-port 1002 private-key "$WORK/b.key" peer "$(cat "$WORK/a.pub")" \
		preshared-key "$WORK/psk" allowed-ips 10.9.0.1/32
	address a wa 1
	address b wb 2
	rm -f "$WORK/dump"
	ip netns exec a tcpdump -Z root -i wire -n -U -s 200 -w "$WORK/dump" --immediate-mode \
		"udp[8] = 3 or (udp[8] = 1 and udp[140:4] != 0)" 2>/dev/null &
	local dump=$!
	PIDS+=("$dump")
	wait_for 90 test -s "$WORK/dump" || fail "tcpdump does not begin"
	flood 192.0.2.2 1002 "$(cat "$WORK/b.pub")" "$3"
	wait_for 90 eval '[ "$(in_dump "$replies_of_b")" -gt 100 ]' || fail "$1 was not under load"
	before=$(rss_kb "$pid_b")
	for _ in {1..20}; do # it may just have a moment without load
		in_a wg set wa peer "$(cat "$WORK/b.pub")" remove
		in_a wg set wa peer "$(cat "$WORK/b.pub")" preshared-key "$WORK/psk" allowed-ips 10.9.0.2/32 endpoint 192.0.2.2:1002
		wait_for 90 in_a ping -q -c 1 -W 1 10.9.0.2 || fail "no session with $1 under load"
		[ "$(in_dump "$with_mac2")" = 0 ] || break
	done
	after=$(rss_kb "$pid_b")
	kill "$FLOOD" "$dump" 2>/dev/null || true
	wait "$FLOOD" "$dump" 2>/dev/null || true
	local replies proven
	replies=$(in_dump "$replies_of_b")
	proven=$(in_dump "$with_mac2")
	echo "$replies cookie replies, $proven initiations with a mac2, $((after - before)) KB more"
	[ "$proven" -gt 0 ] || fail "$2 did not use the cookie of $1"
	if [ "$1" = warren-wg ]; then
		[ $((after - before)) -lt 1024 ] || fail "the flood made us grow from $before to $after KB"
		# Quiet again: a session without any cookie, with which it would take five seconds.
		wait_for 90 at_once || fail "still under load when all is quiet"
	fi
	kill "$pid_a" "$pid_b"
	wait "$pid_a" "$pid_b" 2>/dev/null || true
	wait_for 90 test ! -e /var/run/wireguard/wa.sock || fail "socket of a is left"
	wait_for 90 test ! -e /var/run/wireguard/wb.sock || fail "socket of b is left"
}
round warren-wg wireguard-go 15000
round warren-wg warren-wg 15000
round wireguard-go warren-wg 20000
note "all passed"
