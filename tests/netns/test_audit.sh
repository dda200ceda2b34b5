#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The audit log of a machine: what happened is in it, in one chain; every tampering is named; it survives
# restarts and a full disk; the system's log has a copy. And files_only over the mesh.
. "$WARREN_SRC/tests/netns/lib.sh"
prepare
mkdir -p $T/second
mount -t tmpfs -o mode=700 t $T/second # a disk of its own, to be filled
# journald's place: records come as datagrams.
mkdir -p /run/systemd/journal
mount -t tmpfs t /run/systemd/journal
python3 - $T/journal <<'X' &
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind("/run/systemd/journal/socket")
with open(sys.argv[1], "ab", 0) as f:
    while True:
        f.write(s.recv(200000) + b"\n")
X
within 60 test -S /run/systemd/journal/socket
chmod 666 /run/systemd/journal/socket
mesh
login
host=second.warren.internal
on first warren openssh install
log=$T/second/root/audit.jsonl
verify() { warren audit verify --dir $T/second/root "$@"; }
record() { # JQ CONDITION: there is such a record
	within 60 jq -e -s "any(.[]; $1)" $log
}
sh_() { on first ssh -o BatchMode=yes deploy@$host "$@"; }

note "what happened is in the log, with who, from where and on which connection"
expect 7 sh_ 'exit 7'
echo hello >$T/file
on first scp -q $T/file deploy@$host:one
ip netns exec second socat -t 60 TCP-LISTEN:7777,fork,reuseaddr,bind=127.0.0.1 SYSTEM:'echo from-second' &
listening second 7777
on first ssh -W 127.0.0.1:7777 deploy@$host </dev/null >$T/out
expect 255 on first ssh -o BatchMode=yes root@$host true
[ "$(stat -c '%a %U' $log)" = "600 root" ] || fail "the log's mode: $(stat -c '%a %U' $log)"
caller=$(overlay first)
record '.event == "ssh.connection" and (.client | startswith("'$caller':"))'
record '.event == "ssh.login" and .identity == "'$USER_MAIL'" and .login == "deploy" and .peer == "first" and .method == "certificate"'
record '.event == "ssh.session" and .kind == "exec" and .command == "exit 7" and .identity == "'$USER_MAIL'"'
record '.event == "ssh.session.end" and .status == 7'
record '.event == "ssh.sftp" and .op == "close" and (.path | endswith("one")) and .bytes_written == 6 and .login == "deploy"'
record '.event == "ssh.forward" and .to == "127.0.0.1:7777"'
record '.event == "ssh.forward.end" and .to == "127.0.0.1:7777" and .bytes_sent == 12'
record '.event == "ssh.end" and .duration_ms > 0 and .bytes_sent > 0'
within 60 jq -e -s '[.[] | select(.event == "ssh.connection")] | length >= 3' $log
within 60 grep -q 'WARREN_EVENT=ssh.login' $T/journal
within 60 grep -q 'SYSLOG_IDENTIFIER=warren-audit' $T/journal

note "parallel connections make one chain"
for i in $(seq 12); do sh_ "echo $i" >/dev/null & pids="${pids:-} $!"; done
for p in $pids; do wait $p || fail "a login"; done
good() { verify >$T/out; }
within 60 good
says 'good: [0-9]+ records, number 1 to'

note "show and tail"
on second warren audit show --dir $T/second/root --identity $USER_MAIL --event ssh.session >$T/out
says 'ssh.session .*identity='$USER_MAIL'.*command="exit 7"'
grep -q ssh.connection $T/out && fail "the filter lets other events through"
[ "$(warren audit tail --dir $T/second/root -n 3 | grep -c .)" = 3 ] || fail "tail -n"
warren --json audit show --dir $T/second/root --since 1h --event ssh.login | jq -e .hash >/dev/null || fail "--json"
[ -z "$(warren audit show --dir $T/second/root --until 2020-01-01)" ] || fail "--until"
expect 2 warren audit show --since tomorrow

note "a name that wants to be a record, or to write on the terminal"
sh_ $'echo "\n{\\"seq\\":1}" $\'\\e[31m\' >/dev/null' || true
within 60 verify
[[ $(warren audit tail --dir $T/second/root) != *$'\e'* ]] || fail "an escape sequence comes through"

