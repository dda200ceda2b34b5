#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A long life in a short time. Clocks that run 60 times as fast while packets are answered (a session lives two
# seconds) and sessions that begin near the end of their counter (REJECT_AFTER_MESSAGES), against ourselves and
# against wireguard-go: not one packet is lost over all the handshakes. But one kind: when both sides' handshakes cross,
# which takes sessions as short as the second kind's and a machine that is busy elsewhere, WireGuard's responder has
# forgotten the session that the other still sends with, and counts it (drop_rx_unknown_index).
. "$(dirname "$0")/lib_wg.sh"
[ -x "$WARREN_BIN/../tests/warren-wg-lab" ] || skip "warren-wg-lab is not built"

make_hosts
configure() {
	make_keys
	in_a wg set wa listen-port 1001 private-key "$WORK/a.key" peer "$(cat "$WORK/b.pub")" \
		preshared-key "$WORK/psk" allowed-ips 10.9.0.2/32,fd09::2/128 endpoint 192.0.2.2:1002
	in_b wg set wb listen-port 1002 private-key "$WORK/b.key" peer "$(cat "$WORK/a.pub")" \
		preshared-key "$WORK/psk" allowed-ips 10.9.0.1/32,fd09::1/128
	address a wa 1
	address b wb 2
	all_answered a 1 0 10.9.0.2 || fail "no answer"
}

export LAB_CLOCK=$WORK/clock
count_of() { awk -v name="$1" '$1 == name { n += $2 } END { print n + 0 }' "${@:2}"; } # NAME FILE…
round() { # PROGRAM-OF-B HANDSHAKES COUNT INTERVAL
	local b=$1 least=$2 handshakes lost forgotten pid_a pid_b
	printf '\0\0\0\0\0\1\0\0' >"$LAB_CLOCK" # some time
	rm -f "$WORK"/counters* "$WORK/lost"
	LAB_COUNTERS=$WORK/counters start a warren-wg-lab wa
	pid_a=$LAST_PID
	LAB_COUNTERS=$WORK/counters-b start b "$b" wb
	pid_b=$LAST_PID
	configure
	all_answered a "$3" "$4" 10.9.0.2 "$LAB_CLOCK" 60 "$WORK/lost" || fail "no answers"
	all_answered b 20 0.05 10.9.0.1 "$LAB_CLOCK" 60 "$WORK/lost" || fail "no answers from b"
	kill "$pid_a" "$pid_b"
	wait "$pid_a" "$pid_b" 2>/dev/null || true
	wait_for 60 test ! -e /var/run/wireguard/wa.sock || fail "socket of a is left"
	wait_for 60 test ! -e /var/run/wireguard/wb.sock || fail "socket of b is left"
	handshakes=$(count_of handshakes "$WORK/counters")
	[ "$handshakes" -ge "$least" ] || fail "only $handshakes handshakes"
	for reason in drop_rx_bad_packet drop_rx_replay drop_tx_stage_full drop_tx_given_up drop_tx_socket; do
		[ "$(count_of $reason "$WORK"/counters*)" = 0 ] || fail "$(grep "^$reason" "$WORK"/counters*)"
	done
	lost=$(awk '{ n += $1 } END { print n }' "$WORK/lost")
	forgotten=$(count_of drop_rx_unknown_index "$WORK"/counters*)
	# wireguard-go does not count them.
	[ -s "$WORK/counters-b" ] || forgotten=$(($3 / 10))
	[ "$lost" -le "$forgotten" ] || fail "$lost packets lost"
	note "$handshakes handshakes, $3 packets, $lost lost"
}

note "six minutes in six seconds, both fast"
round warren-wg-lab 3 600 0.01
note "20 messages a session"
LAB_MESSAGES=20 round warren-wg-lab 10 1500 0.002
if command -v wireguard-go >/dev/null; then
	note "six minutes in six seconds, against wireguard-go"
	round wireguard-go 3 600 0.01
	note "20 messages a session, against wireguard-go"
	LAB_MESSAGES=20 round wireguard-go 6 1500 0.002
fi
note "all passed"
