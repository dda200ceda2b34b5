#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The redirect of design section 8 with real TCP: port 22 of b's overlay address is served on 22022
# in a namespace of its own, with super-packets and offloaded checksums both ways; every other port
# is the host's. The device runs under the system call filter of tunnel/PROTOCOL.md. The same in every
# form of offload that the serving TUN may have, and with the server in the host's stack (the fallback).
#
#   a: wa 10.9.0.1 ==== WireGuard ==== b: wb 10.9.0.2      (host, port 5201)
#                                      s: ssh0 10.9.0.2    (port 22 -> 22022)
. "$(dirname "$0")/../interop/lib_wg.sh"
need iperf3 jq gcc pkg-config socat
LIB=$(dirname "$WARREN_BIN")
SRC=${WARREN_SRC:-$(cd "$(dirname "$0")/../.." && pwd)}
[ -f "$LIB/tunnel/libwarren_tunnel.a" ] || skip "libraries are not built"

mb= # the library may have been built with intel-ipsec-mb
grep -q '^IPSEC_MB_LIBRARY:.*/' "$LIB/CMakeCache.txt" && mb=-lIPSec_MB
# shellcheck disable=SC2046,SC2086
gcc -std=gnu17 -D_GNU_SOURCE -O2 -I"$SRC" -o "$WORK/tunnel_redirect" "$SRC/tests/netns/tunnel_redirect.c" \
	"$LIB/tunnel/libwarren_tunnel.a" "$LIB/platform/libwarren_platform.a" \
	$(pkg-config --libs libsodium libcrypto jansson libuv libnl-3.0 libnl-route-3.0 libseccomp) $mb

make_hosts
make_keys
ip netns add s
trap 'code=$?; set +e; ip netns del s; clean_up; exit $code' EXIT
ip netns exec s ip link set lo up

hex() { base64 -d <"$1" | od -An -v -tx1 | tr -d ' \n'; }
printf 'set=1\nprivate_key=%s\npublic_key=%s\nallowed_ip=10.9.0.1/32\nallowed_ip=fd09::1/128\nendpoint=192.0.2.1:1001\n' \
	"$(hex "$WORK/b.key")" "$(hex "$WORK/a.pub")" >"$WORK/b.uapi"
start_device() {
	ip netns exec b "$WORK/tunnel_redirect" wb s 1002 <"$WORK/b.uapi" 2>"$WORK/redirect.log" &
	device=$!
	PIDS+=("$device")
	wait_for 60 in_b ip link show wb || { cat "$WORK/redirect.log"; fail "no device"; }
	wait_for 60 ip netns exec s ip link show ssh0 || fail "no second TUN"
	address b wb 2
	ip netns exec s ip addr add 10.9.0.2/32 dev ssh0
	ip netns exec s ip addr add fd09::2/128 dev ssh0 nodad
	ip netns exec s ip link set ssh0 mtu 1420 up
	ip netns exec s ip route add default dev ssh0
	ip netns exec s ip -6 route add default dev ssh0
}
start_device
start a warren-wg wa
in_a wg set wa listen-port 1001 private-key "$WORK/a.key" peer "$(cat "$WORK/b.pub")" \
	allowed-ips 10.9.0.2/32,fd09::2/128 endpoint 192.0.2.2:1002
address a wa 1

in_a ping -c 1 -w 60 10.9.0.2 >/dev/null || fail "no answer"

listens() { # NAMESPACE PORT: waits until somebody does
	wait_for 60 eval "[[ \$(ip netns exec $1 ss -Hltn) == *:$2\\ * ]]" || fail "nobody listens on $2 in $1"
}
bulk() { # NAMESPACE SERVER-PORT CLIENT-PORT ADDRESS [-R]
	local server
	ip netns exec "$1" iperf3 -s -1 -p "$2" >/dev/null &
	server=$!
	PIDS+=("$server")
	listens "$1" "$2"
	in_a iperf3 -c "$4" -p "$3" -t "${SECONDS_EACH:-2}" -J "${@:5}" >"$WORK/iperf.json" || fail "$*: $(jq -c .error "$WORK/iperf.json")"
	wait "$server" || true # the next one wants the port
	note "$* $(jq '.end.sum_received.bits_per_second / 1e6 | floor' "$WORK/iperf.json") Mbit/s"
}
bulk s 22022 22 10.9.0.2
bulk s 22022 22 10.9.0.2 -R
bulk s 22022 22 fd09::2
bulk s 22022 22 fd09::2 -R
bulk b 5201 5201 10.9.0.2

head -c 10000000 /dev/urandom >"$WORK/data"
bytes_arrive() { # NAMESPACE FAMILY ADDRESS: both ways
	local server
	rm -f "$WORK/copy"
	ip netns exec "$1" socat -u "TCP$2-LISTEN:22022,reuseaddr" CREATE:"$WORK/copy" &
	server=$!
	PIDS+=("$server")
	listens "$1" 22022
	in_a socat -u FILE:"$WORK/data" "TCP$2:$3:22"
	wait "$server"
	cmp "$WORK/data" "$WORK/copy" || fail "changed on the way"
	rm "$WORK/copy"
	ip netns exec "$1" socat -U "TCP$2-LISTEN:22022,reuseaddr" FILE:"$WORK/data" &
	server=$!
	PIDS+=("$server")
	listens "$1" 22022
	in_a socat -U CREATE:"$WORK/copy" "TCP$2:$3:22"
	wait "$server"
	cmp "$WORK/data" "$WORK/copy" || fail "changed on the way back"
}
note "bytes arrive as they were sent"
bytes_arrive s 4 10.9.0.2
bytes_arrive s 6 "[fd09::2]"

note "port 22 of the host is not reached"
in_b socat TCP4-LISTEN:22,reuseaddr,fork EXEC:"echo host" 2>/dev/null &
PIDS+=($!)
listens b 22
[[ $(in_a timeout 2 socat -T 1 - TCP4:10.9.0.2:22 </dev/null 2>/dev/null || true) != *host* ]] || fail "the host answered on 22"
kill -0 "$device" || { cat "$WORK/redirect.log"; fail "the device died"; }

export SECONDS_EACH=1
for where in second host; do
	unset REDIRECT_HOST
	server=s
	[ $where = second ] || { export REDIRECT_HOST=1; server=b; }
	for form in full csum none plain; do
		[ $where-$form != second-full ] || continue
		kill "$device"
		wait "$device" 2>/dev/null || true
		wait_for 60 eval '! in_b ip link show wb' || fail "wb is left"
		wait_for 60 eval '! ip netns exec s ip link show ssh0' || fail "ssh0 is left"
		note "the $where TUN serves, offloads: $form"
		REDIRECT_FORM=$form start_device
		in_b ping -q -c 1 -w 60 10.9.0.1 >/dev/null || fail "no answer" # b has no session, so it begins
		bulk $server 22022 22 10.9.0.2
		bulk $server 22022 22 10.9.0.2 -R
		bytes_arrive $server 4 10.9.0.2
		bytes_arrive $server 6 "[fd09::2]"
		# Bad checksums would have been repaired by repeating; they are counted.
		for host in a $server; do
			bad=$(ip netns exec $host awk '$1 == "Tcp:" && $2 ~ /^[0-9]/ { print $NF }' /proc/net/snmp)
			[ "$bad" = 0 ] || fail "$bad bad checksums in $host"
		done
	done
done
note "all passed"
