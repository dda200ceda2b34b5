#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every process has what ARCHITECTURE.md says of it, as the kernel tells: account, capabilities, no_new_privs,
# seccomp, limits, root folder. And a worker that is ended for memory ends alone.
. "$WARREN_SRC/tests/netns/lib.sh"
prepare
mesh
login
on first warren openssh install
host=second.warren.internal
s() { on first timeout 300 ssh -o BatchMode=yes deploy@$host "$@"; }

field() { sed -n "s/^$2:[[:space:]]*//p" /proc/$1/status | xargs; }
limit() { awk -v k="$2" 'index($0, k) == 1 {sub(k " *", ""); print $1}' /proc/$1/limits; }
is() { # WHAT EXPECTED GOT
	[ "$2" = "$3" ] || fail "$1: $3 instead of $2"
}
confined() { # NAME PID ACCOUNT: no rights at all
	[ -n "$2" ] || fail "$1 does not run"
	local uid field
	uid=$(id -u $3 2>/dev/null || echo 65534) # without an account of its own: nobody
	is "$1: account" "$uid $uid $uid $uid" "$(field $2 Uid)"
	is "$1: groups" "" "$(field $2 Groups)"
	for field in CapInh CapPrm CapEff CapBnd CapAmb; do
		is "$1: $field" 0000000000000000 "$(field $2 $field)"
	done
	is "$1: no_new_privs" 1 "$(field $2 NoNewPrivs)"
	is "$1: seccomp" 2 "$(field $2 Seccomp)"
	is "$1: core dumps" 0 "$(limit $2 'Max core file size')"
	# Not dumpable: what /proc has of it is root's.
	is "$1: not dumpable" root "$(stat -c %U /proc/$2/mem)"
}
nowhere() { # NAME PID: an empty root that nothing can be made in
	is "$1: root" "" "$(ls -A /proc/$2/root/)"
	[ "$(readlink /proc/$2/root)" != / ] || fail "$1: the machine's root"
	touch /proc/$2/root/x 2>/dev/null && fail "$1: its root can be written to"
	is "$1: processes" 0 "$(limit $2 'Max processes')"
	true
}
only() { # PATTERN [PARENT]
	pgrep ${2:+-P "$2"} -f -- "$1" | head -n 1
}

note "the daemon"
broker=$(cat $T/pids/second)
main=$(only '--role main' $broker)
engine=$(only '--role engine' $broker)
confined main "$main" warren
confined engine "$engine" warren-engine
nowhere engine $engine
on first ping -c 3 -i 0.2 -W 1 $(overlay second) >/dev/null || true # there is a session
jq -r .node $T/second/main/keys.json >$T/node-key
python3 "$WARREN_SRC/tests/support/find_key.py" $engine $T/node-key >$T/keys 2>$T/where
jq -e '.locked > 0 and .loose == 0' $T/keys >/dev/null || fail "the machine's key in the engine's memory: $(cat $T/keys $T/where)"
# Two pools, one with the peer and one with its session, beside the device itself.
[ "$(field $engine VmLck | cut -d' ' -f1)" -ge 80 ] || fail "the engine locks $(field $engine VmLck)"
is "broker: account" "0 0 0 0" "$(field $broker Uid)"
is "broker: core dumps" 0 "$(limit $broker 'Max core file size')"

note "the control server"
server=$(cat $T/pids/control)
signer=$(pgrep -P $server | head -n 1)
is "control: account" "$(id -u warren-control)" "$(field $server Uid | awk '{print $1}')"
is "control: rights" 0000000000000000 "$(field $server CapEff)"
is "control: no_new_privs" 1 "$(field $server NoNewPrivs)"
is "control: seccomp" 2 "$(field $server Seccomp)"
for thread in /proc/$server/task/*; do is "control: seccomp of each thread" 2 "$(sed -n 's/^Seccomp:[[:space:]]*//p' $thread/status)"; done
confined signer "$signer" warren-signer
nowhere signer $signer

