#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Logins over the mesh with real OpenSSH: warren ssh, the drop-in, keyboard-interactive; files, forwards,
# exit statuses; what policy and machine refuse.
. "$WARREN_SRC/tests/netns/lib.sh"
prepare
mesh
host=second.warren.internal

note "warren ssh without a login: the terminal shows the URL; status and account are right"
: >$T/prompt
signin_from $T/prompt &
got=0
on first warren ssh deploy@second 'id -un; exit 7' 2>$T/prompt >$T/out || got=$?
wait $!
[ $got = 7 ] || fail "status $got: $(cat $T/prompt)"
[ "$(cat $T/out)" = deploy ] || fail "wrong account: $(cat $T/out)"

note "stock ssh through the drop-in: certificate, strict host keys, BatchMode"
on first warren openssh install
# ssh -J never comes to our proxy: detect alone makes the folder and the host keys.
rm -rf /run/warren/u
hash=0123456789012345678901234567890123456789
expect 0 on first warren openssh detect $host 22 deploy $hash
grep -q ssh-ed25519 /run/warren/u/0/$hash.hosts || fail "no host keys for ssh -J"
expect 0 on first ssh -o BatchMode=yes deploy@$host 'echo "$USER $SSH_CONNECTION"'
says "^deploy $(overlay first) [0-9]+ $(overlay second) 22\$"
expect 3 on first ssh -o BatchMode=yes deploy@$host 'exit 3'
expect 255 on first ssh -o BatchMode=yes deploy@$host 'kill -TERM $$'
expect 0 on first ssh -o BatchMode=yes deploy@second true

note "data: stdin to stdout, stderr apart, a megabyte each way"
head -c 1000000 /dev/urandom >$T/blob
on first ssh deploy@$host 'cat; echo problem >&2' <$T/blob >$T/blob2 2>$T/err
cmp $T/blob $T/blob2 || fail "bytes differ"
grep -qx problem $T/err || fail "stderr: $(cat $T/err)"
for i in $(seq 10); do
	on first ssh deploy@$host 'seq 1 100000' | cmp - <(seq 1 100000) || fail "output lost in run $i"
done

note "a terminal"
on first ssh -tt deploy@$host 'tty; stty size; echo $TERM' </dev/null >$T/out 2>&1
says '^/dev/pts/'

note "sftp, scp both protocols, rsync, git"
echo "hello" >$T/file
on first scp -q $T/file deploy@$host:one
on first scp -q -O $T/file deploy@$host:two
on first sftp -q -b - deploy@$host >/dev/null <<<"put $T/file three"
on first ssh deploy@$host 'cat one two three' >$T/out
[ "$(grep -c hello $T/out)" = 3 ] || fail "files: $(cat $T/out)"
command -v rsync >/dev/null && on first rsync -a -e ssh $T/blob deploy@$host:blob
on first ssh deploy@$host 'cat blob' | cmp - $T/blob || fail "rsync"
if command -v git >/dev/null; then
	on first ssh deploy@$host 'git init -q --bare -b main repo.git'
	git -c init.defaultBranch=main init -q $T/work
	git -C $T/work -c user.name=t -c user.email=t@t commit -q --allow-empty -m one
	on first git -C $T/work push -q deploy@$host:repo.git HEAD:main
	on first git clone -q deploy@$host:repo.git $T/clone
	[ "$(git -C $T/clone log --format=%s)" = one ] || fail "git"
fi

note "forwards: -L, -D, -R, -W, and many sessions over one connection"
ip netns exec second socat -t 60 TCP-LISTEN:7777,fork,reuseaddr,bind=127.0.0.1 SYSTEM:'echo from-second' &
listening second 7777
on first ssh -f -N -o ExitOnForwardFailure=yes -o ControlMaster=yes -o ControlPath=$T/mux \
	-L 127.0.0.1:8001:127.0.0.1:7777 -D 127.0.0.1:8002 -R 127.0.0.1:8003:127.0.0.1:8004 deploy@$host
[ "$(ip netns exec first socat -t 60 - TCP:127.0.0.1:8001 </dev/null)" = from-second ] || fail "-L"
# nc, for it sends nothing: the answer of a service that ends before it has read a request may be lost.
[ "$(ip netns exec first nc -w 60 -X 5 -x 127.0.0.1:8002 127.0.0.1 7777 </dev/null || true)" = from-second ] || fail "-D"
ip netns exec first socat -t 60 TCP-LISTEN:8004,fork,reuseaddr,bind=127.0.0.1 SYSTEM:'echo from-first' &
listening first 8004
[ "$(ip netns exec second socat -t 60 - TCP:127.0.0.1:8003 </dev/null)" = from-first ] || fail "-R"
[ "$(on first ssh -W 127.0.0.1:7777 deploy@$host </dev/null)" = from-second ] || fail "-W"
status=0
on first ssh -W 127.0.0.1:7799 deploy@$host </dev/null 2>$T/closed || status=$?
[ $status = 255 ] || fail "-W to a closed port left status $status"
for i in $(seq 20); do
	on first ssh -o ControlPath=$T/mux deploy@$host "echo $i" >$T/mux.$i &
	pids="${pids:-} $!"
done
for p in $pids; do wait $p; done
for i in $(seq 20); do [ "$(cat $T/mux.$i)" = "$i" ] || fail "session $i of the shared connection"; done
on first ssh -o ControlPath=$T/mux -O exit deploy@$host 2>/dev/null

note "sessions are shown and can be ended"
on first ssh -tt deploy@$host 'echo up; sleep 600' </dev/null >$T/live 2>&1 &
live=$!
within 60 grep -q up $T/live
within 60 sh -c "WARREN_SOCKET=$T/second.sock ip netns exec second warren sessions | grep -q $USER_MAIL"
id=$(on second warren --json sessions | jq '[.sessions[].id] | max')
on second warren sessions end "$id"
got=0
wait $live || got=$?
[ $got = 255 ] || fail "an ended session leaves status $got"

note "refused: another login, root, an unknown account; each with the reason"
expect 255 on first ssh -o BatchMode=yes root@$host true
says 'root'
expect 255 on first ssh -o BatchMode=yes nobody2@$host true

note "keyboard-interactive: no drop-in, no login"
on first warren openssh remove
on first warren logout
: >$T/ki
signin_from $T/ki &
on first script -qefc "ssh -F none -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no \
	-o PreferredAuthentications=keyboard-interactive deploy@$(overlay second) id -un" $T/ki </dev/null >$T/out || fail "keyboard-interactive: $(cat $T/ki)"
wait $!
says '^deploy'
echo "all good"
