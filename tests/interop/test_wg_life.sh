#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# How a warren-wg begins and ends: background start, environment, a name that is taken, removal of
# the socket, deletion of the link, signals, SIGKILL and a fresh start; ports, marks, MTU; set errors.
. "$(dirname "$0")/lib_wg.sh"

make_hosts
make_keys
SOCK=/var/run/wireguard

note "background start: ready when the parent returns"
in_a warren-wg w0
[ -S $SOCK/w0.sock ] || fail "no socket"
[ "$(stat -c %a $SOCK/w0.sock)" = 600 ] || fail "mode of the socket"
in_a ip link show w0 >/dev/null || fail "no interface"
in_a wg show w0 >/dev/null || fail "wg show"
[ "$(in_a cat /sys/class/net/w0/mtu)" = 1420 ] || fail "MTU"
pid=$(pgrep -x warren-wg)
[ "$(readlink /proc/"$pid"/cwd)" = / ] || fail "working directory"
[ "$(readlink /proc/"$pid"/fd/1)" = /dev/null ] || fail "output is kept"

note "a name that is taken"
if in_a warren-wg w0 2>"$WORK/err"; then fail "second start succeeded"; fi
[ -s "$WORK/err" ] || fail "no reason given"
in_a wg show w0 >/dev/null || fail "the first one suffered"
for taken in lo w0; do # also by several queues, which the kernel would have two programs share
	! in_a warren-wg --shards 2 $taken 2>"$WORK/err" || fail "second start on $taken succeeded"
	grep -q "$taken is taken by another program" "$WORK/err" || fail "no reason given: $(cat "$WORK/err")"
done
in_a warren-wg --shards 2 w2
in_a ip link set w2 mtu 1300 up
! in_a warren-wg --shards 2 w2 2>"$WORK/err" || fail "second start on w2 succeeded"
grep -q 'w2 is taken by another program' "$WORK/err" || fail "no reason given: $(cat "$WORK/err")"
in_a ip link show w2 | grep -q 'UP,.* mtu 1300' || fail "the first one suffered: $(in_a ip link show w2)"
in_a ip link del w2
wait_for 90 test ! -e $SOCK/w2.sock || fail "socket is left"

note "socket removal ends it"
rm $SOCK/w0.sock
wait_for 90 bash -c "! kill -0 $pid" || fail "alive after socket removal"
! in_a ip link show w0 >/dev/null 2>&1 || fail "interface is left"

note "link deletion ends it"
in_a warren-wg w0
pid=$(pgrep -x warren-wg)
in_a ip link set w0 up
in_a ip link del w0
wait_for 90 bash -c "! kill -0 $pid" || fail "alive after deletion"
wait_for 90 test ! -e $SOCK/w0.sock || fail "socket is left"

note "SIGTERM and SIGINT end it, with the socket removed"
for signal in TERM INT; do
	in_a warren-wg w0
	pid=$(pgrep -x warren-wg)
	kill -$signal "$pid"
	wait_for 90 bash -c "! kill -0 $pid" || fail "alive after SIG$signal"
	[ ! -e $SOCK/w0.sock ] || fail "socket is left after SIG$signal"
done

note "after SIGKILL the name is free at once"
in_a warren-wg w0
pid=$(pgrep -x warren-wg)
kill -KILL "$pid"
in_a warren-wg w0 || fail "no start over a stale socket"
in_a wg show w0 >/dev/null || fail "stale socket"

note "removed and started in one breath"
for _ in 1 2 3 4 5; do
	in_a ip link del w0
	in_a warren-wg w0 || fail "name not free"
done

note "an owner that takes its time to go: the next one waits for the name, whichever of the two goes first"
for shards in 1 2; do
	for way in "rm $SOCK/w0.sock" "ip link del w0"; do
		wait_for 90 bash -c '[ "$(pgrep -xc warren-wg)" = 1 ]' || fail "what else is there: $(pgrep -xa warren-wg)"
		pid=$(pgrep -x warren-wg)
		kill -STOP "$pid"
		in_a $way
		in_a env WARREN_WG_SHARDS=$shards warren-wg -f w0 2>"$WORK/err" &
		next=$!
		sleep 2
		kill -CONT "$pid"
		wait_for 90 bash -c "! kill -0 $pid" || fail "alive after $way"
		wait_for 90 in_a wg show w0 || fail "after $way the next one did not start: $(cat "$WORK/err")"
		kill -0 $next || fail "after $way the next one did not stay: $(cat "$WORK/err")"
	done
done
kill "$(pgrep -x warren-wg)"
wait $next || fail "it did not end well: $(cat "$WORK/err")"
in_a warren-wg w0

note "configuration"
pub=$(cat "$WORK/b.pub")
in_a wg set w0 listen-port 4001 private-key "$WORK/a.key" fwmark 0x77
in_a ip link set w0 up
wait_for 90 bash -c "ip netns exec a ss -Hlun sport = 4001 | grep -q 4001" || fail "port 4001 is not open"
[ "$(in_a wg show w0 fwmark)" = 0x77 ] || fail "fwmark"
in_a wg set w0 listen-port 4002
in_a ss -Hlun sport = 4002 | grep -q 4002 || fail "port was not changed"
! in_a ss -Hlun sport = 4001 | grep -q 4001 || fail "the former port is still open"
in_a wg set w0 listen-port 0
[ "$(in_a wg show w0 listen-port)" -gt 1024 ] || fail "no port of its choice"

