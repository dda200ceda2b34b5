#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# warren-wg with two shards, against wireguard-go and against itself with two shards and with one:
# bytes arrive as they were sent on both shards at once, while sessions are renewed, peers come and
# go, endpoints and ports change, and somebody asks for the state all the time. Without BPF there is
# one shard. SHARDS_QUICK=1: less data (for builds with a sanitizer).
#
#   b (wireguard-go) ------ \
#   c (warren-wg, 2) ------- a (warren-wg, 2 shards: b and d on one, c on the other)
#   d (warren-wg, 1) ------ /
. "$(dirname "$0")/lib_wg.sh"
need wireguard-go socat iperf3 jq
BYTES=60000000
[ -n "${SHARDS_QUICK:-}" ] && BYTES=8000000

make_hosts
more_hosts() {
	local h n=3
	for h in c d; do
		ip netns add $h
		ip -n $h link set lo up
		ip link add wire-$h netns a type veth peer name wire netns $h
		ip -n a addr add 192.0.$n.1/24 dev wire-$h
		ip -n $h addr add 192.0.$n.2/24 dev wire
		ip -n a link set wire-$h up
		ip -n $h link set wire up
		n=$((n + 1))
	done
}
more_hosts
trap 'code=$?; set +e; clean_up; ip netns del c; ip netns del d; exit $code' EXIT
umask 077
for h in a b c d x y; do
	wg genkey >"$WORK/$h.key"
	wg pubkey <"$WORK/$h.key" >"$WORK/$h.pub"
done
pub() { cat "$WORK/$1.pub"; }
on() { ip netns exec "$@"; }

with_shards() { # N HOST INTERFACE
	WARREN_WG_SHARDS=$1 LEVEL=info start "$2" warren-wg "$3"
}
with_shards 2 a wa
A=$LAST_PID
start b wireguard-go wb
with_shards 2 c wc
with_shards 1 d wd
[ "$(ls /proc/"$A"/task | wc -l)" -ge 3 ] || fail "a has no two shards: $(cat "$WORK/wa.log")"

in_a wg set wa listen-port 1001 private-key "$WORK/a.key"
n=2
for h in b c d; do
	in_a wg set wa peer "$(pub $h)" allowed-ips 10.9.0.$n/32,fd09::$n/128
	on $h wg set w$h private-key "$WORK/$h.key" peer "$(pub a)" \
		allowed-ips 10.9.0.1/32,fd09::1/128 endpoint 192.0.$n.1:1001
	address $h w$h $n
	n=$((n + 1))
done
address a wa 1
for h in b c d; do
	on $h ping -c 2 -i 0.2 -W 60 10.9.0.1 >/dev/null || fail "no answer to $h"
	on $h ping -c 1 -W 60 fd09::1 >/dev/null || fail "no answer to $h over IPv6"
done
in_a ip -d link show wa | grep -q multi_queue || fail "one queue only"
[ "$(in_a ss -Hlnu4 'sport = :1001' | wc -l)" = 2 ] || fail "one socket only"

note "the port is taken for another device, shards or not"
with_shards 2 a wx
in_a wg set wx private-key "$WORK/x.key"
in_a ip link set wx up
! in_a wg set wx listen-port 1001 2>/dev/null || fail "two devices on one port"
rm /var/run/wireguard/wx.sock

