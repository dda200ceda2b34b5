#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Both machines change their addresses in turn while a session runs: it goes on, no line is lost, and
# the path is the new one.
. "$WARREN_SRC/tests/netns/lib.sh"
prepare
mesh
host=second.warren.internal
login
on first warren openssh install
mkfifo $T/in
on first ssh -o BatchMode=yes deploy@$host 'echo $$; cat' <$T/in >$T/flow 2>$T/err &
session=$!
exec 9>$T/in
within 60 grep -q '^[0-9]' $T/flow
line=0
alive() { # within 60 s a line comes back
	line=$((line + 1))
	echo "line $line" >&9
	within 60 grep -qx "line $line" $T/flow
}
alive
readdress() { # NAMESPACE OLD NEW GATEWAY: the old one goes first, as a new lease does it
	ip -n $1 addr del $2/24 dev v-$1
	ip -n $1 addr add $3/24 dev v-$1
	ip -n $1 route replace default via $4
}
endpoint_is() { # PEER ADDRESS
	on $1 warren --json status | jq -e --arg a "$2:" '.peers.details[0].endpoint | startswith($a)'
}

note "the client's address changes"
start=$SECONDS
readdress first 192.0.2.2 192.0.2.77 192.0.2.1
alive
note "after $((SECONDS - start)) s the session goes on"
within 60 endpoint_is second 192.0.2.77

note "the server's address changes"
start=$SECONDS
readdress second 203.0.113.2 203.0.113.88 203.0.113.1
alive
note "after $((SECONDS - start)) s the session goes on"
within 60 endpoint_is first 203.0.113.88

note "the client moves to another network, with another router, and back"
start=$SECONDS
ip link add w-first netns first type veth peer name w-first netns router
ip -n router addr add 198.18.7.1/24 dev w-first
ip -n router link set w-first up
ip -n first addr add 198.18.7.2/24 dev w-first
ip -n first link set w-first up
ip -n first link set v-first down
ip -n first route add default via 198.18.7.1
alive
note "after $((SECONDS - start)) s the session goes on"
within 60 endpoint_is second 198.18.7.2
ip -n first link set w-first down
ip -n first link set v-first up
ip -n first route replace default via 192.0.2.1
alive
within 60 endpoint_is second 192.0.2.77

note "both at once: control's stream comes back and brings them together"
readdress first 192.0.2.77 192.0.2.99 192.0.2.1
readdress second 203.0.113.88 203.0.113.99 203.0.113.1
start=$SECONDS
echo together >&9
within 60 grep -qx together $T/flow
note "after $((SECONDS - start)) s the session goes on"
alive

exec 9>&-
wait $session || fail "the session ended with $?: $(cat $T/err)"
for i in $(seq $line); do
	[ "$(grep -cx "line $i" $T/flow)" = 1 ] || fail "line $i came $(grep -cx "line $i" $T/flow) times"
done
echo "all good"
