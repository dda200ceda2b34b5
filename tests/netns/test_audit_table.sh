#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Everything that the audit log is to have, played with real clients, one row each: what is done, and the record that must
# come of it. Each record says who (identity, machine, login), from where and on which connection.
. "$WARREN_SRC/tests/netns/lib.sh"
prepare
add_account locked 61811 /bin/bash '!x'
mesh
login
on first warren openssh install
host=second.warren.internal
log=$T/second/root/audit.jsonl
policy <<X
{ "groups": { "ops": ["$USER_MAIL"] },
  "rules": [ { "from": ["peer:first"], "to": ["peer:second"], "proto": "tcp", "ports": "22" } ],
  "ssh": [ { "from": ["ops"], "to": ["peer:second"], "logins": ["deploy", "locked"],
             "allow": ["shell", "exec", "sftp", "forward", "remote-forward", "agent"],
             "destinations": ["127.0.0.1:7777", "127.0.0.1:9"] } ] }
X
ip netns exec second socat -t 60 TCP-LISTEN:7777,fork,reuseaddr,bind=127.0.0.1 SYSTEM:'read x; echo from-second' &
ip netns exec first socat -t 60 TCP-LISTEN:7778,fork,reuseaddr,bind=127.0.0.1 SYSTEM:'read x; echo from-first' &
listening second 7777
listening first 7778
s() { on first timeout 300 ssh -o BatchMode=yes "$@"; }
within 60 arrived second
within 60 s deploy@$host true
caller=$(overlay first)
caller_target=$(overlay second)

since=0
row() { # what comes now is a row of its own
	since=$(tail -n 1 $log | jq .seq)
	note "$1"
}
found() { jq -e -s "[.[] | select(.seq > $since)] | any(.[]; $1)" $log; }
record() { # JQ CONDITION…: there are such records, of the row
	local condition
	for condition; do
		for _ in $(seq 600); do
			found "$condition" >/dev/null 2>&1 && continue 2
			sleep 0.1
		done
		jq -c "select(.seq > $since) | del(.prev, .hash)" $log >&2
		fail "no record: $condition"
	done
}
who='.identity == "'$USER_MAIL'" and .peer == "first" and .login == "deploy" and (.client | startswith("'$caller':")) and .connection > 0'

row "connection, login, command, end"
s deploy@$host 'echo hello; exit 7' >/dev/null || true
record '.event == "ssh.connection" and (.client | startswith("'$caller':")) and .network != ""' \
	'.event == "ssh.login" and .method == "certificate" and '"$who" \
	'.event == "ssh.session" and .kind == "exec" and .command == "echo hello; exit 7" and .pid > 1 and '"$who" \
	'.event == "ssh.session.end" and .status == 7 and .duration_ms >= 0 and '"$who" \
	'.event == "ssh.end" and .duration_ms > 0 and .bytes_received > 1000 and .bytes_sent > 1000 and .reason == "closed" and '"$who"

row "a shell on a terminal, ended by a signal"
on first script -qec "ssh -tt -o BatchMode=yes deploy@$host" /dev/null <<<'kill -KILL $$' >/dev/null 2>&1 || true
record '.event == "ssh.session" and .kind == "shell" and (.tty | startswith("/dev/pts/")) and '"$who" \
	'.event == "ssh.session.end" and .signal == "KILL" and '"$who"

row "a client that leaves its command behind"
s deploy@$host 'trap "" HUP; echo up; sleep 600' >$T/left & left=$!
within 60 grep -q up $T/left
pkill -KILL -P $left -x timeout || kill -KILL $left
pkill -KILL -f "^ssh -o BatchMode=yes deploy@$host trap" || true
wait $left 2>/dev/null || true
record '.event == "ssh.session.end" and .code == "connection-over" and '"$who" '.event == "ssh.end" and '"$who"

row "sftp: each operation with its path, bytes with transfers"
head -c 70000 /dev/zero >$T/seventy
cat >$T/batch <<X
put $T/seventy up
get up $T/down
rename up other
mkdir folder
symlink other link
chmod 600 other
rm link
rmdir folder
rm other
X
on first sftp -q -b $T/batch deploy@$host >/dev/null
record '.event == "ssh.session" and .kind == "subsystem" and .command == "sftp" and '"$who"
record '.event == "ssh.sftp" and .op == "close" and (.path | endswith("/up")) and .bytes_written == 70000 and '"$who" \
	'.event == "ssh.sftp" and .op == "close" and (.path | endswith("/up")) and .bytes_read == 70000 and '"$who" \
	'.event == "ssh.sftp" and .op == "set" and (.path | endswith("/other")) and .detail == "0600" and '"$who" \
	'.event == "ssh.sftp" and (.path | endswith("/up")) and (.new_path // "" | endswith("/other")) and '"$who" \
	'.event == "ssh.sftp" and .op == "mkdir" and (.path | endswith("/folder")) and '"$who" \
	'.event == "ssh.sftp" and .op == "symlink" and '"$who" \
	'.event == "ssh.sftp" and .op == "rmdir" and (.path | endswith("/folder")) and '"$who" \
	'.event == "ssh.sftp" and .op == "remove" and (.path | endswith("/other")) and '"$who"

row "scp"
on first scp -q $T/seventy deploy@$host:by-scp
record '.event == "ssh.sftp" and .op == "close" and (.path | endswith("by-scp")) and .bytes_written == 70000 and '"$who"
row "scp -O"
on first scp -q -O $T/seventy deploy@$host:by-scp
record '.event == "ssh.session" and .kind == "exec" and (.command | startswith("scp -t")) and '"$who"

