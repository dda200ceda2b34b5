#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The caller's daemon, the control server and the target are killed before a login and in the middle of one: never
# exit status 0, always a sentence, and in time. test_openssh_failures.sh kills them during commands.
. "$WARREN_SRC/tests/netns/lib.sh"
prepare
mesh
host=second.warren.internal
second=$(overlay second)
on first warren openssh install
keyline=$(on first warren openssh hostkey $host | cut -d' ' -f2,3)
echo "$second $keyline" >$T/known
plain="-F none -o UserKnownHostsFile=$T/known -o StrictHostKeyChecking=yes -o PubkeyAuthentication=no"

clients=("ssh" "warren ssh --client=own")
fails() { # WHAT SECONDS WORDS COMMAND…: ends with 255 in time and says WORDS
	local what=$1 limit=$2 words=$3 got=0
	shift 3
	on first timeout $limit "$@" >$T/out 2>&1 </dev/null || got=$?
	[ $got = 255 ] || fail "$what: status $got: $* : $(cat $T/out)"
	grep -qiE -- "$words" $T/out || fail "$what: no reason ($words): $* : $(cat $T/out)"
}
waits() { # COMMAND…: on a terminal, until it shows a URL; its status goes to $T/status
	rm -f $T/status
	: >$T/screen
	(
		got=0
		on first timeout 250 script -qefc "$*" $T/screen </dev/null >/dev/null 2>&1 || got=$?
		echo $got >$T/status
	) &
	page() { urls $T/screen | grep .; }
	within 60 page
}
ended() { # WHAT SECONDS WORDS: what waited
	within $2 test -s $T/status
	[ "$(cat $T/status)" = 255 ] || fail "$1: status $(cat $T/status): $(cat $T/screen)"
	grep -aqiE -- "$3" $T/screen || fail "$1: no reason ($3): $(cat $T/screen)"
}
restart() { # PEER
	peer_start $1
	within 60 direct $1
	# The tunnel's session has to be a new one, too.
	within 60 ip netns exec first bash -c "exec 3<>/dev/tcp/$second/22"
}
joined() { on $1 warren --json status | jq -e .management.connected; }

note "in a browser's login: the caller's daemon dies, the control server dies, the target dies"
for client in "${clients[@]}"; do
	waits $client deploy@$host true
	kill -9 "$(cat $T/pids/first)"
	ended "the daemon, $client" 90 'daemon|warren:'
	restart first
done
for client in ssh; do
	waits $client deploy@$host true
	stop control KILL
	sleep 1
	rm -f $T/control.sock
	control_start
	# The provider is back, and with it the login: one that is answered later is as good.
	signin_from $T/screen || true
	within 200 test -s $T/status
	[ "$(cat $T/status)" = 0 ] || grep -aqiE 'warren:|log in' $T/screen || fail "control, $client: $(cat $T/status $T/screen)"
	within 60 joined first
	on first warren logout >/dev/null
done

note "in a login by keyboard-interactive: control dies, the target's daemon dies, the target's processes die"
waits ssh $plain deploy@$second true
stop control KILL
ended "control, keyboard-interactive" 90 'warren|control|denied|closed'
rm -f $T/control.sock
control_start
within 60 joined first
within 60 joined second
waits ssh $plain deploy@$second true
stop second # killed, nobody would be there to tell an idle client
ended "the target's daemon, keyboard-interactive" 90 'closed|denied|reset|broken|disconnect'
restart second
within 60 direct first
waits ssh $plain deploy@$second true
kill -9 $(pgrep -f warren-ssh-worker)
ended "the target's worker, keyboard-interactive" 90 'closed|reset|broken'

note "before: the control server is gone, with a login and without"
login
expect 0 on first ssh -o BatchMode=yes deploy@$host true
stop control KILL
rm -f /run/warren/u/0/*
for client in "${clients[@]}"; do
	fails "no control server, $client" 150 'control server' $client -o BatchMode=yes deploy@$host true
done
rm -f $T/control.sock
control_start
within 60 on first ssh -o BatchMode=yes deploy@$host true

note "before: the target is gone"
kill -9 "$(cat $T/pids/second)"
for client in "${clients[@]}"; do
	fails "no target, $client" 150 'cannot connect|timed out' $client -o BatchMode=yes deploy@$host true
done
restart second
within 60 on first ssh -o BatchMode=yes deploy@$host true

note "before: the caller's daemon is gone"
kill -9 "$(cat $T/pids/first)"
for client in "${clients[@]}"; do
	case $client in
	ssh) words="warren|daemon|could not resolve" ;;
	*) words="daemon" ;;
	esac
	fails "no daemon, $client" 150 "$words" $client -o BatchMode=yes deploy@$host true
done
echo "all good"
