#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Hours of rules: a window that closes while a session, a forward and a flow are open ends them with a line
# to the user, a new login is refused with the reason, a certificate ends with its window, and it all comes back.
# `--at` of explain and test; from_networks, which is judged beside it.
. "$WARREN_SRC/tests/netns/lib.sh"
prepare
mesh
login
on first warren openssh install
host=second.warren.internal
second=$(overlay second)

# The time zone puts noon where the test wants it: zones go by seconds.
zone() { # SECONDS of the epoch when it is 12:00 there: "+HH:MM:SS"
	local offset=$((43200 - $1 % 86400)) sign=+
	[ $offset -le 43200 ] || offset=$((offset - 86400))
	[ $offset -ge -43200 ] || offset=$((offset + 86400))
	[ $offset -ge 0 ] || { sign=- offset=$((-offset)); }
	printf '%s%02d:%02d:%02d' $sign $((offset / 3600)) $((offset / 60 % 60)) $((offset % 60))
}
mornings() { # SECONDS until they are over, from now; that moment is left in $end [MORE of when]
	end=$(($(date +%s) + $1))
	policy <<EOP
{ "rules": [ { "from": ["peer:first"], "to": ["peer:second"], "proto": "tcp", "ports": "22" },
             { "from": ["peer:first"], "to": ["peer:second"], "proto": "tcp", "ports": "7001",
               "when": { "hours": "00:00-12:00", "tz": "$(zone $end)" } } ],
  "ssh": [ { "from": ["$USER_MAIL"], "to": ["peer:second"], "logins": ["deploy"], "allow": ["shell", "exec", "forward"],
             "when": { "hours": "00:00-12:00", "tz": "$(zone $end)"${2:+, $2} } } ] }
EOP
}

note "explain and test at another moment"
cat >$T/hours.json <<EOP
{ "rules": [ { "from": ["peer:first"], "to": ["peer:second"], "proto": "tcp", "ports": "22",
               "when": { "hours": "mon-fri 08:00-18:00", "tz": "Europe/Berlin" } } ],
  "ssh": [ { "from": ["$USER_MAIL"], "to": ["peer:second"], "logins": ["deploy"],
             "when": { "hours": "mon-fri 08:00-18:00", "tz": "Europe/Berlin" } } ],
  "tests": [ { "from": "peer:first", "accept": ["peer:second:22"] } ],
  "sshTests": [ { "from": "$USER_MAIL", "to": "peer:second", "accept": ["deploy"] } ] }
EOP
expect 0 warren policy test --at 2027-01-04T08:00:00+01:00 $T/hours.json
expect 0 warren policy test --at=2027-07-05T17:59:59+02:00 $T/hours.json
for at in 2027-01-04T07:59:59+01:00 2027-01-04T18:00:00+01:00 2027-01-03T12:00:00Z; do
	expect 1 warren policy test --at $at $T/hours.json
	says 'hours.json:[0-9]+:[0-9]+: test failed'
done
expect 2 warren policy test --at tomorrow $T/hours.json
says 'is no time: write one like'
expect 2 warren policy test --at $T/hours.json
expect 0 ctl policy test --at 2027-01-04T08:00:00+01:00 $T/hours.json
ctl policy test --at=2027-07-05T17:59:59+02:00 - <$T/hours.json >$T/out || fail "from standard input: $(cat $T/out)"
for at in 2027-01-04T07:59:59+01:00 2027-01-04T18:00:00+01:00 2027-01-03T12:00:00Z; do
	expect 1 ctl policy test --at $at $T/hours.json
	says 'hours.json:[0-9]+:[0-9]+: test failed'
