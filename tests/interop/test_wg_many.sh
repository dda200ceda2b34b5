#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 10,000 peers in one file, by stock wg, beside the one that has traffic; and while packets flow: peers
# removed and added, up and down, ports, marks, keys and MTU changed. What is sent in peace arrives.
. "$(dirname "$0")/lib_wg.sh"
need iperf3 jq python3

make_hosts
make_keys
start a warren-wg wa
pid_a=$LAST_PID
start b warren-wg wb
in_a wg set wa listen-port 1001 private-key "$WORK/a.key" peer "$(cat "$WORK/b.pub")" \
	allowed-ips 10.9.0.2/32,fd09::2/128 endpoint 192.0.2.2:1002
in_b wg set wb listen-port 1002 private-key "$WORK/b.key" peer "$(cat "$WORK/a.pub")" \
	allowed-ips 10.9.0.1/32,fd09::1/128 endpoint 192.0.2.1:1001
address a wa 1
address b wb 2
answers a 10.9.0.2 || fail "no answer"
rss_kb() { awk '/^VmRSS/ { print $2 }' "/proc/$1/status"; }

note "10,000 peers"
python3 - >"$WORK/many.conf" <<'END'
import base64, os
for i in range(1, 10000):
    key = base64.b64encode(os.urandom(31) + b"\x01").decode()
    print(f"[Peer]\nPublicKey = {key}\nAllowedIPs = 10.{64 + (i >> 16)}.{i >> 8 & 255}.{i & 255}/32")
END
before=$(rss_kb "$pid_a")
in_a wg addconf wa "$WORK/many.conf"
[ "$(in_a wg show wa peers | wc -l)" = 10000 ] || fail "$(in_a wg show wa peers | wc -l) peers"
grown=$((($(rss_kb "$pid_a") - before) / 10))
note "$grown bytes each, about"
[ "$grown" -le 6000 ] || fail "$grown bytes a peer"
all_answered a 5 0.1 10.9.0.2 || fail "lost packets among 10,000 peers"
in_a wg set wa peer "$(awk '/^PublicKey/ { print $3; exit }' "$WORK/many.conf")" remove
[ "$(in_a wg show wa peers | wc -l)" = 9999 ] || fail "removal"
in_a wg setconf wa <(echo "[Interface]"; echo "PrivateKey = $(cat "$WORK/a.key")"; echo "ListenPort = 1001"
	echo "[Peer]"; echo "PublicKey = $(cat "$WORK/b.pub")"; echo "Endpoint = 192.0.2.2:1002"
	echo "AllowedIPs = 10.9.0.2/32, fd09::2/128")
[ "$(in_a wg show wa peers | wc -l)" = 1 ] || fail "setconf left peers"

note "changes while packets flow"
in_b iperf3 -s >/dev/null &
PIDS+=($!)
wait_for 90 listens b 5201 || fail "iperf3 does not listen"
in_a iperf3 -c 10.9.0.2 --bidir -t 12 -J >"$WORK/iperf.json" &
flow=$!
other=$(wg genkey | wg pubkey)
for ((i = 0; i < 12; i++)); do
	in_a wg set wa peer "$other" allowed-ips 10.77.0.0/16 endpoint 192.0.2.2:9
	in_a ip link set wa mtu $((1280 + i * 10))
	in_b wg set wb listen-port $((1100 + i % 2))
	in_a wg set wa peer "$other" remove
	case $((i % 4)) in
	0) in_a wg set wa peer "$(cat "$WORK/b.pub")" remove
		in_a wg set wa peer "$(cat "$WORK/b.pub")" allowed-ips 10.9.0.2/32,fd09::2/128 \
			endpoint 192.0.2.2:$((1100 + i % 2)) ;;
	1) in_b ip link set wb down
		in_b ip link set wb up ;;
	2) in_a wg set wa fwmark $((i + 1)) ;;
	3) wg genpsk >"$WORK/psk"
		in_a wg set wa peer "$(cat "$WORK/b.pub")" preshared-key "$WORK/psk"
		in_b wg set wb peer "$(cat "$WORK/a.pub")" preshared-key "$WORK/psk" ;;
	esac
	sleep 0.3
done
wait "$flow" || fail "iperf3: $(jq -c .error "$WORK/iperf.json")"
jq -e '.end | .sum_received.bytes > 1e6 and .sum_received_bidir_reverse.bytes > 1e6' "$WORK/iperf.json" >/dev/null ||
	fail "the streams starved: $(jq -c '.end.sum_received, .end.sum_received_bidir_reverse' "$WORK/iperf.json")"
kill -0 "$pid_a" || fail "a died"
wait_for 90 in_a ping -q -c 1 -W 1 10.9.0.2 || fail "no answer afterwards"
all_answered a 50 0.02 10.9.0.2 || fail "lost packets afterwards"

note "the device goes while packets flow"
in_a iperf3 -c 10.9.0.2 -t 3 >/dev/null 2>&1 &
PIDS+=($!)
sleep 0.5
in_a ip link del wa
wait_for 90 eval '! kill -0 "$pid_a" 2>/dev/null' || fail "alive after deletion"
start a warren-wg wa
note "all passed"
