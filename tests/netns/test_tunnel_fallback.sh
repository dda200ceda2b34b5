#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What is missing is done without: a TUN without vnet header (inherited, with the UAPI socket, by
# WG_TUN_FD and WG_UAPI_FD), a wire without checksum offload, segments larger than the path's MTU,
# lost packets; kernels without TUN USO (6.1), TSO, checksums, without UDP GSO, GRO, and GSO that begins to
# answer EIO in the middle of a stream. Bulk in both directions each time, without a broken stream.
. "$(dirname "$0")/../interop/lib_wg.sh"
need iperf3 jq python3

make_hosts
make_keys

iperf_listens() { [[ $(in_b ss -Hltn) == *:5201\ * ]]; }
bulk() { # WHAT MINIMUM-MBIT
	local direction rate server
	for direction in "" -R; do
		in_b iperf3 -s -1 >/dev/null &
		server=$!
		PIDS+=("$server")
		wait_for 60 iperf_listens || fail "iperf3 does not listen"
		# shellcheck disable=SC2086
		in_a iperf3 -c 10.9.0.2 -t ${SECONDS_EACH:-2} -J $direction >"$WORK/iperf.json" || fail "$1: $(jq -c .error "$WORK/iperf.json")"
		wait "$server" || true # the next one wants the port
		rate=$(jq '.end.sum_received.bits_per_second / 1e6 | floor' "$WORK/iperf.json")
		note "$1 $direction $rate Mbit/s"
		[ "$rate" -ge "$2" ] || fail "$1 $direction is too slow"
	done
}

configure() {
	in_a wg set wa listen-port 1001 private-key "$WORK/a.key" peer "$(cat "$WORK/b.pub")" \
		allowed-ips 10.9.0.2/32,fd09::2/128 endpoint 192.0.2.2:1002
	in_b wg set wb listen-port 1002 private-key "$WORK/b.key" peer "$(cat "$WORK/a.pub")" \
		allowed-ips 10.9.0.1/32,fd09::1/128 endpoint 192.0.2.1:1001
	address a wa 1
	address b wb 2
	in_a ping -c 1 -w 60 10.9.0.2 >/dev/null || fail "no answer"
}

# Opens a plain TUN and the socket itself and hands both over.
cat >"$WORK/handover.py" <<'END'
import fcntl, os, socket, struct, sys
name, program = sys.argv[1], sys.argv[2]
tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x0001 | 0x1000))
path = "/var/run/wireguard/%s.sock" % name
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen(8)
os.set_inheritable(tun, True)
os.set_inheritable(listener.fileno(), True)
os.environ.update(WG_TUN_FD=str(tun), WG_UAPI_FD=str(listener.fileno()), WG_PROCESS_FOREGROUND="1")
os.execv(program, [program, name])
END

note "a plain TUN, handed over"
mkdir -p /var/run/wireguard
ip netns exec a python3 "$WORK/handover.py" wa "$WARREN_BIN/warren-wg" &
a=$!
PIDS+=("$a")
wait_for 60 in_a wg show wa || fail "no start with handed-over descriptors"
start b warren-wg wb
configure
bulk "plain TUN" 30
kill "$a"
wait "$a" 2>/dev/null || true
wait_for 60 test ! -e /var/run/wireguard/wa.sock || fail "handed-over socket is left"

start a warren-wg wa
configure
bulk "all offloads" 100

note "the largest super-packets of UDP that a program can send"
cat >"$WORK/trains.py" <<'END'
import socket, sys
family, here, there, most = (socket.AF_INET, "10.9.0.2", "10.9.0.2", 65507) if sys.argv[2] == "4" else (
    socket.AF_INET6, "fd09::2", "fd09::2", 65527)
s = socket.socket(family, socket.SOCK_DGRAM)
if sys.argv[1] == "send":
    s.setsockopt(17, 103, 1364)  # UDP_SEGMENT
    for size in (1365, 65472, most - 1, most):
        s.sendto(bytes(size), (there, 7999))
else:
    s.setsockopt(socket.SOL_SOCKET, 33, 4 << 20)  # SO_RCVBUFFORCE
    s.bind((here, 7999))
    s.settimeout(60)
    print("ready", flush=True)
    want, got = 1365 + 65472 + most - 1 + most, 0
    while got < want:
        got += len(s.recv(2000))
    print("all", flush=True)
