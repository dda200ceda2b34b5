#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# warren-wg against the kernel's WireGuard, which runs in a guest of its own (tests/support/kernel_guest.sh
# makes it, outside of the box): both initiator roles, with and without PSK, IPv4 and IPv6 outside and
# inside, bytes both ways, sizes and fragments, renewed sessions, counters near their end, ports that
# move, ECN, outer headers, cookies both ways.
#
#   a: warren-wg wa 10.9.0.1 ---- TAP ---- guest: wg0 10.9.0.2
#      192.0.2.1, 2001:db8::1              192.0.2.2, 2001:db8::2
. "$(dirname "$0")/lib_wg.sh"
GUEST=$WARREN_SRC/build/guest
[ -s "$GUEST/initrd" ] || skip "there is no guest with the kernel's WireGuard (tests/support/kernel_guest.sh)"
need qemu-system-x86_64 socat tcpdump python3

ip netns add a
in_a ip link set lo up
in_a ip tuntap add dev wire mode tap vnet_hdr
in_a sysctl -qw net.ipv6.conf.wire.accept_dad=0
in_a ip addr add 192.0.2.1/24 dev wire
in_a ip addr add 2001:db8::1/64 dev wire nodad
in_a ip link set wire up
make_keys

note "the guest boots"
mkfifo "$WORK/to" "$WORK/from"
# The emulator: good enough, and the same everywhere (KVM inside of a guest often half works).
ip netns exec a qemu-system-x86_64 -M q35 -accel tcg -cpu max -smp 1 -m 160 -nodefaults -display none -no-reboot \
	-kernel "$GUEST/vmlinuz" -initrd "$GUEST/initrd" -append "console=ttyS0 quiet loglevel=1 panic=-1" \
	-serial stdio -netdev tap,id=n,ifname=wire,script=no,downscript=no \
	-device virtio-net-pci,netdev=n,romfile= <"$WORK/to" >"$WORK/from" 2>"$WORK/qemu.log" &
QEMU=$!
disown "$QEMU" # its end is no news
PIDS+=("$QEMU")
exec 7>"$WORK/to" 8<"$WORK/from"
trap 'code=$?; set +e; exec 7>&-; kill -9 $QEMU 2>/dev/null; clean_up; exit $code' EXIT

answer() { # SECONDS: what the guest says until its end of a command, whose status this returns
	local line
	while IFS= read -r -t "$1" line <&8; do
		line=${line%$'\r'}
		case $line in
		"@@ "*) return "${line#@@ }" ;;
		*) printf '%s\n' "$line" ;;
		esac
	done
	echo "the guest says nothing: $(tail -n 3 "$WORK/qemu.log")"
	return 99
}
guest() { # COMMAND LINE of the guest's shell
	printf '%s\n' "$*" >&7
	answer 120
}
answer 240 >"$WORK/boot" || skip "the guest does not boot here: $(tail -n 5 "$WORK/boot")"
guest 'for f in /proc/sys/net/ipv6/conf/*/accept_dad; do echo 0 >$f; done' >/dev/null
guest 'ip link set eth0 up; ip addr add 192.0.2.2/24 dev eth0; ip addr add 2001:db8::2/64 dev eth0; uname -r'
for f in a.pub b.key psk; do guest "echo $(cat "$WORK/$f") >$f" >/dev/null; done