note "an SSH connection"
s 'echo up; sleep 300' >$T/up & connection=$!
within 60 grep -q up $T/up
monitor=$(only warren-ssh-session $broker)
worker=$(only 'warren-ssh-worker --worker' $monitor)
verifier=$(pgrep -P $monitor | head -n 1) # forked first
is "monitor: account" "0 0 0 0" "$(field $monitor Uid)"
is "monitor: core dumps" 0 "$(limit $monitor 'Max core file size')"
confined worker "$worker" warren-ssh
nowhere worker $worker
# Nothing of Kerberos, which libssh would enter for a stranger (sanitized builds have the system's).
if [ -d $T/lib ]; then
	is "worker: its libgssapi_krb5" $T/lib/warren/libgssapi_krb5.so.2 \
		"$(grep -oE '/[^ ]*(krb5|k5crypto)[^ ]*' /proc/$worker/maps | sort -u)"
fi
confined verifier "$verifier" warren-ssh
nowhere verifier $verifier
is "worker: address space" $((512 << 20)) "$(limit $worker 'Max address space')"
is "worker: descriptors" 4096 "$(limit $worker 'Max open files')"
is "worker: file size" 0 "$(limit $worker 'Max file size')"
is "verifier: file size" 0 "$(limit $verifier 'Max file size')"
is "worker: no file but the log that it cannot make longer" "" \
	"$(find /proc/$worker/fd -type l ! -name 1 ! -name 2 -printf '%l\n' | grep -vE '^(socket:|pipe:|/dev/null)' || true)"
shell=$(pgrep -n -u deploy -f 'sleep 300')
is "the session: account" "$(id -u deploy)" "$(field $shell Uid | awk '{print $1}')"
is "the session: rights" 0000000000000000 "$(field $shell CapEff)"
is "the session: seccomp is not inherited" 0 "$(field $shell Seccomp)"
is "the session: no_new_privs is not inherited" 0 "$(field $shell NoNewPrivs)"
[ "$(cat /proc/$worker/oom_score_adj)" -ge "$(cat /proc/$monitor/oom_score_adj)" ] || fail "the monitor would die before the worker"
[ "$(cat /proc/$worker/oom_score_adj)" -ge 0 ] || fail "the kernel would spare the worker"

note "a worker ends alone"
mkfifo $T/line
s 'while read -r x; do echo "$x"; done' <$T/line >$T/echoed & other=$!
exec 7>$T/line
echo first >&7
within 60 grep -q first $T/echoed
kill -KILL $worker # as the kernel does when memory is short
got=0
wait $connection || got=$?
is "its client" 255 $got
echo still >&7
exec 7>&-
wait $other || fail "another connection ended with it"
is "another connection" "first still" "$(xargs <$T/echoed)"
s true || fail "no new connection"
within 60 sh -c "! kill -0 $monitor 2>/dev/null"
is "the broker is the same" "$broker" "$(cat $T/pids/second)"
kill -0 $broker || fail "the broker died"
is "main and engine are the same" "$main $engine" "$(only '--role main' $broker) $(only '--role engine' $broker)"

note "files only"
policy <<X
{ "groups": { "ops": ["$USER_MAIL"] },
  "rules": [ { "from": ["peer:first"], "to": ["peer:second"], "proto": "tcp", "ports": "22" } ],
  "ssh": [ { "from": ["ops"], "to": ["peer:second"], "logins": ["deploy"], "files_only": true } ] }
X
within 60 sh -c "! WARREN_SOCKET=$T/first.sock ip netns exec first ssh -o BatchMode=yes deploy@$host true 2>/dev/null"
mkfifo $T/batch
on first sftp -q -b $T/batch deploy@$host >$T/sftp & transfer=$!
exec 8>$T/batch
within 60 pgrep -f 'warren-sftp-server --root'
server=$(pgrep -n -f 'warren-sftp-server --root')
sftp_is_confined() { [ "$(field $server Seccomp)" = 2 ]; }
within 60 sftp_is_confined
is "sftp: account" "$(id -u deploy)" "$(field $server Uid | awk '{print $1}')"
is "sftp: no_new_privs" 1 "$(field $server NoNewPrivs)"
is "sftp: rights" 0000000000000000 "$(field $server CapEff)"
echo quit >&8
exec 8>&-
wait $transfer || fail "sftp"
echo "all good"