# A stream in each direction between a and HOST, compared byte by byte.
head -c $BYTES /dev/urandom >"$WORK/blob"
up() { # HOST PORT
	in_a socat -u TCP6-LISTEN:$2,reuseaddr,ipv6only=0 CREATE:"$WORK/up-$1" &
	local sink=$!
	wait_for 90 listens a $2
	on "$1" timeout 240 socat -u FILE:"$WORK/blob" TCP:10.9.0.1:$2 || return 1
	wait $sink
	cmp "$WORK/blob" "$WORK/up-$1"
}
down() { # HOST PORT NUMBER
	on "$1" socat -u TCP6-LISTEN:$2,reuseaddr,ipv6only=0 CREATE:"$WORK/down-$1" &
	local sink=$!
	wait_for 90 listens "$1" $2
	in_a timeout 240 socat -u FILE:"$WORK/blob" "TCP6:[fd09::$3]:$2" || return 1
	wait $sink
	cmp "$WORK/blob" "$WORK/down-$1"
}
JOBS=()
streams() {
	local n=2 h
	JOBS=()
	rm -f "$WORK"/up-? "$WORK"/down-?
	for h in b c d; do
		up $h 700$n &
		JOBS+=($!)
		down $h 710$n $n &
		JOBS+=($!)
		n=$((n + 1))
	done
}
finish() {
	local job
	for job in "${JOBS[@]}"; do wait "$job" || fail "$1: a stream broke or changed"; done
	kill -0 "$A" 2>/dev/null || fail "$1: a ended: $(cat "$WORK/wa.log")"
}
busy() { # CPU ticks of a's threads, control first
	local task
	for task in $(ls /proc/"$A"/task | sort -n); do
		awk '{ printf "%d ", $14 + $15 }' /proc/"$A"/task/"$task"/stat
	done
}

note "six streams at once; state asked for, peers come and go"
before=$(busy)
streams
for i in $(seq 1 25); do
	key=$(wg genkey | wg pubkey)
	in_a wg set wa peer "$key" allowed-ips 10.10.$i.0/24,fd0a:$i::/32 endpoint 192.0.2.2:9 persistent-keepalive 1
	in_a wg show wa dump >/dev/null
	[ $((i % 2)) = 0 ] || in_a wg set wa peer "$key" remove
done
finish "churn"
after=$(busy)
echo "CPU ticks of a's threads: $before-> $after"
if [ -z "${SHARDS_QUICK:-}" ]; then
	# The threads are two shards somewhere behind control (and a sanitizer's own).
	awk -v b="$before" -v a="$after" 'BEGIN { split(b, x); n = split(a, y)
		for (i = 2; i <= n; i++) if (y[i] - x[i] > 3) k++; exit !(k == 2) }' || fail "one shard did everything"
fi
in_a wg show wa dump | awk 'NR > 1 && $6 > 1000000 && $7 > 1000000 { n++ } END { exit n != 3 }' ||
	fail "byte counts: $(in_a wg show wa dump)"

note "sessions renewed, endpoints and ports moved under streams"
streams
# Connected (the file is made then): an address without a peer is "no route to host" for those who connect
wait_for 90 eval '[ "$(find "$WORK" -name "up-?" -o -name "down-?" | wc -l)" = 6 ]' || fail "not connected"
for i in 1 2 3; do
	for h in b c d; do
		n=$(on $h wg show w$h endpoints | awk '{ print $2 }')
		on $h wg set w$h peer "$(pub a)" remove
		on $h wg set w$h peer "$(pub a)" allowed-ips 10.9.0.1/32,fd09::1/128 endpoint "$n"
		on $h wg set w$h listen-port $((2000 + i * 10))
	done
	sleep 0.2
done
in_a wg set wa peer "$(pub b)" remove
in_a wg set wa peer "$(pub b)" allowed-ips 10.9.0.2/32,fd09::2/128 endpoint 192.0.2.2:2030
in_a wg set wa listen-port 1002
in_a wg set wa fwmark 7
for h in b c d; do
	on $h ip link set w$h mtu 1300
	on $h wg set w$h peer "$(pub a)" endpoint "$(on $h wg show w$h endpoints | awk '{ sub(/:[0-9]*$/, ":1002", $2); print $2 }')"
done
# Who is made anew starts anew; the other side would find out after 15 s.
in_a ping -c 1 -W 2 10.9.0.2 >/dev/null || true
for h in b c d; do on $h ping -c 1 -W 2 10.9.0.1 >/dev/null || true; done
finish "moves"
[ "$(in_a ss -Hlnu4 'sport = :1002' | wc -l)" = 2 ] || fail "the new port has one socket only"
[ "$(in_a ss -Hlnu4 'sport = :1001' | wc -l)" = 0 ] || fail "the old port is still there"

# Who was made anew and has sent nothing yet has no session.
for h in b c d; do on $h ping -c 3 -W 60 10.9.0.1 >/dev/null || fail "no answer to $h after the moves"; done

