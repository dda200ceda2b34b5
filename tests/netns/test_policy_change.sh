#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What policy takes away ends: a live session with its ssh rule, open flows with their TCP rule; a bad
# policy never replaces the good one.
. "$WARREN_SRC/tests/netns/lib.sh"
prepare
mesh
login
on first warren openssh install
host=second.warren.internal
second=$(overlay second)

note "TCP that a rule allows, and that none allows"
ip netns exec second socat -t 60 TCP-LISTEN:7001,fork,reuseaddr EXEC:cat &
ip netns exec second socat -t 60 TCP-LISTEN:7100,fork,reuseaddr EXEC:cat &
listening second 7001
listening second 7100
[ "$(ip netns exec first sh -c "echo ping | socat -t 60 - TCP:$second:7001")" = ping ] || fail "an allowed flow"
if ip netns exec first timeout 30 socat - TCP:$second:7100,connect-timeout=2 </dev/null 2>/dev/null; then
	fail "a flow that no rule allows"
fi

note "a bad policy is refused with line and column, and the good one stays"
printf '{\n  "rules": [ { "from": ["nobody-group"], "to": ["peer:second"], "ports": "22" } ]\n}\n' >$T/bad.json
expect 1 ctl policy set $T/bad.json
says 'bad.json:2:[0-9]+: '
printf '{\n  "rules": [ { "from"  ["a"] } ]\n}\n' >$T/bad.json
expect 1 ctl policy set $T/bad.json
says 'bad.json:2:[0-9]+: '
printf '{ "rules": [],\n  "tests": [ { "from": "peer:first", "accept": ["peer:second:22"] } ] }\n' >$T/bad.json
expect 1 ctl policy set $T/bad.json
says 'bad.json:2:'
expect 0 on first ssh -o BatchMode=yes deploy@$host true

note "the ssh rule goes: the live session ends, and a new login names the reason"
on first ssh -tt deploy@$host 'echo up; sleep 600' </dev/null >$T/live 2>&1 &
live=$!
within 60 grep -q up $T/live
policy <<EOF
{ "rules": [ { "from": ["peer:first"], "to": ["peer:second"], "proto": "tcp", "ports": "22,7000-7010" } ] }
EOF
got=0
wait $live || got=$?
[ $got = 255 ] || fail "the live session ended with $got: $(cat $T/live)"
grep -q 'withdrawn' $T/live || fail "the session does not say why it ended: $(cat $T/live)"
expect 255 on first ssh -o BatchMode=yes deploy@$host true
says 'rule'

note "the TCP rule goes: an open flow is judged again and dropped"
mkfifo $T/in
ip netns exec first socat -t 1 - TCP:$second:7001 <$T/in >$T/flow &
flow=$!
exec 9>$T/in
echo one >&9
within 60 grep -q one $T/flow
policy <<EOF
{ "rules": [] }
EOF
ends 9 $T/flow || fail "a cached flow outlived its rule"
exec 9>&-
kill $flow 2>/dev/null || true
no_rule() { expect 255 on first warren ssh -o BatchMode=yes deploy@second true && says rule; }
within 60 no_rule

note "and everything comes back with the rules"
usual_policy
within 60 on first ssh -o BatchMode=yes -o ConnectTimeout=30 deploy@$host true

note "SSH switched off on the control server: the session ends, the host's own sshd would answer"
on first ssh -tt deploy@$host 'echo up; sleep 600' </dev/null >$T/live 2>&1 &
live=$!
within 60 grep -q up $T/live
ctl peer ssh second off
got=0
wait $live || got=$?
[ $got = 255 ] || fail "the live session ended with $got: $(cat $T/live)"
becomes 2 on first warren openssh detect $host 22
ctl peer ssh second on
within 60 on first ssh -o BatchMode=yes -o ConnectTimeout=30 deploy@$host true
echo "all good"
