#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# BatchMode, where policy allows it ("auth": "banner"): clients that may not ask read the login's URL in the
# banner, wait, and are let in when the person has signed in. OpenSSH, sftp, scp, dbclient and plink.
. "$WARREN_SRC/tests/netns/lib.sh"
prepare
add_account robot 61811 /bin/bash '*'
mesh
second=$(overlay second)
policy <<EOP
{
  "groups": { "ops": ["$USER_MAIL"] },
  "hosts": { "servers": ["peer:second"] },
  "rules": [ { "from": ["peer:first"], "to": ["servers"], "proto": "tcp", "ports": "22,7000-7010" } ],
  "ssh": [ { "from": ["ops"], "to": ["servers"], "logins": ["robot"], "auth": "banner" },
           { "from": ["ops"], "to": ["servers"], "logins": ["deploy"] } ]
}
EOP
within 60 arrived second
keyline=$(on first warren openssh hostkey second.warren.internal | cut -d' ' -f2,3)
echo "$second $keyline" >$T/known
mkdir -p $T/home/root/.ssh
echo "$second $keyline" >$T/home/root/.ssh/known_hosts
echo "$keyline" >$T/hostkey.pub
print=$(ssh-keygen -lf $T/hostkey.pub | awk '{print $2}')
options="-F none -o UserKnownHostsFile=$T/known -o StrictHostKeyChecking=yes -o BatchMode=yes"

asks() { # WHAT COMMAND…: the person signs in at the URL that the client printed
	local what=$1 got=0
	shift
	note "$what"
	: >$T/said
	signin_from $T/said &
	signer=$!
	on first timeout 300 "$@" >$T/said 2>&1 </dev/null || got=$?
	wait $signer || fail "$what: nobody could sign in: $(cat $T/said)"
	[ $got = 0 ] || fail "$what: status $got: $(cat $T/said)"
	grep -aq 'To log in as robot on second' $T/said || fail "$what: $(cat $T/said)"
}
result() { grep -aq "$1" $T/said || fail "no $1: $(cat $T/said)"; }
# shellcheck disable=SC2086
asks "ssh -o BatchMode=yes" ssh $options robot@$second 'echo is-$(id -un)'
result is-robot
within 60 grep -q 'ssh login .*method=banner' $T/log/second
echo "put $T/known known" >$T/batch
# shellcheck disable=SC2086
asks "sftp -b" sftp $options -b $T/batch robot@$second
cmp $T/known $T/home/robot/known || fail "sftp -b did not put the file"
# shellcheck disable=SC2086
asks "scp -B" scp $options -B $T/batch robot@$second:batch
cmp $T/batch $T/home/robot/batch || fail "scp -B did not copy the file"
if command -v dbclient >/dev/null; then
	asks dbclient env HOME=$T/home/root dbclient robot@$second 'echo is-$(id -un)'
	result is-robot
fi
if command -v plink >/dev/null; then
	asks "plink -batch" env HOME=$T/home/root plink -ssh -batch -hostkey $print robot@$second 'echo is-$(id -un)'
	result is-robot
	grep -q 'ssh login .*method=keyboard-interactive' $T/log/second || fail "plink shows a banner too late"
fi

note "a client that gives up is noticed, its login is cancelled, and its session goes"
sessions() { pgrep -c -P "$(cat $T/pids/second)" -f warren-ssh-session || true; }
gone() { [ "$(sessions)" = 0 ]; }
within 60 gone
: >$T/said
# shellcheck disable=SC2086
on first ssh $options robot@$second true >$T/said 2>&1 </dev/null &
waiting=$!
shown() { [ -n "$(urls $1)" ]; }
within 60 shown $T/said
url=$(urls $T/said | head -n 1)
ip netns exec first curl -sk "$url" >$T/page
# Before anybody signs in the page names who asks for what from where.
for fact in '>robot<' '>second<' ">first ($(overlay first))<" 'Asked from'; do
	grep -qF "$fact" $T/page || fail "the page does not say $fact: $(cat $T/page)"
done
[ -z "${KEEP_PAGE:-}" ] || cp $T/page "$KEEP_PAGE"
pkill -P $waiting
within 60 gone
page_over() { ip netns exec first curl -sk "$url" >$T/page && ! grep -q "Asked from" $T/page; }
within 60 page_over

note "waiting logins do not use up MaxStartups, nor keep a certificate waiting"
pids=
for i in $(seq 12); do
	# shellcheck disable=SC2086
	on first ssh $options robot@$second true >$T/wait.$i 2>&1 </dev/null &
	pids="$pids $!"
done
for i in $(seq 12); do within 60 shown $T/wait.$i; done
on first warren openssh install
login
expect 0 on first timeout 120 ssh -o BatchMode=yes deploy@second.warren.internal true

note "who has a certificate logs in at once, also where others wait"
for client in ssh "warren ssh --client=system" "warren ssh --client=own"; do
	expect 0 on first timeout 120 $client -o BatchMode=yes robot@second.warren.internal true
	! grep -q https:// $T/out || fail "$client shows a URL"
	expect 0 on first timeout 120 $client -o BatchMode=yes robot@"$(on second warren --json status | jq -r .overlayIpv6)" true
done
for p in $pids; do pkill -P $p || true; done
within 60 gone

note "who may not log in is not let in by signing in; without the rule nobody waits"
policy <<EOP
{
  "groups": { "ops": ["bob@example.com"] },
  "hosts": { "servers": ["peer:second"] },
  "rules": [ { "from": ["peer:first"], "to": ["servers"], "proto": "tcp", "ports": "22,7000-7010" } ],
  "ssh": [ { "from": ["ops"], "to": ["servers"], "logins": ["robot"], "auth": "banner" } ]
}
EOP
within 60 arrived second
: >$T/said
signin_from $T/said &
signer=$!
got=0
# shellcheck disable=SC2086
on first timeout 300 ssh $options robot@$second true >$T/said 2>&1 </dev/null || got=$?
wait $signer || true
[ $got = 255 ] || fail "status $got: $(cat $T/said)"
usual_policy
within 60 arrived second
# shellcheck disable=SC2086
becomes 255 on first timeout 120 ssh $options robot@$second true
grep -q https:// $T/out && fail "a URL without the rule"
echo "all good"
