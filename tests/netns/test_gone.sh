#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A peer that disappears in the middle of a session: the client ends with 255 and never with 0, and on
# the server session, monitor, worker, command and terminal are gone soon after, whether the cable was
# cut or the other daemon killed.
. "$WARREN_SRC/tests/netns/lib.sh"
prepare
mesh
host=second.warren.internal
login
on first warren openssh install

processes() { pgrep -c -f '[w]arren-ssh-' || true; }
command_runs() { pgrep -u deploy -f '^sleep 4711'; }
shell_runs() { pgrep -u deploy -f '^sleep 4712'; }
nothing_left() {
	[ "$(processes)" = "$idle" ] && [ -z "$(pgrep -u deploy || true)" ] &&
		on second warren --json sessions | jq -e '.sessions == []'
}
# Two sessions: one that writes all the time, and an idle terminal.
sessions() {
	on first ssh -o BatchMode=yes deploy@$host 'while sleep 0.2; do date; done & sleep 4711' >$T/busy 2>&1 </dev/null &
	busy=$!
	on first ssh -tt -o BatchMode=yes deploy@$host 'tty; exec sleep 4712' >$T/idle 2>&1 </dev/null &
	idle_client=$!
	within 60 command_runs
	within 60 shell_runs
	within 60 grep -q 'dev/pts' $T/idle
	terminal=$(grep -ao '/dev/pts/[0-9]*' $T/idle | head -n 1)
	born=$(stat -c %Z "$terminal")
}
ends_255() { # PID NAME
	local got=0
	wait $1 || got=$?
	[ $got = 255 ] || fail "$2: status $got instead of 255"
}
idle=$(processes)

note "what the kernel watches on the server's side"
sessions
broker=$(cat $T/pids/second)
for fd in /proc/"$broker"/fd/*; do
	[[ $(readlink $fd) == net:* ]] || continue
	nsenter --net=$fd ss -tnoH state established
done >$T/out
[ "$(grep -c . $T/out)" = 2 ] || fail "the server's connections: $(cat $T/out)"
[ "$(grep -c 'timer:(\(keepalive\|on\)' $T/out)" = 2 ] || fail "without keepalive: $(cat $T/out)"

note "the cable is cut"
start=$SECONDS
ip -n router link del v-first
limit=$((SECONDS + 240))
until nothing_left >/dev/null 2>&1; do
	[ $SECONDS -lt $limit ] || fail "still there: $(pgrep -af '[w]arren-ssh-|^sleep 471')"
	sleep 1
done
note "the server noticed after $((SECONDS - start)) s"
ends_255 $busy "busy client"
ends_255 $idle_client "idle client"
note "the clients ended after $((SECONDS - start)) s"
# Its number may be somebody else's by now.
[ "$(stat -c %Z "$terminal" 2>/dev/null)" != "$born" ] || fail "$terminal is still there"

note "the cable is back, and then the other daemon is killed"
link first 192.0.2
within 60 direct first
within 60 on first ssh -o BatchMode=yes deploy@$host true
sessions
start=$SECONDS
for pid in $(cat $T/pids/first) $(pgrep -P "$(cat $T/pids/first)"); do kill -9 $pid || true; done
limit=$((SECONDS + 240))
until nothing_left >/dev/null 2>&1; do
	[ $SECONDS -lt $limit ] || fail "still there: $(pgrep -af '[w]arren-ssh-|^sleep 471')"
	sleep 1
done
note "the server noticed after $((SECONDS - start)) s"
ends_255 $busy "busy client"
ends_255 $idle_client "idle client"
note "the clients ended after $((SECONDS - start)) s"
echo "all good"