note "down closes the port, up opens the same one again"
port=$(in_a wg show w0 listen-port)
open_ports() { in_a ss -Hlun "sport = $port" | grep -c . || true; }
[ "$(open_ports)" -ge 1 ] || fail "port $port is not open"
in_a ip link set w0 down
wait_for 90 eval '[ "$(open_ports)" = 0 ]' || fail "port $port is open while the interface is down"
[ "$(in_a wg show w0 listen-port)" = "$port" ] || fail "the port was forgotten: $(in_a wg show w0 listen-port)"
in_a wg set w0 fwmark 0x78
in_a ip link set w0 up
wait_for 90 eval '[ "$(open_ports)" -ge 1 ]' || fail "port $port does not come back"
in_a wg set w0 fwmark 0x77
in_a ip link set w0 down
wait_for 90 eval '[ "$(open_ports)" = 0 ]' || fail "port $port is open while the interface is down"
in_a wg set w0 listen-port 4003
[ "$(in_a wg show w0 listen-port)" = 4003 ] || fail "a port that is set while the interface is down"
[ -z "$(in_a ss -Hlun sport = 4003)" ] || fail "a port is opened while the interface is down"
in_a ip link set w0 up
wait_for 90 eval 'in_a ss -Hlun sport = 4003 | grep -q 4003' || fail "port 4003 is not open"
note "a port that somebody has: another one is taken at once, or the same when it is free"
holder() { # PORT
	ip netns exec a python3 -c 'import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", int(sys.argv[1])))
time.sleep(300)' "$1" &
	HOLDER=$!
	PIDS+=("$HOLDER")
	wait_for 90 eval "in_a ss -Hlun 'sport = $1' | grep -q $1" || fail "nobody holds $1"
}
in_a ip link set w0 down
wait_for 90 eval '[ -z "$(in_a ss -Hlun sport = 4003)" ]' || fail "port 4003 is not closed"
holder 4003
in_a ip link set w0 up
sleep 1.5
! in_a ss -Hlunp sport = 4003 | grep -q warren-wg || fail "we share a port"
in_a wg set w0 listen-port 4004
in_a ss -Hlunp sport = 4004 | grep -q warren-wg || fail "another port was not taken"
! in_a wg set w0 listen-port 4003 2>/dev/null || fail "no error for a port that is taken"
in_a ip link set w0 down
in_a wg set w0 listen-port 4003
in_a ip link set w0 up
sleep 1.5
kill "$HOLDER"
wait_for 90 eval 'in_a ss -Hlunp sport = 4003 | grep -q warren-wg' || fail "a port that became free was not taken"

start b warren-wg w9
in_b ip link set w9 up
in_b wg set w9 listen-port 4009
in_a wg set w0 listen-port 4009 || fail "same port in another namespace"
in_a wg set w0 fwmark 0
in_a wg set w0 peer "$pub" allowed-ips 10.1.0.0/16,10.2.0.0/16,fd01::/32 endpoint 192.0.2.2:9 persistent-keepalive 5
[ "$(in_a wg show w0 allowed-ips | cut -f 2 | tr ' ' '\n' | sort | tr '\n' ' ')" = "10.1.0.0/16 10.2.0.0/16 fd01::/32 " ] ||
	fail "allowed IPs: $(in_a wg show w0 allowed-ips)"
in_a wg set w0 peer "$pub" allowed-ips 10.3.0.0/16
[ "$(in_a wg show w0 allowed-ips | cut -f 2)" = 10.3.0.0/16 ] || fail "replaced allowed IPs"
in_a wg set w0 peer "$pub" remove
[ -z "$(in_a wg show w0 peers)" ] || fail "peer is left"

note "a big set"
{
	echo "[Peer]"
	echo "PublicKey = $pub"
	for ((i = 0; i < 255; i++)); do
		printf 'AllowedIPs = '
		for ((k = 0; k < 511; k++)); do printf '10.%d.%d.%d/32,' $i $((k / 2)) $((k % 2)); done
		printf '10.%d.255.255/32\n' $i
	done
} >"$WORK/big.conf"
in_a wg addconf w0 "$WORK/big.conf"
[ "$(in_a wg show w0 allowed-ips | tr ' ' '\n' | grep -c /32)" = 130560 ] || fail "130,560 allowed IPs"

note "errors carry errno"
ask() { printf '%s\n\n' "$1" | timeout 90 socat -t 60 - "UNIX-CONNECT:$SOCK/w0.sock"; }
if command -v socat >/dev/null; then
	for bad in "set=1
nonsense=1" "set=1
listen_port=65536" "set=1
private_key=00" "set=1
public_key=$(printf '%064d' 1)
allowed_ip=10.0.0.0/33" "put=1"; do
		ask "$bad" | grep -q "errno=-22" || fail "no EINVAL for: $bad"
	done
	ask "get=1" | tail -n 2 | grep -q "errno=0" || fail "get"
fi

note "a new name for the interface"
in_a ip link set w0 down
in_a ip link set w0 name w8
in_a ip tuntap add w0 mode tun
in_a ip link set w0 up
port=4009
sleep 0.5
[ "$(open_ports)" = 0 ] || fail "another interface with the old name brought us up"
in_a ip link set w8 up
wait_for 90 eval '[ "$(open_ports)" -ge 1 ]' || fail "up was not seen under the new name"
in_a ip link set w8 down
wait_for 90 eval '[ "$(open_ports)" = 0 ]' || fail "down was not seen under the new name"
in_a ip link del w0
in_a ip link set w8 name w0

note "inherited descriptors"
in_a ip link del w0
wait_for 90 test ! -e $SOCK/w0.sock
in_b warren-wg --version | grep -q "^warren-wg [0-9]" || fail "--version"
if WG_TUN_FD=77 in_a warren-wg w1 2>/dev/null; then fail "a descriptor that is not open"; fi
if in_a warren-wg 2>/dev/null; then fail "no name"; else [ $? = 2 ] || fail "usage is exit 2"; fi
if in_a warren-wg averyveryverylongname 2>/dev/null; then fail "a long name"; fi
note "all passed"