note "tampering is named: edited, missing, exchanged, cut off"
over() { # every connection has its end in the log
	jq -e -s '[.[] | select(.event == "ssh.connection") | .connection] - [.[] | select(.event == "ssh.end") | .connection] == []' $log
}
within 60 over
whole() { # a copy of all of it, which nothing is added to any more
	rm -rf $T/copy
	cp -r $T/second/root $T/copy && warren audit verify --dir $T/copy && cmp $log $T/copy/audit.jsonl &&
		[ "$(jq .seq $T/copy/audit.head)" = "$(tail -n 1 $log | jq .seq)" ] # which is noted a second later
}
within 60 whole
bad() { # PATTERN
	expect 1 warren audit verify --dir $T/copy
	says "$1"
	cp $T/second/root/audit.* $T/copy/
}
sed -i '5s/"event":"[^"]*"/"event":"nothing"/' $T/copy/audit.jsonl
bad 'audit.jsonl:5: record 5 was edited'
sed -i 7d $T/copy/audit.jsonl
bad 'audit.jsonl:7: record 7 is missing before record 8'
sed -i '7{h;d};8{G}' $T/copy/audit.jsonl
bad 'audit.jsonl:7: record 7 is missing'
sed -i '$d' $T/copy/audit.jsonl
bad 'the log is cut off: it ends with record'
truncate -s -10 $T/copy/audit.jsonl
bad 'in the middle of a record'
sed -i 1,3d $T/copy/audit.jsonl
bad 'begins with record 4, and record 1 was kept'
rm $T/copy/audit.head
bad 'cannot be known'
warren --json audit verify --dir $T/copy | jq -e .good >/dev/null || fail "the copy is good again"
seen=$(warren audit verify --dir $T/copy | sed -n 's/^last: //p')
expect 0 verify --seen $seen
expect 1 verify --seen ${seen%?}$(echo ${seen: -1} | tr 0-9a-f 1-9a-f0)

note "the chain goes on after a restart of the daemon"
before=$(tail -n 1 $log | jq .seq)
stop second
peer_start second
within 60 direct second
within 60 verify
record '.event == "audit.start" and .seq > '$before
record '.event == "audit.stop"'
within 60 sh_ true

note "a full disk: logins go on, the log says what it lacks"
dd if=/dev/zero of=$T/second/fill bs=64k 2>/dev/null || true
dd if=/dev/zero of=$T/second/fill2 bs=1 count=65536 2>/dev/null || true
filled=0
for i in $(seq 40); do
	sh_ "echo $i; : $(head -c 900 /dev/zero | tr '\0' x)" >/dev/null || fail "no login while the disk is full"
	grep -q 'an audit record cannot be written' $T/log/second && { filled=1; break; }
done
[ $filled = 1 ] || fail "the disk was not full"
rm $T/second/fill $T/second/fill2
sh_ true
record '.event == "audit.lost" and .records > 0'
within 60 verify

note "files_only: sftp and scp in the home folder, and nothing else"
policy <<EOF
{ "groups": { "ops": ["$USER_MAIL"] },
  "rules": [ { "from": ["peer:first"], "to": ["peer:second"], "proto": "tcp", "ports": "22" } ],
  "ssh": [ { "from": ["ops"], "to": ["peer:second"], "logins": ["deploy"], "files_only": true } ] }
EOF
refused() { sh_ true >$T/out 2>&1 && return 1; grep -q 'only transfer files' $T/out; }
within 60 refused
echo more >$T/file2
on first scp -q $T/file2 deploy@$host:two
on first scp -q -O $T/file2 deploy@$host:three
[ "$(printf 'pwd\nls -1\n' | on first sftp -q -b - deploy@$host | xargs)" = "sftp> pwd Remote working directory: / sftp> ls -1 one three two" ] || fail "sftp"
on first scp -q deploy@$host:/etc/passwd $T/stolen 2>/dev/null && fail "a file from outside"
expect 255 on first ssh -o BatchMode=yes -o ExitOnForwardFailure=yes -N -R 0:127.0.0.1:1 deploy@$host
on second warren policy explain $USER_MAIL second >$T/out 2>&1
says 'deploy \(files only\)'
record '.event == "ssh.session" and .kind == "files"'
record '.event == "ssh.sftp" and .op == "close" and (.path | endswith("two")) and .bytes_written == 5'
record '.event == "ssh.sftp" and .op == "refused" and .path == "true"'
# The certificate says so to a stock sshd, too.
on first warren ssh-cert deploy@second --out $T/c >/dev/null 2>&1 || on first warren ssh-cert deploy@second >$T/c-cert.pub 2>/dev/null || true
for f in $T/c*; do [[ $(ssh-keygen -Lf "$f" 2>/dev/null) != *'force-command internal-sftp'* ]] || forced=1; done
[ "${forced:-0}" = 1 ] || fail "the certificate would give a shell elsewhere"

note "narrowed to files only: what runs ends"
usual_policy
within 60 sh_ true
sh_ 'echo up; sleep 600' >$T/live 2>&1 &
live=$!
within 60 grep -q up $T/live
policy <<EOF
{ "groups": { "ops": ["$USER_MAIL"] },
  "rules": [ { "from": ["peer:first"], "to": ["peer:second"], "proto": "tcp", "ports": "22" } ],
  "ssh": [ { "from": ["ops"], "to": ["peer:second"], "logins": ["deploy"], "files_only": true } ] }
EOF
got=0
wait $live || got=$?
[ $got = 255 ] || fail "a narrowed session leaves status $got"
record '.event == "ssh.ending" and (.reason | contains("narrowed"))'
within 60 verify
echo "all good"
