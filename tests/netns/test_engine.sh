#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What can happen to the data plane while four streams and an SSH session run through it: the engine is
# killed on either side, the interface is deleted, its MTU and the machine's address change, the whole
# daemon is killed and started again. Streams go on, every byte as it was sent.
. "$WARREN_SRC/tests/netns/lib.sh"
prepare
command -v python3 >/dev/null || skip "python3 is missing"
mesh
second=$(overlay second)
login
on first warren openssh install
ip netns exec second python3 "$WARREN_SRC/tests/support/steady.py" serve "$second" 7000 2>$T/log/serve &
listening second 7000

engine() { pgrep -P "$(cat $T/pids/$1)" -f -- '--role engine'; }
STREAMS=()
streams() { # SECONDS: two up and two down, which begin when all four are connected
	local direction
	STREAMS=()
	rm -f $T/go
	for direction in up down up down; do
		ip netns exec first timeout 400 python3 "$WARREN_SRC/tests/support/steady.py" $direction "$second" 7000 $1 $T/go 2>>$T/log/streams &
		STREAMS+=($!)
	done
	connected() { [ "$(ip netns exec first ss -Htn state established "dport = :7000" | wc -l)" -ge 4 ]; }
	within 60 connected
	touch $T/go
	sleep 0.5
}
arrive() { # WHAT
	local pid
	for pid in "${STREAMS[@]}"; do wait $pid || fail "$1: a stream broke or changed: $(tail -n 2 $T/log/streams)"; done
}
mkfifo $T/in
on first ssh -o BatchMode=yes deploy@second.warren.internal cat <$T/in >$T/flow 2>$T/err &
session=$!
exec 9>$T/in
line=0
talks() { # WHAT: the SSH session that was idle meanwhile
	line=$((line + 1))
	echo "line $line" >&9
	for _ in $(seq 600); do
		if grep -qx "line $line" $T/flow; then return; fi
		sleep 0.1
	done
	fail "$1: the session says nothing: $(cat $T/err)"
}
talks "at first"

killed() { # NAME: its engine, and another one is there
	local old
	old=$(engine $1)
	kill -KILL $old
	another() { [ -n "$(engine $1)" ] && [ "$(engine $1)" != "$2" ]; }
	within 60 another $1 $old
}
note "the engine is killed, on the server, then on the client"
start=$SECONDS
streams 4
killed second
within 60 direct first
talks "server's engine"
killed first
within 60 direct first
talks "client's engine"
arrive "engines"
note "$((SECONDS - start)) s for streams of 4"

note "the interface is deleted"
start=$SECONDS
streams 3
ip -n first link del wrn0
within 60 ip -n first link show wrn0
within 60 direct first
arrive "interface"
talks "interface"
note "$((SECONDS - start)) s for streams of 3"

note "the address changes"
start=$SECONDS
streams 4
ip -n first addr del 192.0.2.2/24 dev v-first
ip -n first addr add 192.0.2.77/24 dev v-first
ip -n first route replace default via 192.0.2.1
arrive "client's address"
ip -n second addr del 203.0.113.2/24 dev v-second
ip -n second addr add 203.0.113.88/24 dev v-second
ip -n second route replace default via 203.0.113.1
streams 2
arrive "server's address"
talks "addresses"
note "$((SECONDS - start)) s for streams of 4 and 2"

note "the MTU changes"
streams 3
for mtu in 1000 1400 9000 1280; do
	for p in first second; do ip -n $p link set wrn0 mtu $mtu; done
	sleep 0.4
