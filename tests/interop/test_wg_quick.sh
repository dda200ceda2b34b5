#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Two warren-wg brought up by stock wg-quick: addresses, routes and MTU are its, traffic both ways,
# save and reload, and nothing left after down.
. "$(dirname "$0")/lib_wg.sh"
need wg-quick iperf3 jq

make_hosts
make_keys
export WG_QUICK_USERSPACE_IMPLEMENTATION=warren-wg

config() { # HOST PEER NUMBER PORT
	cat >"$WORK/q$1.conf" <<-END
		[Interface]
		PrivateKey = $(cat "$WORK/$1.key")
		ListenPort = $4
		Address = 10.9.0.$3/24, fd09::$3/64
		MTU = 1400
		[Peer]
		PublicKey = $(cat "$WORK/$2.pub")
		PresharedKey = $(cat "$WORK/psk")
		AllowedIPs = 10.9.0.$((3 - $3))/32, fd09::$((3 - $3))/128, 10.77.$3.0/24
		Endpoint = 192.0.2.$((3 - $3)):$((3003 - $3))
		PersistentKeepalive = 25
	END
}

# wg-quick prefers the kernel's module where there is one; here there is none, or we hide it.
config a b 1 3001
config b a 2 3002
in_a wg-quick up "$WORK/qa.conf" >"$WORK/up.log" 2>&1 || { cat "$WORK/up.log"; fail "wg-quick up"; }
in_b wg-quick up "$WORK/qb.conf" >>"$WORK/up.log" 2>&1 || { cat "$WORK/up.log"; fail "wg-quick up"; }
grep -q "warren-wg" "$WORK/up.log" || skip "this kernel has WireGuard of its own"

in_a ping -c 3 -i 0.2 -W 60 10.9.0.2 >/dev/null || fail "no answer over IPv4"
in_b ping -c 3 -i 0.2 -W 60 fd09::1 >/dev/null || fail "no answer over IPv6"
in_a ip route get 10.77.1.9 | grep -q "dev qa" || fail "no route for allowed IPs"
in_a wg show qa dump | awk 'NR == 2 && $8 == 25 { ok = 1 } END { exit !ok }' || fail "keepalive is not 25"
[ "$(in_a wg show qa listen-port)" = 3001 ] || fail "listen port"
[ "$(in_a wg show qa fwmark)" = off ] || fail "fwmark"

for direction in "" -R; do
	serve_iperf3 b -B 10.9.0.2
	# shellcheck disable=SC2086
	in_a timeout 120 iperf3 -c 10.9.0.2 -t 2 -J $direction >"$WORK/iperf.json" || fail "iperf3"
	note "iperf3 $direction $(jq '.end.sum_received.bits_per_second / 1e6 | floor' "$WORK/iperf.json") Mbit/s"
done

note "save and syncconf"
in_a wg-quick save "$WORK/qa.conf" >/dev/null 2>&1
grep -q "ListenPort = 3001" "$WORK/qa.conf" || fail "save"
in_a wg syncconf qa <(wg-quick strip "$WORK/qa.conf")
in_a ping -c 1 -W 60 10.9.0.2 >/dev/null || fail "no answer after syncconf"

note "down"
in_a wg-quick down "$WORK/qa.conf" >/dev/null 2>&1 || fail "wg-quick down"
in_b wg-quick down "$WORK/qb.conf" >/dev/null 2>&1 || fail "wg-quick down"
wait_for 90 test ! -e /var/run/wireguard/qa.sock || fail "socket is left"
wait_for 90 test ! -e /var/run/wireguard/qb.sock || fail "socket is left"
! in_a ip link show qa >/dev/null 2>&1 || fail "interface is left"
wait_for 90 eval '! pgrep -x warren-wg' || fail "a process is left"

note "the same name at once"
for _ in 1 2 3; do
	in_a wg-quick up "$WORK/qa.conf" >/dev/null 2>&1 || fail "up again"
	in_a wg-quick down "$WORK/qa.conf" >/dev/null 2>&1 || fail "down again"
done
note "all passed"
