#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What ends access ends it now: logout, a disabled, removed or blocked person, a revoked certificate, a
# login that is over, an ended session, a removed machine. Each closes sessions and forwards, with a
# line to the user and status 255, and what was handed out before opens nothing any more.
. "$WARREN_SRC/tests/netns/lib.sh"
prepare
mesh
login
on first warren openssh install
host=second.warren.internal
ip netns exec second socat -t 60 TCP-LISTEN:7777,fork,reuseaddr,bind=127.0.0.1 EXEC:cat &
listening second 7777
port=7800

# A terminal, and a forward of its own connection with a flow through it.
live() {
	port=$((port + 1))
	on first ssh -tt -o BatchMode=yes deploy@$host 'echo up; sleep 600' </dev/null >$T/live 2>&1 &
	live=$!
	on first ssh -N -o BatchMode=yes -o ExitOnForwardFailure=yes -L 127.0.0.1:$port:127.0.0.1:7777 \
		deploy@$host </dev/null >$T/forward 2>&1 &
	forward=$!
	within 60 grep -q up $T/live
	listening first $port
	rm -f $T/in
	mkfifo $T/in
	ip netns exec first socat -t 1 - TCP:127.0.0.1:$port <$T/in >$T/flow 2>/dev/null &
	flow=$!
	exec 9>$T/in
	echo one >&9
	within 60 grep -q one $T/flow
}
# Both are over, 255, and the terminal's user was told (the second's too: its client prints it).
ended() { # TEXT
	local got start=${EPOCHREALTIME/./} end
	for pid in $live $forward; do
		for _ in $(seq 3000); do # far less than their commands take
			kill -0 $pid 2>/dev/null || break
			sleep 0.02
		done
		! kill -0 $pid 2>/dev/null || fail "still there: $(cat $T/live $T/forward)"
		got=0
		wait $pid || got=$?
		[ $got = 255 ] || fail "ended with $got: $(cat $T/live $T/forward)"
	done
	end=${EPOCHREALTIME/./}
	echo "   over after $(((end - start) / 1000)) ms"
	exec 9>&-
	wait $flow 2>/dev/null || true
	grep -qiE -- "$1" $T/live || fail "the terminal does not say \"$1\": $(cat $T/live)"
	grep -qiE -- "$1" $T/forward || fail "the forward's client does not say \"$1\": $(cat $T/forward)"
}
refused() { # TEXT: no new login, with or without the certificates of before
	expect 255 on first ssh -o BatchMode=yes deploy@$host true
	says "$1"
}
allowed() { within 60 on first ssh -o BatchMode=yes -o ConnectTimeout=30 deploy@$host true; }

note "logout: this person's sessions on targets end"
live
on first warren --json logout >$T/out
jq -e '.told' $T/out >/dev/null || fail "logout: $(cat $T/out)"
ended 'log in again'
refused 'log'
login
allowed

note "logout without control: said clearly, and done when it is back"
live
stop control
expect 1 on first warren logout
says 'control server could not be told'
kill -0 $live || fail "ended without anybody who could say so"
control_start
ended 'log in again'
login
allowed

note "and also when the daemon was started anew meanwhile"
live
stop control
expect 1 on first warren logout
stop first
peer_start first
[ "$(on second warren --json sessions | jq '.sessions | length')" = 2 ] || fail "ended too early"
control_start
within 60 sh -c "WARREN_SOCKET=$T/second.sock ip netns exec second warren --json sessions | jq -e '.sessions == []'"
kill $live $forward 2>/dev/null || true
exec 9>&-
within 60 direct first
login
allowed

note "a user is disabled: sessions, tokens and certificates; enabled again they log in anew"
live
ctl user disable $USER_MAIL
ended 'log in again'
ctl --json identity list | jq -e --arg m $USER_MAIL '.blocked[0].identity == $m' >/dev/null || fail "identity list"
refused '.'
expect 1 ctl identity unblock $USER_MAIL
says 'user enable'
expect 1 ctl user disable nobody@example.com
says 'there is no user'
ctl user enable $USER_MAIL
login
allowed

note "an identity is blocked, whoever its provider is"
live
ctl identity block ALICE@example.com
ended 'log in again'
refused '.'
ctl identity unblock $USER_MAIL
expect 1 ctl identity unblock $USER_MAIL
says 'not blocked'
login
allowed

note "certificates are revoked one by one"
live
ctl --json cert list --identity $USER_MAIL --limit 1000 | jq -r '.certs[] | select(.state == "valid") | .serial' >$T/serials
[ -s $T/serials ] || fail "no serial"
while read -r serial; do ctl cert revoke "$serial"; done <$T/serials
ended 'revoked'
serial=$(head -n 1 $T/serials)
expect 1 ctl cert revoke "$serial"
says 'already'
expect 1 ctl cert revoke 12345
says 'no certificate'
expect 2 ctl cert revoke
expect 1 ctl cert revoke 0x12
says 'number'
[ "$(ctl --json cert list | jq -r --arg s "$serial" '.certs[] | select(.serial == $s) | .state')" = revoked ] ||
	fail "the list does not know it"

note "all certificates of a person"
on first warren logout >/dev/null
login
allowed
live
ctl cert revoke --identity $USER_MAIL
ended 'log in again'
rm -rf /run/warren/u # as after five minutes: certificates are kept that long
allowed

note "one session by its id"
live
for id in $(on second warren --json sessions | jq -r '.sessions[].id'); do
	on second warren sessions end "$id" >/dev/null || true # that of before may be gone meanwhile
done
ended 'administrator|ended'
allowed

# The tunnel goes with the machine, but behind the line to the user. Nothing is left on the server.
over_there() { # TEXT
	ended "$1"
	within 60 sh -c '! pgrep -u deploy'
	within 60 sh -c "! pgrep -f '[w]arren-ssh-session'"
}

note "the caller leaves the network by an administrator's hand"
live
ctl peer remove first
over_there 'withdrawn.*calling machine'
stop first
rm -rf $T/first
peer_start first
on first warren up --control $CONTROL_URL --setup-key-file $T/setup-key --hostname first --ssh-jwt-cache-ttl 3600
within 60 direct first
login
on first warren openssh install
allowed

note "the target leaves"
live
ctl peer remove second
over_there 'withdrawn.*switched off|removed from the network'
stop second
rm -rf $T/second
peer_start second
# shellcheck disable=SC2086
on second warren up --control $CONTROL_URL --setup-key-file $T/setup-key --hostname second $SSH_FLAGS
within 60 direct first
allowed

note "a person is removed for good"
live
ctl user remove $USER_MAIL
ended 'log in again'
refused '.'
echo "all good"