OURS="$(cat "$WORK/a.pub")" KERNELS="$(cat "$WORK/b.pub")"
fresh() { # PROGRAM PSK|- : both sides anew, nobody with an endpoint
	guest "ip link del wg0 2>/dev/null; ip link add wg0 type wireguard" >/dev/null || fail "no wg0 in the guest"
	guest "wg set wg0 listen-port 1002 private-key b.key peer $OURS allowed-ips 10.9.0.1/32,fd09::1/128 $([ "$2" = - ] || echo preshared-key psk)" || fail "wg in the guest"
	guest "ip addr add 10.9.0.2/24 dev wg0; ip addr add fd09::2/64 dev wg0; ip link set wg0 mtu 1420 up" || fail "wg0"
	start a "$1" wa
	OUR_PID=$LAST_PID
	in_a wg set wa listen-port 1001 private-key "$WORK/a.key" peer "$KERNELS" allowed-ips 10.9.0.2/32,fd09::2/128
	[ "$2" = - ] || in_a wg set wa peer "$KERNELS" preshared-key "$WORK/psk"
	address a wa 1
}
stop_ours() {
	kill "$OUR_PID"
	wait "$OUR_PID" 2>/dev/null || true
	wait_for 90 test ! -e /var/run/wireguard/wa.sock || fail "our socket is left"
}
pings() { all_answered a "$@"; } # COUNT INTERVAL ADDRESS
guest_pings() { guest "ping -q -c $1 -W 60 $2 | grep -q ' 0% packet loss'"; }
kernels_view() { guest "wg show wg0 endpoints" | cut -f 2; }

head -c 3000000 /dev/urandom >"$WORK/blob"
SUM=$(md5sum <"$WORK/blob" | cut -d ' ' -f 1)
guest_listens() { # PORT: its command line that waits for it
	printf 'until cat /proc/net/tcp /proc/net/tcp6 | grep -q ":%04X .* 0A "; do sleep 0.1; done' "$1"
}
bytes() { # ADDRESS-OF-GUEST: there and back
	guest "(nc -l -p 7001 >blob) & $(guest_listens 7001)" >/dev/null
	in_a timeout 240 socat -u FILE:"$WORK/blob" "TCP:$1:7001" || fail "no stream to $1"
	guest "wait; md5sum <blob" | grep -q "$SUM" || fail "bytes to $1 differ"
	guest "(nc -l -p 7002 <blob) & $(guest_listens 7002)" >/dev/null
	in_a timeout 240 socat -u "TCP:$1:7002" CREATE:"$WORK/back" || fail "no stream from $1"
	cmp "$WORK/blob" "$WORK/back" || fail "bytes from $1 differ"
	rm "$WORK/back"
	guest "wait" >/dev/null
}

note "we begin, over IPv4"
fresh warren-wg -
in_a wg set wa peer "$KERNELS" endpoint 192.0.2.2:1002
ip netns exec a tcpdump -Z root -i wire -n -U -s 200 -c 3000 -w "$WORK/headers" --immediate-mode udp 2>/dev/null &
DUMP=$!
PIDS+=("$DUMP")
wait_for 90 test -s "$WORK/headers" || fail "tcpdump does not begin"
in_a ping -q -c 3 -i 0.2 -W 60 10.9.0.2 >/dev/null || fail "no answer over IPv4"
pings 2 0.2 fd09::2 || fail "no answer over IPv6"
[ "$(kernels_view)" = 192.0.2.1:1001 ] || fail "the kernel did not learn our endpoint: $(kernels_view)"
bytes 10.9.0.2
bytes "[fd09::2]"
note "sizes, and fragments"
for size in 0 1 15 16 17 1391 1392; do
	in_a ping -q -c 1 -W 60 -M do -s "$size" 10.9.0.2 >/dev/null || fail "ping -s $size"
done
in_a ping -q -c 1 -W 60 -s 8000 10.9.0.2 >/dev/null || fail "fragments"
in_a ping -q -c 1 -W 60 -s 8000 fd09::2 >/dev/null || fail "fragments over IPv6"

note "our port moves, then the kernel's, then our address"
in_a wg set wa listen-port 1011
pings 3 0.2 10.9.0.2 || fail "packets lost with our port"
[ "$(kernels_view)" = 192.0.2.1:1011 ] || fail "the kernel did not follow: $(kernels_view)"
guest "wg set wg0 listen-port 1012"
guest_pings 2 10.9.0.1 || fail "no answer from the kernel's new port"
[ "$(in_a wg show wa endpoints | cut -f 2)" = 192.0.2.2:1012 ] || fail "we did not follow the kernel"
in_a ip addr add 192.0.2.61/24 dev wire
in_a ip addr del 192.0.2.1/24 dev wire
in_a ip addr add 192.0.2.61/24 dev wire 2>/dev/null || true
pings 3 0.2 10.9.0.2 || fail "packets lost with our address"
[ "$(kernels_view)" = 192.0.2.61:1011 ] || fail "the kernel did not follow our address: $(kernels_view)"
in_a ip addr add 192.0.2.1/24 dev wire
kill "$DUMP" 2>/dev/null || true
wait "$DUMP" 2>/dev/null || true