note "an address moves from a peer on one shard to one on the other"
in_a ip addr add 10.9.7.1/24 dev wa
on b ip addr add 10.9.7.7/32 dev wb
on c ip addr add 10.9.7.7/32 dev wc
for h in b c b; do
	on $h ip route replace 10.9.7.1 dev w$h src 10.9.7.7
	on $h wg set w$h peer "$(pub a)" allowed-ips 10.9.0.1/32,fd09::1/128,10.9.7.1/32
	in_a wg set wa peer "$(pub $h)" allowed-ips "+10.9.7.7/32" 2>/dev/null ||
		in_a wg set wa peer "$(pub $h)" allowed-ips "10.9.0.$([ $h = b ] && echo 2 || echo 3)/32,fd09::$([ $h = b ] && echo 2 || echo 3)/128,10.9.7.7/32"
	in_a ping -c 2 -i 0.2 -W 60 -I 10.9.7.1 10.9.7.7 >/dev/null || fail "no answer from 10.9.7.7 on $h"
done

note "datagrams on both shards at once"
for h in b c; do
	on $h iperf3 -s -1 >/dev/null &
	PIDS+=($!)
	wait_for 90 listens $h 5201 || fail "iperf3 does not listen"
done
n=2
JOBS=()
for h in b c; do
	in_a iperf3 -u -b 20M -l 1000 -c 10.9.0.$n -t 2 -J >"$WORK/udp-$h.json" &
	JOBS+=($!)
	n=$((n + 1))
done
finish "datagrams"
for h in b c; do
	# How many a busy iperf3 loses is its own affair.
	jq -e '.end.sum | .packets - .lost_packets > 100' "$WORK/udp-$h.json" >/dev/null ||
		fail "datagrams to $h: $(jq -c .end.sum "$WORK/udp-$h.json")"
done
JOBS=()
for n in 2 3; do
	all_answered a 1500 0 10.9.0.$n &
	JOBS+=($!)
done
finish "packets on both shards"

note "down and up, and a peer of each shard removed"
in_a ip link set wa down
in_a ip link set wa up
for n in 2 3 4; do in_a ping -c 2 -i 0.2 -W 60 10.9.0.$n >/dev/null || fail "10.9.0.$n after down and up"; done
in_a wg set wa peer "$(pub b)" remove peer "$(pub c)" remove
! in_a ping -c 1 -W 1 10.9.0.2 >/dev/null || fail "a removed peer answers"
in_a ping -c 1 -W 60 10.9.0.4 >/dev/null || fail "the peer that stayed does not answer"

if command -v setpriv >/dev/null && [ -z "${SHARDS_QUICK:-}" ]; then
	note "without the right to load BPF: one shard, and it works"
	rm /var/run/wireguard/wa.sock
	wait "$A" || fail "a did not end well"
	WARREN_WG_SHARDS=2 in_a env -u LOG_LEVEL setpriv --bounding-set -bpf,-sys_admin \
		--inh-caps -bpf,-sys_admin "$WARREN_BIN/warren-wg" -f wa >"$WORK/one.log" 2>&1 &
	PIDS+=($!)
	A=$!
	wait_for 90 in_a wg show wa || fail "did not start: $(cat "$WORK/one.log")"
	# By default a warning is said, and nothing else.
	wait_for 90 grep -q 'one shard only' "$WORK/one.log" || fail "no word of it: $(cat "$WORK/one.log")"
	[ "$(wc -l <"$WORK/one.log")" = 1 ] || fail "more than a warning: $(cat "$WORK/one.log")"
	in_a wg set wa listen-port 1002 private-key "$WORK/a.key" peer "$(pub d)" allowed-ips 10.9.0.4/32 \
		endpoint 192.0.4.2:2030
	address a wa 1
	in_a ping -c 2 -i 0.2 -W 60 10.9.0.4 >/dev/null || fail "one shard does not answer"
fi
rm -f /var/run/wireguard/wa.sock
wait "$A" || fail "a did not end well: $(cat "$WORK/wa.log")"
! grep -l 'ThreadSanitizer' "$WORK"/*.log || fail "a data race: $(grep -h -A 30 'ThreadSanitizer' "$WORK"/*.log | head -60)"
note "all passed"
