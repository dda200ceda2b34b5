#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# warren-wg against Debian's wireguard-go, configured by stock wg: both initiator roles, with and
# without PSK, IPv4 and IPv6 endpoints, bulk in both directions, keepalive, byte counters.
. "$(dirname "$0")/lib_wg.sh"
GO_PROGRAM=${GO_PROGRAM:-wireguard-go} # test_wg_today.sh gives another
need "$GO_PROGRAM" iperf3

make_hosts
make_keys

configure() { # HOST IFNAME PORT PEER ENDPOINT|- PSK|-
	local peer_number=2
	[ "$4" = a ] && peer_number=1
	{
		echo "[Interface]"
		echo "PrivateKey = $(cat "$WORK/$1.key")"
		echo "ListenPort = $3"
		echo "[Peer]"
		echo "PublicKey = $(cat "$WORK/$4.pub")"
		echo "AllowedIPs = 10.9.0.$peer_number/32, fd09::$peer_number/128"
		if [ "$5" != - ]; then echo "Endpoint = $5"; fi
		if [ "$6" != - ]; then echo "PresharedKey = $(cat "$WORK/psk")"; fi
	} >"$WORK/$1.conf"
	ip netns exec "$1" wg setconf "$2" "$WORK/$1.conf"
}

bulk() {
	local json
	serve_iperf3 b -B "$1"
	# What is under way at the end is not counted.
	json=$(in_a timeout 120 iperf3 -c "$1" -n 30000000 -J "${@:2}")
	echo "$json" | jq -e '.end.sum_received.bytes > 12500000' >/dev/null ||
		fail "iperf3 to $1 ${*:2}: $(echo "$json" | jq -c '.end.sum_received // .error')"
	note "iperf3 $* $(echo "$json" | jq '.end.sum_received.bits_per_second / 1e6 | floor') Mbit/s"
}

round() { # WHO-IS-OURS ENDPOINT-FAMILY PSK
	local program_a=$GO_PROGRAM program_b=$GO_PROGRAM to_a to_b
	[ "$1" = a ] && program_a=warren-wg || program_b=warren-wg
	to_a=192.0.2.1:1001 to_b=192.0.2.2:1002
	[ "$2" = 6 ] && to_a="[2001:db8::1]:1001" to_b="[2001:db8::2]:1002"
	note "ours is $1, endpoints IPv$2, psk $3"
	start a "$program_a" wa
	local pid_a=$LAST_PID
	start b "$program_b" wb
	local pid_b=$LAST_PID
	configure a wa 1001 b "$to_b" "$3"
	configure b wb 1002 a - "$3"
	address a wa 1
	address b wb 2

	note "a initiates"
	in_a ping -c 3 -i 0.2 -W 60 10.9.0.2 >/dev/null || fail "no answer over IPv4"
	in_a ping -c 3 -i 0.2 -W 60 fd09::2 >/dev/null || fail "no answer over IPv6"
	[ "$(in_b wg show wb endpoints | cut -f 2)" = "$to_a" ] || fail "b did not learn a's endpoint"
	in_a wg show wa latest-handshakes | awk '{ exit !($2 > 0) }' || fail "no handshake time"
	in_a wg show wa transfer | awk '{ exit !($2 > 500 && $3 > 500) }' || fail "no byte counts"

	note "b initiates"
	in_a wg set wa peer "$(cat "$WORK/b.pub")" remove
	in_a wg set wa peer "$(cat "$WORK/b.pub")" allowed-ips 10.9.0.2/32,fd09::2/128 \
		preshared-key "$([ "$3" = - ] && echo /dev/null || echo "$WORK/psk")"
	in_b wg set wb peer "$(cat "$WORK/a.pub")" remove
	in_b wg set wb peer "$(cat "$WORK/a.pub")" endpoint "$to_a" allowed-ips 10.9.0.1/32,fd09::1/128 \
		preshared-key "$([ "$3" = - ] && echo /dev/null || echo "$WORK/psk")"
	in_b ping -c 3 -i 0.2 -W 60 10.9.0.1 >/dev/null || fail "no answer to b"
	in_b ping -c 3 -i 0.2 -W 60 fd09::1 >/dev/null || fail "no answer to b over IPv6"

	note "bulk"
	bulk 10.9.0.2
	bulk 10.9.0.2 -R
	bulk fd09::2
	note "datagrams of many sizes"
	local size
	for size in 0 1 15 16 17 100 1391 1392; do
		in_a ping -c 1 -W 60 -M do -s "$size" 10.9.0.2 >/dev/null || fail "ping -s $size"
	done
	in_a ping -c 1 -W 60 -s 8000 10.9.0.2 >/dev/null || fail "fragmented ping"

	kill "$pid_a" "$pid_b"
	wait "$pid_a" "$pid_b" 2>/dev/null || true
	wait_for 90 test ! -e /var/run/wireguard/wa.sock || fail "socket of a is left"
}

need jq
round a 4 -
round b 4 psk
round a 6 psk
note "all rounds passed"
