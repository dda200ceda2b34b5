#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The end of access is the end of everything that a connection carries: a terminal with an agent, -R with a
# flow, -D with a flow, an sftp and a scp transfer under way. By a changed policy, by the ssh section gone, by
# an administrator, and when the target hears of it only later. Each client says why and ends with 255, the
# server keeps no listener, socket or process, and the audit log knows the reason.
. "$WARREN_SRC/tests/netns/lib.sh"
prepare
mesh
login
on first warren openssh install
host=second.warren.internal
for ns in first second; do ip netns exec $ns socat -t 60 TCP-LISTEN:7777,fork,reuseaddr,bind=127.0.0.1 EXEC:cat & done
listening first 7777
listening second 7777
eval "$(ip netns exec first ssh-agent)" >/dev/null
truncate -s 400M $T/large # a quarter of an hour, at their rate
rules='"rules": [ { "from": ["peer:first"], "to": ["peer:second"], "proto": "tcp", "ports": "22,7000-7010" } ]'
audit=$T/second/root/audit.jsonl

background() { # NAME COMMAND…: its output goes to $T/NAME
	local name=$1
	shift
	on first "$@" </dev/null >$T/$name 2>&1 &
	eval "$name=$!"
}
flow() { # NAME NAMESPACE ADDRESS: bytes go there and back
	rm -f $T/in.$1
	mkfifo $T/in.$1
	ip netns exec $2 socat -t 1 - "$3" <$T/in.$1 >$T/flow.$1 2>/dev/null &
	eval "flow_$1=$!"
}
live() {
	local agent
	: >$T/agent.path
	background terminal ssh -tt -A -o BatchMode=yes deploy@$host 'echo agent=$SSH_AUTH_SOCK; sleep 600'
	background remote ssh -N -o BatchMode=yes -o ExitOnForwardFailure=yes -R 127.0.0.1:7901:127.0.0.1:7777 deploy@$host
	background dynamic ssh -N -o BatchMode=yes -o ExitOnForwardFailure=yes -D 127.0.0.1:7902 deploy@$host
	echo "put $T/large large" >$T/batch
	background sftp sftp -l 4000 -b $T/batch deploy@$host
	background scp scp -B -l 4000 -O deploy@$host:$T/large $T/copy
	within 60 grep -q agent=/ $T/terminal
	agent=$(tr -d '\r' <$T/terminal | sed -n 's/^agent=//p')
	[ -S "$agent" ] || fail "no agent: $agent"
	agent_socket=$agent
	listening second 7901
	listening first 7902
	flow remote second TCP:127.0.0.1:7901
	flow dynamic first SOCKS4A:127.0.0.1:127.0.0.1:7777,socksport=7902
	exec 7>$T/in.remote 8>$T/in.dynamic
	echo one >&7
	echo one >&8
	within 60 grep -q one $T/flow.remote
	within 60 grep -q one $T/flow.dynamic
	within 60 test -s $T/home/deploy/large
	ends=$(grep -c '"event":"ssh.ending"' $audit || true)
}
ended() { # TEXT
	local name pid got start=${EPOCHREALTIME/./}
	for name in terminal remote dynamic sftp scp; do
		pid=${!name}
		for _ in $(seq 3000); do
			kill -0 $pid 2>/dev/null || break
			sleep 0.02
		done
		[ $name != dynamic ] || echo "   over after $(((${EPOCHREALTIME/./} - start) / 1000)) ms"
	done
	# What transfers at a limited rate sleeps before it looks.
	within 60 sh -c "! kill -0 $sftp && ! kill -0 $scp"
	for name in terminal remote dynamic sftp scp; do
		got=0
		wait ${!name} || got=$?
		case $name:$got in
		*:255 | scp:1 | sftp:141) ;; # sftp dies of SIGPIPE while it writes
		*) fail "$name ended with $got: $(cat $T/$name)" ;;
		esac
		within 60 grep -qiE -- "$1" $T/$name # sftp ends before its ssh does
	done
	exec 7>&- 8>&-
	wait $flow_remote $flow_dynamic 2>/dev/null || true
	within 60 sh -c '! ip netns exec second ss -Hltn | grep -q 127.0.0.1:7901'
	within 60 sh -c "! pgrep -u deploy && ! pgrep -f '[w]arren-ssh-session'"
	[ ! -e "$agent_socket" ] || fail "the agent's socket is still there"
	within 60 over # their last words are in the log: nothing is added to it
	[ "$(grep -c '"event":"ssh.ending"' $audit)" = $((ends + 5)) ] || fail "audit: not five ends"
	tail -n 60 $audit | jq -es --arg t "$1" '[.[] | select(.event == "ssh.ending")][-5:] | all(.reason | test($t; "i"))' >/dev/null ||
		fail "audit: $(tail -n 60 $audit | grep ssh.ending)"
	rm -f $T/home/deploy/large
}
over() { # every connection has its end in the log
	jq -e -s '[.[] | select(.event == "ssh.connection") | .connection] - [.[] | select(.event == "ssh.end") | .connection] == []' $audit
}
allowed() {
	usual_policy
	within 60 on first ssh -o BatchMode=yes -o ConnectTimeout=30 deploy@$host true
}

note "another rule in its place"
live
policy <<EOF
{ $rules, "ssh": [ { "from": ["$USER_MAIL"], "to": ["peer:second"], "logins": ["root"], "allow": ["shell"] } ] }
EOF
ended withdrawn
allowed

note "no ssh section at all"
live
policy <<<"{ $rules }"
ended withdrawn
allowed

note "by an administrator, one by one"
live
for id in $(on second warren --json sessions | jq -r '.sessions[].id'); do
	on second warren sessions end "$id" >/dev/null || true
done
ended 'administrator|ended'

note "the target hears of it when control is there again"
live
ip -n second route add blackhole 198.51.100.2
ip netns exec second ss -K dst 198.51.100.2 >/dev/null 2>&1 || true
policy <<<"{ $rules }"
sleep 1
kill -0 $terminal || fail "ended by nobody who could know"
ip -n second route del blackhole 198.51.100.2
within 120 sh -c "! kill -0 $terminal"
ended withdrawn
allowed
echo "all good"
