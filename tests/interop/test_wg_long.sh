#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A long life in a short time. Clocks that run 60 times as fast (a session lives two seconds) and
# sessions that begin near the end of their counter (REJECT_AFTER_MESSAGES), against ourselves and
# against wireguard-go: not one packet is lost over all the handshakes.
. "$(dirname "$0")/lib_wg.sh"
[ -x "$WARREN_BIN/../tests/warren-wg-lab" ] || skip "warren-wg-lab is not built"

need nft

make_hosts
in_a nft -f - <<'N'
table inet t {
	counter replies { }
	chain input {
		type filter hook input priority 0
		icmp type echo-reply counter name replies
	}
}
N
count() { ip netns exec "$1" nft list counter inet t replies | sed -n 's/.*packets \([0-9]*\).*/\1/p'; }

configure() {
	make_keys
	in_a wg set wa listen-port 1001 private-key "$WORK/a.key" peer "$(cat "$WORK/b.pub")" \
		preshared-key "$WORK/psk" allowed-ips 10.9.0.2/32,fd09::2/128 endpoint 192.0.2.2:1002
	in_b wg set wb listen-port 1002 private-key "$WORK/b.key" peer "$(cat "$WORK/a.pub")" \
		preshared-key "$WORK/psk" allowed-ips 10.9.0.1/32,fd09::1/128
	address a wa 1
	address b wb 2
	in_a ping -c 1 -w 5 10.9.0.2 >/dev/null || fail "no answer"
}

round() { # PROGRAM-OF-B HANDSHAKES PING-OPTIONS…
	local b=$1 least=$2 handshakes sent
	shift 2
	LAB_COUNTERS=$WORK/counters start a warren-wg-lab wa
	local pid_a=$LAST_PID
	start b "$b" wb
	local pid_b=$LAST_PID
	configure
	# ping does not wait for replies whose request waits for a handshake; counters do.
	sent=$(count a)
	in_a timeout 40 ping -q "$@" 10.9.0.2 >"$WORK/ping" || fail "ping: $(cat "$WORK/ping")"
	sent=$((sent + $(sed -n 's/^\([0-9]*\) packets.*/\1/p' "$WORK/ping")))
	wait_for 4 eval '[ "$(count a)" = "$sent" ]' || fail "$(count a) replies of $sent: $(cat "$WORK/ping")"
	in_b ping -q -c 20 -i 0.05 -w 5 10.9.0.1 | grep -q " 0% packet loss" || fail "lost packets from b"
	kill "$pid_a" "$pid_b"
	wait "$pid_a" "$pid_b" 2>/dev/null || true
	wait_for 3 test ! -e /var/run/wireguard/wa.sock || fail "socket of a is left"
	wait_for 3 test ! -e /var/run/wireguard/wb.sock || fail "socket of b is left"
	handshakes=$(awk '$1 == "handshakes" { print $2 }' "$WORK/counters")
	[ "$handshakes" -ge "$least" ] || fail "only $handshakes handshakes"
	for reason in drop_rx_bad_packet drop_rx_replay drop_tx_stage_full drop_tx_given_up drop_tx_socket; do
		grep -q "^$reason 0$" "$WORK/counters" || fail "$(grep "^$reason" "$WORK/counters")"
	done
	note "$handshakes handshakes, $(sed -n 's/^\([0-9]*\) packets.*/\1/p' "$WORK/ping") packets, none lost"
}

note "six minutes in six seconds, both fast"
LAB_SPEED=60 round warren-wg-lab 3 -c 600 -i 0.01
note "20 messages a session"
LAB_SPEED=60 LAB_MESSAGES=20 round warren-wg-lab 10 -c 1500 -i 0.002
if command -v wireguard-go >/dev/null; then
	note "six minutes in six seconds, against wireguard-go"
	LAB_SPEED=60 round wireguard-go 3 -c 600 -i 0.01
	note "20 messages a session, against wireguard-go"
	LAB_SPEED=60 LAB_MESSAGES=20 round wireguard-go 6 -c 1500 -i 0.002
fi
note "all passed"
