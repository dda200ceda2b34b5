#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Whatever is refused, dies or is revoked, before or during a command, never ends in exit status 0: not
# for ssh, and not for what is built on it. CLIENT: another client than ssh (test_warren_ssh_failures.sh).
. "$WARREN_SRC/tests/netns/lib.sh"
prepare
mesh
host=second.warren.internal
CLIENT=${CLIENT:-ssh}
on first warren openssh install

note "before: nobody is logged in, and nobody is there to log in"
expect 255 on first $CLIENT -o BatchMode=yes deploy@$host true </dev/null
says 'warren login'
expect 255 on first setsid $CLIENT -o BatchMode=yes deploy@$host true </dev/null
expect 255 on first warren ssh -o BatchMode=yes deploy@second true
says 'warren login'
expect 4 on first warren openssh proxy $host 22 deploy </dev/null
login

note "before: refused logins, and what is built on ssh"
expect 255 on first $CLIENT -o BatchMode=yes daemon@$host true
expect 255 on first warren ssh -o BatchMode=yes daemon@second true
expect 255 on first scp -S $CLIENT -q -o BatchMode=yes $T/password daemon@$host:x
expect 255 on first sftp -S $CLIENT -q -o BatchMode=yes daemon@$host
expect 255 on first $CLIENT -o BatchMode=yes deploy@nothing.warren.internal true
expect 1 on first warren openssh proxy nothing.warren.internal 22 deploy </dev/null
expect 0 on first $CLIENT -o BatchMode=yes deploy@$host true

alive() { pgrep -u deploy -f "$1"; }
processes() { # NAME: session processes of the connection: monitor | verifier | worker
	local broker pid parent monitor=
	broker=$(cat $T/pids/second)
	for pid in $(pgrep -f 'warren-ssh-session'); do
		parent=$(ps -o ppid= -p $pid | tr -d ' ') || continue # gone meanwhile
		[ "$parent" = "$broker" ] && monitor=$pid
	done
	[ -n "$monitor" ] || return 1
	case $1 in
	monitor) echo $monitor ;;
	worker) pgrep -P $monitor -f -- '--worker' ;;
	verifier) pgrep -P $monitor -f 'warren-ssh-session' | while read -r p; do
		grep -qa -- --worker /proc/$p/cmdline || [ "$(stat -c %u /proc/$p)" = 61810 ] || echo $p
	done | head -n 1 ;;
	esac
}
count=0
dies() { # NAME COMMAND-THAT-ENDS-IT…: ssh, scp and rsync in the middle
	local name=$1 got
	shift
	count=$((count + 1))
	on first timeout 400 ssh -o BatchMode=yes deploy@$host "sleep 47$count; exit 0" >$T/live.$count 2>&1 &
	live=$!
	within 60 alive "sleep 47$count"
	"$@"
	got=0
	wait $live || got=$?
	[ $got = 255 ] || fail "$name in the middle: status $got: $(cat $T/live.$count)"
}
kill_one() { kill -9 $(processes $1); }
for part in monitor worker verifier; do
	note "$part is killed in the middle of a command"
	if [ $part = verifier ]; then
		# It judges; the command may go on until the next judgement, but never ends well by itself.
		[ -n "$(on first $CLIENT -o BatchMode=yes deploy@$host 'echo x')" ] || fail "no login before"
		dies $part bash -c "$(declare -f processes kill_one); T=$T; kill_one verifier; sleep 0.5; kill -9 \$(processes monitor) 2>/dev/null || true"
	else
		dies $part kill_one $part
	fi
	within 60 on first $CLIENT -o BatchMode=yes -o ConnectTimeout=30 deploy@$host true
done

note "the copy's other end is killed in the middle"
truncate -s 400M $T/big # minutes, at these rates
for tool in scp 'scp -O' rsync sftp; do
	rm -f $T/home/deploy/big* $T/home/deploy/.big*
	case $tool in
	scp*) on first $tool -S $CLIENT -q -o BatchMode=yes -l 8000 $T/big deploy@$host:big >$T/copy 2>&1 & ;;
	rsync) on first rsync --bwlimit=1000 -e $CLIENT $T/big deploy@$host:big >$T/copy 2>&1 & ;;
	sftp) on first sftp -S $CLIENT -q -l 8000 -b - deploy@$host >$T/copy 2>&1 <<<"put $T/big big" & ;;
	esac
	copy=$!
	within 60 bash -c "find $T/home/deploy -name '*big*' -size +100k | grep -q ."
	kill_one worker
	got=0
	wait $copy || got=$?
	[ $got != 0 ] || fail "$tool ended with 0 though the connection died"
	note "  $tool: $got"
done
rm -f $T/big

note "a -W that is ended from outside is no success, and says why"
ip netns exec second socat -t 60 TCP-LISTEN:7003,bind=127.0.0.1,fork,reuseaddr EXEC:cat 2>/dev/null &
listening second 7003
rm -f $T/hold
mkfifo $T/hold
on first $CLIENT -W 127.0.0.1:7003 deploy@$host <$T/hold >$T/stdio 2>&1 &
live=$!
exec 8>$T/hold
echo through >&8
within 60 grep -q through $T/stdio
on second warren sessions end "$(on second warren --json sessions | jq '[.sessions[].id] | max')"
got=0
wait $live || got=$?
exec 8>&-
[ $got = 255 ] || fail "an ended -W: status $got: $(cat $T/stdio)"
grep -q 'ended\|closed by remote host' $T/stdio || fail "no reason: $(cat $T/stdio)"

note "the target's daemon is killed in the middle of a command"
dies "the target's daemon" bash -c "kill -9 $(cat $T/pids/second)"
peer_start second
within 60 on first $CLIENT -o BatchMode=yes -o ConnectTimeout=30 deploy@$host true

note "root withdraws SSH in the middle of a command"
dies "the switch" on second warren up --allow-server-ssh=false
on second warren up --allow-server-ssh >/dev/null
within 60 on first $CLIENT -o BatchMode=yes -o ConnectTimeout=30 deploy@$host true

note "policy changes in the middle of a command"
narrow() {
	policy <<EOF2
{ "rules": [ { "from": ["peer:first"], "to": ["peer:second"], "proto": "tcp", "ports": "22" } ] }
EOF2
}
dies "the policy" narrow
grep -q 'access was withdrawn' $T/live.$count || fail "no reason: $(cat $T/live.$count)"
expect 255 on first $CLIENT -o BatchMode=yes deploy@$host true
says rule
usual_policy
within 60 on first $CLIENT -o BatchMode=yes -o ConnectTimeout=30 deploy@$host true
# Without a session that could say it, the connection's last words do.
on first timeout 100 $CLIENT -o BatchMode=yes -N deploy@$host >$T/idle 2>&1 &
idle=$!
here() { on second warren --json sessions | jq -e '[.sessions[] | select(.identity != null and .identity != "")] | length == 1'; }
within 60 here
narrow
got=0
wait $idle || got=$?
[ $got = 255 ] || fail "an idle connection: status $got: $(cat $T/idle)"
grep -q 'Received disconnect from .*:11: access was withdrawn: no ssh rule' $T/idle || fail "no last words: $(cat $T/idle)"
usual_policy
within 60 on first $CLIENT -o BatchMode=yes -o ConnectTimeout=30 deploy@$host true

note "without the daemon there is no mesh, and no login that looks like one"
stop first
expect 255 on first $CLIENT -o BatchMode=yes -o ConnectTimeout=30 deploy@$host true
expect 255 on first warren ssh deploy@second true
echo "all good"