END
for family in 4 6; do
	: >"$WORK/trains"
	ip netns exec b python3 "$WORK/trains.py" receive $family >"$WORK/trains" 2>&1 &
	receiver=$!
	wait_for 60 grep -q ready "$WORK/trains" || fail "no receiver"
	in_a python3 "$WORK/trains.py" send $family || fail "UDP_SEGMENT over IPv$family"
	wait $receiver || fail "segments of IPv$family are missing: $(tail -n 1 "$WORK/trains")"
done

note "segments above the path's MTU"
in_a ip link set wa mtu 9000
in_b ip link set wb mtu 9000
bulk "MTU 9000 over 1500" 30
in_a ip link set wa mtu 1420
in_b ip link set wb mtu 1420

note "a wire without checksum offload"
cat >"$WORK/txcsum.py" <<'END'
import array, fcntl, socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
value = array.array("B", struct.pack("II", 0x17, 0))  # ETHTOOL_STXCSUM off
fcntl.ioctl(s, 0x8946, struct.pack("16sP16x", sys.argv[1].encode(), value.buffer_info()[0]))
END
if in_a python3 "$WORK/txcsum.py" wire && in_b python3 "$WORK/txcsum.py" wire; then
	bulk "no checksum offload" 30
fi

stop_both() {
	kill "${LAST_TWO[@]}"
	wait "${LAST_TWO[@]}" 2>/dev/null || true
	wait_for 60 test ! -e /var/run/wireguard/wa.sock || fail "socket of a is left"
	wait_for 60 test ! -e /var/run/wireguard/wb.sock || fail "socket of b is left"
}
counter() { awk -v name="$1" '$1 == name { print $2 }' "$WORK/counters"; }

if [ -x "$WARREN_BIN/../tests/warren-wg-lab" ]; then
	kill "${PIDS[@]}" 2>/dev/null || true
	wait_for 60 test ! -e /var/run/wireguard/wa.sock || fail "socket of a is left"
	wait_for 60 test ! -e /var/run/wireguard/wb.sock || fail "socket of b is left"
	export SECONDS_EACH=1
	for missing in uso uso,tso uso,tso,csum gso gro gso,gro eio; do
		export LAB_WITHOUT=$missing LAB_GSO_EIO=0
		[ "$missing" != eio ] || export LAB_GSO_EIO=200
		LAB_COUNTERS=$WORK/counters start a warren-wg-lab wa
		LAST_TWO=("$LAST_PID")
		start b warren-wg-lab wb
		LAST_TWO+=("$LAST_PID")
		configure
		bulk "without $missing" 30
		if [ "$missing" = uso ]; then # datagrams of one size, which USO would have carried
			in_b iperf3 -s -1 >/dev/null &
			server=$!
			PIDS+=("$server")
			wait_for 60 iperf_listens || fail "iperf3 does not listen"
			in_a iperf3 -c 10.9.0.2 -u -l 1200 -b 20M -k 4000 -J >"$WORK/iperf.json" || fail "UDP"
			wait "$server" || true
			jq -e '.end.sum | .packets > 2000 and .lost_packets < .packets / 2' "$WORK/iperf.json" >/dev/null ||
				fail "UDP: $(jq -c .end.sum "$WORK/iperf.json")"
		fi
		stop_both
		case $missing in
		eio) [ "$(counter gso_lost)" -ge 1 ] || fail "EIO was not met" ;;
		gso*) [ "$(counter tx_messages)" -ge "$(counter tx_packets)" ] || fail "GSO was used" ;;
		uso) [ "$(counter tx_messages)" -lt "$(counter tx_packets)" ] || fail "GSO was not used" ;;
		esac
		[ "$(counter drop_rx_bad_packet)" = 0 ] || fail "packets were damaged"
	done
	unset LAB_WITHOUT LAB_GSO_EIO SECONDS_EACH
	start a warren-wg wa
	start b warren-wg wb
	configure
fi

if command -v nft >/dev/null; then
	note "one packet in a hundred is lost"
	in_b ip link set wire gso_max_segs 1
	in_a ip link set wire gso_max_segs 1
	in_b nft -f - <<-'END' 2>/dev/null && bulk "1 % loss" 5
		table netdev lossy {
			chain in {
				type filter hook ingress device wire priority 0;
				ip protocol udp numgen random mod 100 < 1 drop
			}
		}
	END
fi
note "all passed"