done
arrive "MTU"
talks "MTU"
note "packets are padded up to it and no further; the SSH server has it too"
for p in first second; do ip -n $p link set wrn0 mtu 1001; done
broker=$(cat $T/pids/second)
ssh_mtu() { # of the interface in the SSH server's namespace
	local fd
	for fd in /proc/"$broker"/fd/*; do
		[[ $(readlink $fd) == net:* ]] || continue
		nsenter --net=$fd cat /sys/class/net/wrnssh0/mtu 2>/dev/null || nsenter --net=$fd ip -o link show wrnssh0 | sed 's/.* mtu \([0-9]*\) .*/\1/'
	done
}
within 60 eval '[ "$(ssh_mtu)" = 1001 ]'
ip netns exec second nft -f - <<'N'
table inet t {
	counter full { }
	counter beyond { }
	chain input {
		type filter hook prerouting priority -300
		iifname v-second meta l4proto udp udp length 1041 counter name full
		iifname v-second meta l4proto udp udp length > 1041 counter name beyond
	}
}
N
policy <<EOP
{
  "groups": { "ops": ["$USER_MAIL"] },
  "hosts": { "servers": ["peer:second"] },
  "rules": [ { "from": ["peer:first"], "to": ["servers"] } ],
  "ssh": [ { "from": ["ops"], "to": ["servers"], "logins": ["deploy"], "allow": ["shell", "exec"] } ]
}
EOP
within 60 ip netns exec first ping -q -c 1 -W 1 -M do -s 973 $second
count() { ip netns exec second nft list counter inet t $1 | sed -n 's/.*packets \([0-9]*\).*/\1/p'; }
[ "$(count full)" -ge 1 ] && [ "$(count beyond)" = 0 ] || fail "packets of 1041 bytes: $(count full), larger: $(count beyond)"
for p in first second; do ip -n $p link set wrn0 mtu 1280; done

note "fragments of IPv4 and IPv6 pass the filter with their first"
ip netns exec first ping -q -c 1 -w 30 -s 6000 $second >/dev/null || fail "no fragments over IPv4"
second6=$(on second warren --json status | jq -r '.overlayIp6 // .overlay6 // empty')
[ -n "$second6" ] || second6=$(ip -n second -6 -o addr show dev wrn0 scope global | awk '{ sub(/\/.*/, "", $4); print $4; exit }')
ip netns exec first ping -q -c 1 -w 30 -s 6000 "$second6" >/dev/null || fail "no fragments over IPv6"

note "an ICMP error about the SSH server's segment finds its connection in the namespace"
icmp() { # FIELD of the namespace's counters
	local fd
	for fd in /proc/"$broker"/fd/*; do
		[[ $(readlink $fd) == net:* ]] || continue
		nsenter --net=$fd awk -v f=$1 '$1 == "Icmp:" { if (!n) { for (i = 1; i <= NF; i++) if ($i == f) n = i } else print $n }' /proc/net/snmp | grep . && return
	done
}
ip netns exec first nft add table inet r
ip netns exec first nft add chain inet r input '{ type filter hook input priority 0; }'
ip netns exec first nft add rule inet r input iifname wrn0 tcp sport 22 tcp flags 'syn,ack' / 'syn,ack' reject with icmpx type host-unreachable
unreachable() {
	ip netns exec first timeout 2 socat -u TCP:"$second":22,connect-timeout=1 STDOUT >/dev/null 2>&1 || true
	[ "$(icmp InDestUnreachs)" -ge 1 ]
}
within 60 unreachable
ip netns exec first nft delete table inet r
[ "$(icmp InErrors)" = 0 ] || fail "$(icmp InErrors) errors about connections that the namespace does not know"

note "the daemon is killed and started again"
start=$SECONDS
streams 3
stop first KILL
gone() { [ -z "$(pgrep -f "state-dir $T/first " || true)" ] && ! ip -n first link show wrn0; }
within 60 gone
peer_start first 9>&-
within 60 direct first
arrive "daemon"
talks "daemon"
note "$((SECONDS - start)) s for streams of 3"
exec 9>&-
wait $session || fail "the session ended with $?: $(cat $T/err)"

note "a target that starts again is heard at once by who only ever asks it"
within 60 ip netns exec first ping -q -c 1 -W 1 $second
stop second KILL
gone() { [ -z "$(pgrep -f "state-dir $T/second " || true)" ] && ! ip -n second link show wrn0; }
within 60 gone
peer_start second 9>&-
within 60 direct second
# Not by first's own new handshake, for which it waits 15 s.
ip netns exec first ping -q -c 1 -w 11 $second >/dev/null || fail "no answer from a target that started again"

! grep -aE 'role=engine signal=31|ERROR|AddressSanitizer' $T/log/first $T/log/second || fail "see above"
echo "all good"
