#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# warrend with two shards on the serving peer, and a client on each shard: the filter and the SSH
# server's TUN in the path of both, a changed policy, an engine that dies. Both shards carry traffic:
# the CPU time of their threads says so. One client has two shards as well.
#
#   first (2 shards) ----\
#                         router ---- second (2 shards: first on 0, third on 1)
#   third (1 shard)  ----/
. "$WARREN_SRC/tests/netns/lib.sh"
prepare
network
ip netns add third
ip -n third link set lo up
mkdir -p /etc/netns/third
link third 203.0.114
cp -a /etc/ssh /etc/netns/third/ssh
rm -f /etc/netns/third/ssh/ssh_host_*

control_start
user
setup_key --name test --reusable --expires 1h >/dev/null
peer_start first --shards 2
peer_start second --shards 2
peer_start third
rules() { # PORTS
	policy <<-EOF
		{
		  "groups": { "ops": ["$USER_MAIL"] },
		  "hosts": { "servers": ["peer:second"] },
		  "rules": [ { "from": ["peer:first", "peer:third"], "to": ["servers"], "proto": "tcp", "ports": "$1" } ],
		  "ssh": [ { "from": ["ops"], "to": ["servers"], "logins": ["deploy"], "allow": ["shell", "exec"] } ]
		}
	EOF
}
rules 22,7000-7010
# shellcheck disable=SC2086
on second warren up --control $CONTROL_URL --setup-key-file $T/setup-key --hostname second $SSH_FLAGS
for p in first third; do
	on $p warren up --control $CONTROL_URL --setup-key-file $T/setup-key --hostname $p --ssh-jwt-cache-ttl 3600
done
for p in first second third; do within 60 direct $p; done
within 60 served second
server=$(overlay second)

note "a queue of each TUN and a socket per shard; packets run in threads"
engine() { pgrep -P "$(cat $T/pids/$1)" -f -- '--role engine'; }
port=$(ip netns exec second ss -Hlnup | awk '/warrend/ { n = split($4, a, ":"); print a[n] }' | sort | uniq -c | sort -rn | awk 'NR == 1 { print $2 }')
[ "$(ip netns exec second ss -Hlnu4 "sport = :$port" | wc -l)" = 2 ] || fail "no second socket on $port"
ip netns exec second ip -d link show wrn0 | grep multi_queue >$T/queues || fail "the TUN has one queue"
[ "$(ls /proc/"$(engine second)"/task | wc -l)" = 3 ] || fail "the engine has not three threads"
[ "$(ls /proc/"$(engine third)"/task | wc -l)" = 2 ] || fail "the engine of third has not two threads"

busy() { # NAME: CPU ticks of its engine's shards
	local pid task
	pid=$(engine "$1")
	for task in $(ls /proc/"$pid"/task | sort -n | tail -n +2); do
		awk '{ printf "%d ", $14 + $15 }' /proc/"$pid"/task/"$task"/stat
	done
}
transfer() { # CLIENT PORT FILE
	ip netns exec second socat -u TCP-LISTEN:$2,reuseaddr,bind="$server" CREATE:$3 &
	local sink=$!
	listening second $2
	ip netns exec "$1" timeout 300 socat -u FILE:$T/blob TCP:"$server":$2
	wait $sink
	cmp $T/blob $3 || fail "bytes from $1 differ"
}
fetch() { # CLIENT PORT FILE: the other way
	ip netns exec second socat -u FILE:$T/blob TCP-LISTEN:$2,reuseaddr,bind="$server" &
	local source=$!
	listening second $2
	ip netns exec "$1" timeout 300 socat -u TCP:"$server":$2 CREATE:$3
	wait $source
	cmp $T/blob $3 || fail "bytes to $1 differ"
}

note "both clients at once, both ways, byte by byte"
head -c 60000000 /dev/urandom >$T/blob
before=$(busy second)
for job in "transfer first 7001 $T/a" "transfer third 7002 $T/b" "fetch first 7003 $T/c" "fetch third 7004 $T/d"; do
	(eval "$job") &
	jobs_of="${jobs_of:-} $!"
done
for job in $jobs_of; do wait $job || fail "a transfer failed"; done
after=$(busy second)
echo "CPU ticks of second's shards: $before-> $after"
awk -v b="$before" -v a="$after" 'BEGIN { split(b, x); split(a, y); exit !(y[1] - x[1] > 3 && y[2] - x[2] > 3) }' ||
	fail "one shard did everything"

note "the filter, on both shards"
for p in first third; do
	expect 1 ip netns exec $p timeout 60 socat -T 1 - TCP:"$server":7777,connect-timeout=1 </dev/null
done

note "ssh through both, into the namespace of the SSH server"
for p in first third; do
	: >$T/prompt
	signin_from $T/prompt &
	on $p warren login 2>$T/prompt >$T/login-out || fail "warren login: $(cat $T/prompt)"
	wait $!
	on $p warren ssh deploy@second 'cat' <$T/blob >$T/echo || fail "ssh from $p"
	cmp $T/blob $T/echo || fail "bytes over ssh from $p differ"
done

note "a changed policy ends what it forbids on both shards"
ip netns exec second socat -t 60 TCP-LISTEN:7005,reuseaddr,fork,bind="$server" EXEC:cat &
listening second 7005
for p in first third; do
	mkfifo $T/in-$p
	ip netns exec $p socat - TCP:"$server":7005 <$T/in-$p >$T/out-$p &
done
exec 8>$T/in-first 9>$T/in-third
echo one >&8
echo one >&9
for p in first third; do within 60 grep -q one $T/out-$p; done
rules 22
ends 8 $T/out-first || fail "an open connection of first survived"
ends 9 $T/out-third || fail "an open connection of third survived"
exec 8>&- 9>&-

note "an engine that dies is replaced, with its shards"
rules 22,7000-7010
old=$(engine second)
kill -KILL "$old"
new_engine() { [ -n "$(engine second)" ] && [ "$(engine second)" != "$old" ]; }
within 60 new_engine
within 60 direct first
within 60 direct third
transfer first 7006 $T/e
transfer third 7007 $T/f

note "nothing of the system call filter was hit"
for p in first second third; do
	! grep -aE 'role=engine signal=31' $T/log/$p || fail "$p: the engine was killed"
done
echo "all good"
