#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Two machines behind NATs of their own find a direct path by STUN, signals and hole punching, and where
# there cannot be one `warren why` says so.
#
#     first 10.1.0.2 -- gate1 192.0.2.2 ---- router ---- 203.0.113.2 gate2 -- 10.2.0.2 second
#                                              |
#                                         198.51.100.2 control
. "$WARREN_SRC/tests/netns/lib.sh"
command -v nft >/dev/null || skip "nft is not installed"
prepare

network() {
	local ns
	for ns in first second control router; do
		ip netns add $ns
		ip -n $ns link set lo up
		mkdir -p /etc/netns/$ns
	done
	link control 198.51.100
	ip netns exec router sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
	gate first gate1 10.1.0 192.0.2 port
	gate second gate2 10.2.0 203.0.113 port
}
# A fresh one forgets all its mappings.
gate() { # PEER NAMESPACE INSIDE OUTSIDE KIND
	ip netns del $2 2>/dev/null || true
	within 60 sh -c "! ip -n $1 link show v-$1"
	sleep 0.5 # the daemon notices that its address is gone, and with it its connections
	ip netns add $2
	ip -n $2 link set lo up
	link $2 $4
	ip link add v-$1 netns $1 type veth peer name inside netns $2
	ip -n $1 addr add $3.2/24 dev v-$1
	ip -n $2 addr add $3.1/24 dev inside
	nat $5 v-$2 | ip netns exec $2 nft -f -
	ip -n $2 link set inside up
	ip -n $1 link set v-$1 up
	ip -n $1 route add default via $3.1
	ip netns exec $2 sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
}
# What comes unasked is dropped on input too: a stray entry would take the port.
nat() { # KIND OUTSIDE-INTERFACE
	local masquerade=masquerade learn='' map='' unasked=''
	case $1 in
	full)
		learn='iif inside meta l4proto udp update @cone { udp sport : ip saddr . udp sport }'
		map="iif $2 meta l4proto udp dnat ip to udp dport map @cone"
		unasked='ct status dnat accept'
		;;
	symmetric) masquerade='masquerade fully-random' ;;
	esac
	learn=${learn//iif inside/iifname inside} map=${map//iif /iifname }
	cat <<EOF
table ip gate {
	map cone { type inet_service : ipv4_addr . inet_service; flags dynamic; size 1024; }
	chain out { type nat hook postrouting priority 100; oifname "$2" $masquerade; }
	chain in { type nat hook prerouting priority -100; $map; }
	chain self { type filter hook input priority 0; policy drop; iifname "lo" accept; ct state established,related accept; icmp type echo-request accept; }
	chain through { type filter hook forward priority 0; policy drop; $learn; iifname "inside" accept; ct state established,related accept; $unasked; }
}
EOF
}
mesh_without_waiting() {
	network
	control_start
	user
	setup_key --name test --reusable --expires 1h >/dev/null
	peer_start first
	peer_start second
	usual_policy
	# shellcheck disable=SC2086
	on second warren up --control $CONTROL_URL --setup-key-file $T/setup-key --hostname second $SSH_FLAGS
	on first warren up --control $CONTROL_URL --setup-key-file $T/setup-key --hostname first
}
connected() { on $1 warren --json status | jq -e '.management.connected'; }
punched() { # both reach each other, by the outside addresses
	on first warren ping -c 1 second &&
		on first warren --json status | jq -e '.peers.details[0] | .connectionType == "direct" and (.endpoint | startswith("203.0.113.2:"))' &&
		on second warren --json status | jq -e '.peers.details[0] | .connectionType == "direct" and (.endpoint | startswith("192.0.2.2:"))'
}
mesh_without_waiting
note "port-restricted and port-restricted"
within 120 punched
start=$SECONDS
behind() { # KIND KIND
	note "$1 and $2"
	gate first gate1 10.1.0 192.0.2 $1
	gate second gate2 10.2.0 203.0.113 $2
	start=$SECONDS
	within 120 connected first
	within 120 connected second
}
for kinds in "full full" "full port" "symmetric full"; do
	behind $kinds
	within 120 punched
	note "a path after $((SECONDS - start)) s"
done
ip netns exec second socat -t 60 TCP-LISTEN:7000,fork,reuseaddr SYSTEM:'echo hello' >/dev/null 2>&1 &
within 60 sh -c "ip netns exec first socat -t 30 - TCP:$(overlay second):7000,connect-timeout=10 </dev/null | grep -q hello"

behind symmetric symmetric
knows() { [[ $(on first warren why second) == *'both machines are behind a NAT'* ]]; }
within 60 knows
expect 1 on first warren ping -c 1 second
on first warren --json status | jq -e '.peers.connected == 0' >/dev/null || fail "a path through two symmetric NATs?"
expect 0 on first warren why second
says 'both machines are behind a NAT that gives each destination another port'
says 'relay'
note "$(grep 'both machines' $T/out)"
echo "all good"
