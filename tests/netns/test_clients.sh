#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Clients that know nothing of Warren: OpenSSH without the drop-in, dropbear's dbclient, PuTTY's plink. They
# show the URL by keyboard-interactive, wait without a key press, and are let in when the person has
# signed in; who gives up is noticed.
. "$WARREN_SRC/tests/netns/lib.sh"
prepare
mesh
second=$(overlay second)
# The host key as each client wants to know it.
keyline=$(on first warren openssh hostkey second.warren.internal | cut -d' ' -f2,3)
echo "$second $keyline" >$T/known

terminal() { # FILE COMMAND…: on a terminal, without anything typed
	local file=$1
	shift
	on first timeout 300 script -qefc "$*" "$file" </dev/null >/dev/null
}
with_login() { # NAME FILE COMMAND…: the person signs in at the URL that the client shows
	local name=$1 file=$2 got=0
	shift 2
	: >$file
	signin_from $file &
	signer=$!
	terminal $file "$@" || got=$?
	wait $signer || fail "$name: nobody could sign in: $(cat $file)"
	[ $got = 0 ] || fail "$name: status $got: $(cat $file)"
	grep -aq 'is-deploy' $file || fail "$name: $(cat $file)"
}
options="-F none -o UserKnownHostsFile=$T/known -o StrictHostKeyChecking=yes"

note "OpenSSH without the drop-in"
with_login OpenSSH $T/c-openssh "ssh $options deploy@$second 'echo is-\$(id -un)'"
grep -aq 'second' $T/c-openssh || fail "the prompt does not name the machine: $(cat $T/c-openssh)"

note "dropbear's dbclient"
command -v dbclient >/dev/null || skip "no dbclient"
mkdir -p $T/home/root/.ssh
echo "$second $keyline" >$T/home/root/.ssh/known_hosts
with_login dbclient $T/c-dbclient "env HOME=$T/home/root dbclient deploy@$second 'echo is-\$(id -un)'"

note "PuTTY's plink"
command -v plink >/dev/null || skip "no plink"
echo "$keyline" >$T/hostkey.pub
print=$(ssh-keygen -lf $T/hostkey.pub | awk '{print $2}')
with_login plink $T/c-plink "env HOME=$T/home/root plink -ssh -no-antispoof -hostkey $print deploy@$second 'echo is-\$(id -un)'"

note "the command's status comes through"
: >$T/c-status
signin_from $T/c-status &
got=0
terminal $T/c-status "ssh $options deploy@$second 'exit 9'" || got=$?
wait $!
[ $got = 9 ] || fail "status $got instead of 9"

note "a client that gives up is noticed, and its waiting session goes"
sessions() { pgrep -c -f 'warren-ssh-session' || true; }
none() { [ "$(sessions)" = 0 ]; }
within 60 none
on first script -qefc "ssh $options deploy@$second true" $T/c-gone </dev/null >/dev/null 2>&1 &
waiting=$!
within 60 grep -aq https:// $T/c-gone
[ "$(sessions)" -gt 0 ] || fail "no session waits"
pkill -P $waiting 2>/dev/null || true
kill $waiting 2>/dev/null || true
within 60 none

note "waiting logins do not keep others out"
pids=
for i in $(seq 15); do
	on first script -qefc "ssh $options deploy@$second true" $T/c-wait.$i </dev/null >/dev/null 2>&1 &
	pids="$pids $!"
done
for i in $(seq 15); do within 60 grep -aq https:// $T/c-wait.$i; done
on first warren openssh install
login
expect 0 on first ssh -o BatchMode=yes deploy@second.warren.internal true
for p in $pids; do
	pkill -P $p 2>/dev/null || true
	kill $p 2>/dev/null || true
done

note "BatchMode without a certificate: refused, not hanging"
expect 255 on first timeout 120 ssh $options -o BatchMode=yes deploy@$second true
echo "all good"