note "outer headers are the kernel's: DSCP, TTL, fragmentation"
heads() { # ADDRESS: of its handshake messages and of its data
	{ tcpdump -Z root -n -v -r "$WORK/headers" "src $1 and udp[8] = $2" 2>/dev/null || true; } |
		sed -n 's/.*(\(tos [^,]*\), \(ttl [^,]*\), id .*flags \(\[[^]]*\]\).*/\1 \2 \3/p' | sort -u
}
for type in 1 4; do
	ours=$(heads 192.0.2.1 $type)
	[ -n "$ours" ] || fail "no messages of type $type"
	echo "type $type: $ours"
done
[ "$(heads 192.0.2.1 4)" = "$(heads 192.0.2.2 4)" ] || fail "data: ours $(heads 192.0.2.1 4), the kernel's $(heads 192.0.2.2 4)"
stop_ours

note "the kernel begins, over IPv6, with a preshared key"
fresh warren-wg psk
guest "wg set wg0 peer $OURS endpoint [2001:db8::1]:1001 persistent-keepalive 1"
guest_pings 2 10.9.0.1 || fail "no answer to the kernel"
guest "ping -q -c 2 fd09::1 >/dev/null" || fail "no answer to the kernel over IPv6"
[ "$(in_a wg show wa endpoints | cut -f 2)" = "[2001:db8::2]:1002" ] || fail "we did not learn the kernel's endpoint"
bytes 10.9.0.2
in_a wg show wa transfer | awk '{ exit !($2 > 3000000 && $3 > 3000000) }' || fail "byte counts: $(in_a wg show wa transfer)"
note "another session while one is there, begun by the kernel"
before=$(in_a wg show wa latest-handshakes | cut -f 2)
sleep 1
guest "wg set wg0 peer $OURS remove peer $OURS preshared-key psk allowed-ips 10.9.0.1/32,fd09::1/128 endpoint 192.0.2.1:1001" || fail "wg"
guest_pings 2 10.9.0.1 || fail "no answer after a new start"
[ "$(in_a wg show wa latest-handshakes | cut -f 2)" -gt "$before" ] || fail "no new session"
pings 3 0.1 10.9.0.2 || fail "packets lost in the new session"
note "a wrong preshared key is no session"
wg genpsk >"$WORK/other"
in_a wg set wa peer "$KERNELS" remove
in_a wg set wa peer "$KERNELS" preshared-key "$WORK/other" allowed-ips 10.9.0.2/32 endpoint 192.0.2.2:1002
! in_a ping -q -c 1 -W 2 10.9.0.2 >/dev/null || fail "an answer with a wrong preshared key"
stop_ours

if [ -x "$WARREN_BIN/../tests/warren-wg-lab" ]; then
	renewed() { # WHAT LEAST-HANDSHAKES COUNT INTERVAL
		export LAB_COUNTERS=$WORK/counters LAB_CLOCK=$WORK/clock
		printf '\0\0\0\0\0\1\0\0' >"$LAB_CLOCK" # some time
		fresh warren-wg-lab psk
		in_a wg set wa peer "$KERNELS" endpoint 192.0.2.2:1002
		pings 1 0 10.9.0.2 || fail "no answer"
		all_answered a "$3" "$4" 10.9.0.2 "$LAB_CLOCK" 60 || fail "$1: lost packets"
		stop_ours
		unset LAB_COUNTERS LAB_CLOCK
		handshakes=$(awk '$1 == "handshakes" { print $2 }' "$WORK/counters")
		[ "$handshakes" -ge "$2" ] || fail "$1: only $handshakes handshakes"
		for reason in drop_rx_bad_packet drop_rx_replay drop_tx_given_up drop_tx_socket; do
			grep -q "^$reason 0$" "$WORK/counters" || fail "$1: $(grep "^$reason" "$WORK/counters")"
		done
		echo "$handshakes sessions, none of $3 packets lost"
	}
	note "sessions renewed: our clock runs 60 times as fast (while packets are answered)"
	renewed "rekey" 2 200 0.02
	note "sessions that begin 20 messages before their counter's end"
	LAB_MESSAGES=20 renewed "counters" 8 300 0.01
