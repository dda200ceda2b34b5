#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What is built on ssh, through the drop-in and with no option of ours: git with submodules, rsync that was cut off, an
# editor's remote server, and Ansible while somebody still has to log in, for longer than its ConnectTimeout.
. "$WARREN_SRC/tests/netns/lib.sh"
prepare
mesh
host=second.warren.internal
on first warren openssh install

if command -v ansible >/dev/null; then
	note "Ansible: the login takes longer than its ten seconds for a connection"
	printf '%s ansible_user=deploy ansible_python_interpreter=/usr/bin/python3\n' $host >$T/hosts
	export ANSIBLE_LOCAL_TEMP=$T/ansible ANSIBLE_HOST_KEY_CHECKING=True HOME=$T/ansible-home
	mkdir -p $HOME
	: >$T/screen
	(
		within 60 grep -aq https:// $T/screen
		sleep 12
		signin_from $T/screen
	) &
	signer=$!
	got=0
	on first timeout 300 script -qefc "ansible -i $T/hosts all -m ping" $T/screen </dev/null >/dev/null 2>&1 || got=$?
	wait $signer || fail "nobody could sign in: $(cat $T/screen)"
	[ $got = 0 ] && grep -aq pong $T/screen || fail "Ansible: $got: $(cat $T/screen)"
	export ANSIBLE_TIMEOUT=60
	head -c 300000 /dev/urandom >$T/blob
	expect 0 on first ansible -i $T/hosts all -m copy -a "src=$T/blob dest=$T/home/deploy/ansible" </dev/null
	cmp $T/blob $T/home/deploy/ansible || fail "Ansible's copy"
	expect 0 on first ansible -i $T/hosts all -m shell -a 'exit 0' </dev/null
	expect 2 on first ansible -i $T/hosts all -m shell -a 'exit 3' </dev/null
	unset HOME
	export HOME=/root
else
	note "Ansible: not installed, left out"
	login
fi

note "git: push, ls-remote, clone with submodules, fetch"
g() { on first git -c user.name=t -c user.email=t@t -c init.defaultBranch=main -c protocol.file.allow=always "$@"; }
for r in inner outer; do
	on first ssh deploy@$host "git init -q --bare -b main $r.git"
	g init -q $T/$r
	head -c 200000 /dev/urandom >$T/$r/data
	g -C $T/$r add data
	g -C $T/$r commit -q -m first
	g -C $T/$r remote add origin deploy@$host:$r.git
done
g -C $T/inner push -q origin HEAD:main
g -C $T/outer submodule --quiet add ssh://deploy@$host$T/home/deploy/inner.git inner
g -C $T/outer commit -q -m sub
g -C $T/outer push -q origin HEAD:main
[ "$(g ls-remote deploy@second:outer.git main | cut -f1)" = "$(g -C $T/outer rev-parse HEAD)" ] || fail "ls-remote"
g clone -q --recurse-submodules deploy@$host:outer.git $T/clone 2>$T/err || fail "clone: $(cat $T/err)"
cmp $T/inner/data $T/clone/inner/data || fail "the submodule"
g -C $T/inner commit -q --allow-empty -m second
g -C $T/inner push -q origin HEAD:main
g -C $T/clone submodule --quiet update --remote
[ "$(g -C $T/clone/inner rev-parse HEAD)" = "$(g -C $T/inner rev-parse HEAD)" ] || fail "the submodule's update"
expect 128 g ls-remote deploy@$host:none.git
expect 128 g ls-remote daemon@$host:outer.git

note "rsync --partial, cut off in the middle, both ways"
head -c 20000000 /dev/urandom >$T/big
half() { # FILE: some of it is there
	find "${1%/*}" -name "*${1##*/}*" -size +1000k | grep -q .
}
cut_off() { # FILE COMMAND…: when FILE has begun the connection is cut
	local file=$1 pid got=0
	shift
	on first "$@" >$T/out 2>&1 &
	pid=$!
	within 60 half $file
	pkill -KILL -f 'warren-ssh-worker --worker' || true
	wait $pid || got=$?
	[ $got != 0 ] || fail "rsync ended with 0 though it was cut off"
	# The other one puts what it has in place as well, and must not do so later.
	within 60 no_rsync
}
no_rsync() { ! pgrep -x rsync >/dev/null; }
cut_off $T/home/deploy/up rsync --partial --bwlimit=500 $T/big deploy@$host:up
expect 0 on first rsync --partial $T/big deploy@$host:up
cmp $T/big $T/home/deploy/up || fail "up"
mkdir $T/down
cut_off $T/down/up rsync --partial --bwlimit=500 deploy@$host:up $T/down/
expect 0 on first rsync --partial deploy@$host:up $T/down/
cmp $T/big $T/down/up || fail "down"

note "an editor: a script that unpacks its server, the server behind -D, commands beside it"
printf '#!/bin/sh\nexec socat -t 60 TCP-LISTEN:$1,bind=127.0.0.1,fork,reuseaddr EXEC:cat\n' >$T/server
tar -C $T -cf $T/server.tar server
on first ssh -T -D 127.0.0.1:8020 -o ConnectTimeout=30 deploy@$host bash >$T/editor 2>&1 <<-'EOS' &
	mkdir -p ~/.editor && cd ~/.editor
	until [ -s server.tar ]; do sleep 0.1; done
	tar -xf server.tar && chmod +x server
	./server 7009 &
	until bash -c 'exec 3<>/dev/tcp/127.0.0.1/7009' 2>/dev/null; do sleep 0.1; done
	echo listening
	until [ -e stop ]; do sleep 0.1; done
	kill %1
	exit 6
EOS
editor=$!
there() { [ -d $T/home/deploy/.editor ]; }
within 60 there
expect 0 on first scp -q $T/server.tar deploy@$host:.editor/server.part
expect 0 on first ssh deploy@$host 'mv .editor/server.part .editor/server.tar'
within 60 grep -q listening $T/editor
for i in 1 2 3; do
	[ "$(echo hello $i | on first nc -N -w 60 -X 5 -x 127.0.0.1:8020 127.0.0.1 7009)" = "hello $i" ] || fail "the server behind -D"
done
on first ssh deploy@$host 'touch .editor/stop'
got=0
wait $editor || got=$?
[ $got = 6 ] || fail "the editor's script left $got: $(cat $T/editor)"
echo "all good"