row "-W, -L and -D: each with its destination and bytes"
echo x | s -W 127.0.0.1:7777 deploy@$host >$T/out
says from-second
record '.event == "ssh.forward" and .to == "127.0.0.1:7777" and '"$who" \
	'.event == "ssh.forward.end" and .to == "127.0.0.1:7777" and .bytes_received == 2 and .bytes_sent == 12 and .duration_ms >= 0 and '"$who"
row "a forward that is open when the client leaves"
s -N -L 127.0.0.1:7790:127.0.0.1:7777 deploy@$host & forward=$!
listening first 7790
ip netns exec first socat -u EXEC:'sleep 600' TCP:127.0.0.1:7790 & flow=$!
record '.event == "ssh.forward" and .to == "127.0.0.1:7777" and '"$who"
kill $(pgrep -P $forward) $forward 2>/dev/null || true
record '.event == "ssh.forward.end" and .to == "127.0.0.1:7777" and .duration_ms >= 0 and '"$who" '.event == "ssh.end" and '"$who"
kill $flow 2>/dev/null || true
row "a destination that policy denies, and one where nobody listens"
s -W 127.0.0.1:7779 deploy@$host </dev/null >/dev/null 2>&1 && fail "a denied destination"
record '.event == "ssh.forward.refused" and .to == "127.0.0.1:7779" and (.reason | contains("policy")) and '"$who"
s -W 127.0.0.1:9 deploy@$host </dev/null >/dev/null 2>&1 || true
record '.event == "ssh.forward.refused" and .to == "127.0.0.1:9" and (.reason | contains("refused")) and '"$who"

row "-R: the listener, who came, and the bytes"
s -N -R 127.0.0.1:7781:127.0.0.1:7778 -o ExitOnForwardFailure=yes deploy@$host & remote=$!
listening second 7781
record '.event == "ssh.listen" and .on == "127.0.0.1:7781" and '"$who"
[ "$(echo x | ip netns exec second socat -t 60 - TCP:127.0.0.1:7781)" = from-first ] || fail "-R"
record '.event == "ssh.forward" and .on == "127.0.0.1:7781" and (.from | startswith("127.0.0.1:")) and '"$who" \
	'.event == "ssh.forward.end" and .on == "127.0.0.1:7781" and .bytes_received == 11 and .bytes_sent == 2 and (.from | startswith("127.0.0.1:")) and '"$who"
kill $(pgrep -P $remote) $remote 2>/dev/null || true
row "-R on a port that is not for this account"
s -N -R 80:127.0.0.1:7778 -o ExitOnForwardFailure=yes deploy@$host 2>/dev/null && fail "port 80"
record '.event == "ssh.listen.refused" and (.on | endswith(":80")) and (.reason | contains("port")) and '"$who"

row "agent forwarding: its socket, and each use with bytes"
eval "$(ssh-agent -s)" >/dev/null
on first ssh -A -o BatchMode=yes -o ForwardAgent=$SSH_AUTH_SOCK deploy@$host 'ssh-add -l' >/dev/null 2>&1 || true
record '.event == "ssh.listen" and .on == "agent" and '"$who" '.event == "ssh.forward" and .to == "agent" and '"$who" \
	'.event == "ssh.forward.end" and .to == "agent" and .bytes_sent > 0 and .bytes_received > 0 and '"$who"
kill $SSH_AGENT_PID

row "refused: by policy, by the account, by a key, by time; each with a code and a sentence"
on first warren ssh-cert deploy@second --out $T/c >/dev/null
s locked@$host true 2>/dev/null && fail "locked"
record '.event == "ssh.login.refused" and .code == "account" and .login == "locked" and .identity == "'$USER_MAIL'" and (.reason | contains("locked"))'
ssh-keygen -q -t ed25519 -N '' -f $T/stranger
ip netns exec first ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -i $T/stranger -o IdentityAgent=none \
	deploy@$caller_target true 2>/dev/null && fail "a stranger's key"
record '.event == "ssh.login.refused" and .code == "key" and .method == "publickey" and .login == "deploy" and (.client | startswith("'$caller':")) and .reason != ""'

sed 's/"deploy", //' $T/policy.json >$T/narrow.json
ctl policy set $T/narrow.json
gone() { ! s deploy@$host true 2>/dev/null; }
within 60 gone
ip netns exec first ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -i $T/c -o IdentityAgent=none \
	deploy@$caller_target true 2>/dev/null && fail "policy"
record '.event == "ssh.login.refused" and .code == "policy" and .login == "deploy" and .identity == "'$USER_MAIL'" and .method == "certificate" and (.reason | contains("policy lets"))'
ctl policy set $T/policy.json
within 60 s deploy@$host true

row "a session that policy does not know"
s -s deploy@$host nosuch >/dev/null 2>&1 && fail "a subsystem"
record '.event == "ssh.session.refused" and (.reason | contains("subsystem")) and '"$who"

row "an administrator ends it"
s deploy@$host 'echo up; sleep 600' >$T/live 2>/dev/null & live=$!
within 60 grep -q up $T/live
expect 0 on second warren sessions end "$(on second warren --json sessions | jq '[.sessions[].id] | max')"
wait $live 2>/dev/null || true
record '.event == "ssh.ending" and (.reason != "") and '"$who" '.event == "ssh.end" and '"$who"

note "whatever was done under a login says whose it was"
jq -e -s 'all(.[] | select(.event | test("^ssh\\.(session|sftp|forward|listen)")); .identity and .peer and .login and .client and .connection)' $log >/dev/null ||
	fail "a record without its person"
within 60 jq -e -s '[.[] | select(.event == "ssh.connection") | .connection] - [.[] | select(.event == "ssh.end") | .connection] | length <= 1' $log
within 60 warren audit verify --dir $T/second/root
echo "all good"