done
expect 2 ctl policy test --at tomorrow $T/hours.json
says 'is no time: write one like'
expect 2 ctl policy set --at 2027-01-04T08:00:00+01:00 $T/hours.json # only what is tried has another time
for at in '' -1 1x 99999999999999999999 '1&at=2'; do
	[ "$(ip netns exec control curl -s -o $T/out -w '%{http_code}' --unix-socket $T/control.sock --data-binary @$T/hours.json \
		-H 'Content-Type: text/plain' "http://localhost/v1/admin/policy/test?file=x&at=$at")" = 400 ] || fail "at=$at: $(cat $T/out)"
done
jq 'del(.tests, .sshTests)' $T/hours.json >$T/policy.json
ctl policy set $T/policy.json
explains() { # TIME TEXT
	on first warren policy explain --at $1 $USER_MAIL second:22 >$T/out && grep -q "$2" $T/out
}
within 60 explains 2027-01-04T08:00:00+01:00 'ssh logins of alice@example.com: deploy'
explains 2027-01-04T08:00:00+01:00 'allowed by the rule' || fail "$(cat $T/out)"
explains 2027-01-04T20:00:00+01:00 'not at this hour' || fail "$(cat $T/out)"
explains 2027-01-04T20:00:00+01:00 'ssh logins of alice@example.com: none' || fail "$(cat $T/out)"
expect 2 on first warren policy explain --at noon $USER_MAIL second:22

note "the window closes while a session, a forward and a flow are open"
ip netns exec second socat -t 60 TCP-LISTEN:7001,fork,reuseaddr EXEC:cat &
listening second 7001
mornings 3600
logs_in() { on first ssh -o BatchMode=yes -o ConnectTimeout=30 deploy@$host true; }
within 60 logs_in
on first ssh -tt -L 127.0.0.1:7100:127.0.0.1:7001 deploy@$host 'echo up; sleep 600' </dev/null >$T/live 2>&1 &
live=$!
within 60 grep -q up $T/live
mkfifo $T/in $T/in2
ip netns exec first socat -t 1 - TCP:$second:7001 <$T/in >$T/flow 2>/dev/null &
flow=$!
exec 9>$T/in
echo one >&9
ip netns exec first socat -t 1 - TCP:127.0.0.1:7100 <$T/in2 >$T/forward 2>/dev/null &
forward=$!
exec 8>$T/in2
echo one >&8
within 60 grep -q one $T/flow
within 60 grep -q one $T/forward
mornings 25 # now that all is open
on first warren ssh-cert --batch --out $T/cert deploy@second
valid=$(date -d "$(ssh-keygen -Lf $T/cert-cert.pub | sed -n 's/.* to //p')" +%s)
[ $((valid - end)) -ge -2 ] && [ $((valid - end)) -le 2 ] || fail "the certificate ends at $valid, the window at $end"
got=0
wait $live || got=$?
[ $got = 255 ] || fail "the live session ended with $got: $(cat $T/live)"
grep -q 'access was withdrawn: .*not in force at this hour' $T/live || fail "the session does not say why: $(cat $T/live)"
record() { warren --json audit show --dir $T/second/root --event ssh.ending; }
within 60 eval '[ -n "$(record)" ]'
ended=$(date -d "$(record | jq -rs 'last.time')" +%s) # by the target's clock
[ $ended -ge $((end - 2)) ] || fail "it ended at $ended, before its window ($end)"
echo "it ended $((ended - end)) s after the window"
wait $forward || true
ends 9 $T/flow || fail "a flow outlived its hours"
exec 8>&- 9>&-
kill $flow 2>/dev/null || true

note "a new login is refused, by control and by the target, and says why"
expect 255 on first ssh -o BatchMode=yes deploy@$host true
says 'not in force at this hour'
expect 5 on first warren ssh-cert --batch --out $T/none deploy@second
says 'not in force at this hour'
# A client that shows the old certificate although it ended.
expect 255 on first timeout 120 ssh -F none -i $T/cert -o CertificateFile=$T/cert-cert.pub -o IdentitiesOnly=yes -o BatchMode=yes \
	-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null deploy@$second true
expired() { [[ $(warren audit show --dir $T/second/root --event ssh.login.refused) == *expired* ]]; }
within 60 expired

note "the next window lets in again"
mornings 3600
within 60 logs_in

note "from other networks: neither by certificate nor by a machine that forgot it"
mornings 3600 '"from_networks": ["192.0.2.0/24", "2001:db8::/32"]'
refuses() { ! on first ssh -o BatchMode=yes deploy@$host true >$T/out 2>&1 && grep -q 'from_networks' $T/out; }
within 60 refuses
expect 5 on first warren ssh-cert --batch --out $T/none deploy@second
says "not from this machine's address"
mornings 3600 "\"from_networks\": [\"$(overlay first)\"]"
within 60 logs_in
echo "all good"