fi

flood() { # ADDRESS PORT KEY PER-SECOND: until it is killed; returns under load
	ip netns exec a python3 "$WARREN_SRC/tests/support/wg_flood.py" "$1" "$2" "$3" 400 "$4" &
	FLOOD=$!
	PIDS+=("$FLOOD")
	wait_for 90 eval '[ "$(cookies "'"$1"'")" -gt 100 ]' || fail "$1 is not under load"
}
# Cookie replies (64 bytes of type 3) from SOURCE, and initiations to it with a mac2.
cookies() { { tcpdump -Z root -n -r "$WORK/cookies" "src $1 and udp[8] = 3 and udp[4:2] = 72" 2>/dev/null || true; } | grep -c . || true; }
proven() { { tcpdump -Z root -n -r "$WORK/cookies" "dst $1 and udp[8] = 1 and udp[4:2] = 156" 2>/dev/null || true; } | grep -c . || true; }
watch_wire() {
	rm -f "$WORK/cookies"
	ip netns exec a tcpdump -Z root -i any -n -U -s 200 -w "$WORK/cookies" --immediate-mode \
		"udp[8] = 3 or (udp[8] = 1 and udp[140:4] != 0)" 2>/dev/null &
	DUMP=$!
	PIDS+=("$DUMP")
	wait_for 90 test -s "$WORK/cookies" || fail "tcpdump does not begin"
}

note "cookies: the kernel is under load, and we prove our address"
fresh warren-wg psk
watch_wire
flood 192.0.2.2 1002 "$KERNELS" 4000
for _ in {1..10}; do # it may just have a moment without load
	in_a wg set wa peer "$KERNELS" remove
	in_a wg set wa peer "$KERNELS" preshared-key "$WORK/psk" allowed-ips 10.9.0.2/32 endpoint 192.0.2.2:1002
	wait_for 90 in_a ping -q -c 1 -W 1 10.9.0.2 || fail "no session with a kernel under load"
	[ "$(proven 192.0.2.2)" = 0 ] || break
done
kill "$FLOOD" "$DUMP" 2>/dev/null || true
wait "$FLOOD" "$DUMP" 2>/dev/null || true
echo "$(cookies 192.0.2.2) cookie replies of the kernel, $(proven 192.0.2.2) initiations of ours with a mac2"
[ "$(proven 192.0.2.2)" -gt 0 ] || fail "we did not use the kernel's cookie"
stop_ours

note "cookies: we are under load, and the kernel proves its address"
fresh warren-wg psk
watch_wire
flood 192.0.2.1 1001 "$OURS" 15000
for _ in {1..10}; do
	guest "wg set wg0 peer $OURS remove peer $OURS preshared-key psk allowed-ips 10.9.0.1/32 endpoint 192.0.2.1:1001" || fail "wg"
	wait_for 90 guest_pings 1 10.9.0.1 || fail "the kernel got no session while we are under load"
	[ "$(proven 192.0.2.1)" = 0 ] || break
done
kill "$FLOOD" "$DUMP" 2>/dev/null || true
wait "$FLOOD" "$DUMP" 2>/dev/null || true
echo "$(proven 192.0.2.1) initiations of the kernel with a mac2"
[ "$(proven 192.0.2.1)" -gt 0 ] || fail "the kernel did not use our cookie"
stop_ours
note "all passed"
