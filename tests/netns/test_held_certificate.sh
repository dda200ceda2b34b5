#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Work goes on while the control server is down: a certificate with a longer cert_ttl serves ssh, scp and
# warren ssh until it ends, also after a restart of the daemon, when no login is cached. Not for another
# login or account, not where root wants one login for one connection, and not after a logout.
. "$WARREN_SRC/tests/netns/lib.sh"
prepare
mesh
on first warren openssh install
login
target=second.warren.internal
add_account carol 61811 /bin/bash '*'
held_policy() { # WHEN
	policy <<EOF
{
  "groups": { "ops": ["$USER_MAIL"] },
  "rules": [ { "from": ["peer:first"], "to": ["peer:second"], "proto": "tcp", "ports": "22" } ],
  "ssh": [ { "from": ["ops"], "to": ["peer:second"], "logins": ["deploy"], "cert_ttl": "8h"${1:-} } ]
}
EOF
}
end_of() { # FILE: of a certificate, in seconds
	date -d "$(ssh-keygen -L -f "$1" | sed -n 's/.*Valid: from .* to //p')" +%s
}
# Both have a certificate that is good for MORE seconds.
hold() { # AT-LEAST AT-MOST
	expect 0 on first ssh -o BatchMode=yes deploy@$target true
	expect 0 on first warren ssh deploy@second true
	local f n=0 left
	for f in /run/warren/u/0/*-cert.pub; do
		left=$(($(end_of $f) - $(date +%s)))
		[ $left -ge $1 ] && [ $left -le $2 ] || return 1
		n=$((n + 1))
	done
	[ $n = 2 ]
}
connected() { on first warren --json status | jq -e .management.connected; }
# The control server is gone, and the daemon starts anew: it knows no login.
go_down() {
	stop control
	stop first
	peer_start first
	within 60 direct first
}
go_up() {
	control_start
	within 60 connected
}
alone='control server.*cannot be reached'

note "certificates of eight hours; the control server dies, the daemon is restarted"
held_policy
within 60 hold 25200 28800
go_down

note "ssh, scp and warren ssh go on, without asking anybody, and say until when"
expect 0 on first ssh -o BatchMode=yes deploy@$target echo in
says '^in'
says "$alone.*certificate of before is good until"
expect 0 on first scp -o BatchMode=yes /etc/hostname deploy@$target:copied
expect 0 on first script -qefc "ssh deploy@$target 'echo on-a-terminal'" $T/tty </dev/null
grep -aq on-a-terminal $T/tty && ! grep -aq 'open this page' $T/tty || fail "on a terminal: $(cat $T/tty)"
pids=
for i in 1 2 3 4 5; do on first ssh -o BatchMode=yes deploy@$target true & pids="$pids $!"; done
for p in $pids; do wait $p || fail "one of five at once"; done
expect 0 on first warren ssh deploy@second echo in
says '^in'
on first openssl rand -out $T/blob 3000000
expect 0 on first sh -c "ssh -o BatchMode=yes deploy@$target 'cat' <$T/blob >$T/back"
cmp $T/blob $T/back

note "for nothing else: another login, another account, a certificate for a script"
expect 255 on first ssh -o BatchMode=yes root@$target true
says "you are not logged in.*$alone"
expect 255 on first setpriv --reuid 61811 --regid 61811 --clear-groups ssh -F none -o BatchMode=yes \
	-o ProxyUseFdpass=yes -o "ProxyCommand=warren --socket $T/first.sock openssh proxy %h %p %r" \
	-o IdentityFile=/run/warren/u/0/x deploy@$target true
says "you are not logged in|ssh did not ask"
expect 4 on first warren ssh-cert --batch --out $T/none deploy@$target
says "you are not logged in"

note "control is back: no login, no entry, whatever certificate is left"
go_up
expect 255 on first ssh -o BatchMode=yes deploy@$target true
says 'not logged in|warren login'
! grep -q "$alone" $T/out || fail "control was there: $(cat $T/out)"

note "a logout takes the certificates away, also while control is down"
login
within 60 hold 25200 28800
stop control
expect 1 on first warren logout
says 'could not be told'
[ -z "$(ls /run/warren/u/0)" ] || fail "left behind: $(ls /run/warren/u/0)"
expect 255 on first ssh -o BatchMode=yes deploy@$target true
says "you are not logged in.*$alone"
go_up

note "one login, one connection: with a ttl of 0 no certificate serves twice"
login
within 60 hold 25200 28800
on first warren up --ssh-jwt-cache-ttl 0 >$T/out 2>&1 || fail "ttl 0: $(cat $T/out)"
go_down
expect 255 on first ssh -o BatchMode=yes deploy@$target true
says "you are not logged in.*$alone"
on first warren up --ssh-jwt-cache-ttl 3600 >$T/out 2>&1 || true # it waits for control, which is not there
expect 0 on first ssh -o BatchMode=yes deploy@$target true
go_up

note "when the certificate ends it is over, with a sentence"
login
until=$(($(date +%s) + 60))
held_policy ", \"when\": { \"not_after\": \"$(date -u -d @$until +%FT%TZ)\" }"
within 60 hold 0 60
go_down
expect 0 on first ssh -o BatchMode=yes deploy@$target true
while [ "$(date +%s)" -le $until ]; do sleep 0.2; done
expect 255 on first ssh -o BatchMode=yes deploy@$target true
says "you are not logged in, there is no certificate of before for $target, and .*$alone"
expect 255 on first warren ssh -o BatchMode=yes deploy@second true
says "you are not logged in|$alone"
echo "all good"
