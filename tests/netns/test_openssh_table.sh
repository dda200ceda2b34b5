#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Everything people do with OpenSSH, through the drop-in and with no other option than what they ask for: the
# table of client_table.sh, then shared connections, jumps, and the client configurations that are in the
# way elsewhere.
. "$WARREN_SRC/tests/netns/lib.sh"
. "$WARREN_SRC/tests/netns/client_table.sh"
prepare
mesh
login
on first warren openssh install
sshd_stock() { # NAMESPACE PORT ADDRESS: a server that is not ours, key $T/id
	[ -f $T/id ] || ssh-keygen -q -t ed25519 -N '' -f $T/id
	ssh-keygen -q -t ed25519 -N '' -f $T/hostkey-$1
	mkdir -p /run/sshd $T/home/deploy/.ssh
	cp $T/id.pub $T/home/deploy/.ssh/authorized_keys
	chown -R deploy:deploy $T/home/deploy/.ssh
	chmod 700 $T/home/deploy/.ssh
	printf 'Port %s\nHostKey %s\nPidFile none\nUsePAM no\nSubsystem sftp internal-sftp\n' $2 $T/hostkey-$1 >$T/sshd-$1.conf
	spawn sshd-$1 "$1" /usr/sbin/sshd -D -e -f $T/sshd-$1.conf
	within 60 ip netns exec first bash -c "exec 3<>/dev/tcp/$3/$2"
}
stock="-i $T/id -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile=$T/known"

client_table ssh

note "forwards over a shared connection: added, with a port of the server's choice, and cancelled"
on first ssh -f -N -o ExitOnForwardFailure=yes -o ControlMaster=yes -o ControlPath=$T/mux \
	-L 127.0.0.1:8001:127.0.0.1:7777 deploy@$host
port=$(on first ssh -o ControlPath=$T/mux -O forward -R 127.0.0.1:0:127.0.0.1:8004 deploy@$host)
[[ $port =~ ^[0-9]+$ ]] || fail "no port for -R 0: $port"
[ "$(get second $port)" = from-first ] || fail "-R 0"
on first ssh -o ControlPath=$T/mux -O forward -R 127.0.0.1:8005:127.0.0.1:8004 deploy@$host
[ "$(get second 8005)" = from-first ] || fail "-R"
on first ssh -o ControlPath=$T/mux -O cancel -R 127.0.0.1:8005:127.0.0.1:8004 deploy@$host
within 60 closed second 8005 # nobody waits for the answer to a cancellation
[ -z "$(get second 8005 2>/dev/null || true)" ] || fail "a cancelled -R still answers"
[ "$(get second $port)" = from-first ] || fail "cancelling one -R took the other"
on first ssh -o ControlPath=$T/mux -O cancel -L 127.0.0.1:8001:127.0.0.1:7777 deploy@$host
[ -z "$(get first 8001 2>/dev/null || true)" ] || fail "a cancelled -L still answers"

note "50 sessions at once over one connection, each with its own output and status"
pids=
for i in $(seq 50); do
	(
		got=0
		on first ssh -o ControlPath=$T/mux deploy@$host "cat; echo out $i; echo err $i >&2; exit $i" \
			<<<"in $i" >$T/mux-out.$i 2>$T/mux-err.$i || got=$?
		[ $got = $i ] && [ "$(cat $T/mux-out.$i)" = "in $i
out $i" ] && [ "$(cat $T/mux-err.$i)" = "err $i" ]
	) &
	pids="$pids $!"
done
bad=0
for p in $pids; do wait $p || bad=$((bad + 1)); done
[ $bad = 0 ] || fail "$bad of 50 shared sessions: $(cat $T/mux-err.* | sort | uniq -c | head)"
on first ssh -o ControlPath=$T/mux -O exit deploy@$host 2>/dev/null

note "a full agent and IdentitiesOnly: ours is tried first, MaxAuthTries is not used up"
export SSH_AUTH_SOCK=$T/agent
for i in $(seq 12); do
	ssh-keygen -q -t ed25519 -N '' -C key$i -f $T/many$i
	ssh-add -q $T/many$i
done
expect 0 on first ssh -o BatchMode=yes deploy@$host true
expect 0 on first ssh -o BatchMode=yes -o IdentitiesOnly=yes deploy@$host true
expect 0 on first ssh -o BatchMode=yes -o IdentitiesOnly=yes -i $T/many1 deploy@$host true
expect 0 on first warren ssh -o BatchMode=yes deploy@$host true
unset SSH_AUTH_SOCK

note "a stale key in known_hosts is nobody's business"
mkdir -p $T/known.d
printf '%s %s\n' $host "$(cut -d' ' -f1,2 $T/agent-key.pub)" >$T/known.d/stale
cp /etc/netns/first/ssh/ssh_config $T/ssh_config
printf 'GlobalKnownHostsFile %s\n' $T/known.d/stale >/etc/netns/first/ssh/ssh_config.d/zz-stale.conf
expect 0 on first ssh -o BatchMode=yes deploy@$host true
rm /etc/netns/first/ssh/ssh_config.d/zz-stale.conf

note "hosts outside the mesh are untouched; through the mesh they are reached with -J"
sshd_stock control 22 198.51.100.2
expect 0 on first ssh $stock deploy@198.51.100.2 'echo outside'
says outside
on first ssh -G 198.51.100.2 >$T/plain
! grep -qi 'warren' $T/plain || fail "the drop-in touches a host outside: $(grep -i warren $T/plain)"
expect 0 on first ssh $stock -J deploy@$host deploy@198.51.100.2 'echo "$SSH_CONNECTION"'
says '^203.0.113.2'

note "detect is asked for names that can be a peer's, and for no other"
asked() { on first ssh -vvv -G "$1" 2>&1 | grep -c 'Executing command' || true; }
for name in second $host $host. Second.Warren.Internal "$(overlay second)" fd00::1; do
	[ "$(asked $name)" = 1 ] || fail "detect runs $(asked $name) times for $name"
done
for name in 198.51.100.2 github github.com warren.internal.example; do
	[ "$(asked $name)" = 0 ] || fail "detect runs for $name"
done
for name in second $host. Second.Warren.Internal "$(overlay second)"; do
	on first ssh -G $name >$T/configuration
	grep -q '^proxycommand.*warren' $T/configuration || fail "$name is not ours"
done

note "warren ssh has prepared its own login: detect leaves it alone, and it alone"
expect 2 on first env WARREN_SSH_PREPARED="$host 22" warren openssh detect $host 22
expect 0 on first env WARREN_SSH_PREPARED="$host 22022" warren openssh detect $host 22
expect 0 on first env WARREN_SSH_PREPARED="second 22" warren openssh detect $host 22
rm -f /run/warren/u/0/*
expect 0 on first warren ssh -o BatchMode=yes deploy@$host true
[ "$(ls /run/warren/u/0 | grep -c hosts)" = 1 ] || fail "detect ran for warren ssh"

note "this machine's own address is not ours"
expect 2 on first warren openssh detect "$(overlay first)" 22
expect 2 on first warren openssh detect first.warren.internal 22
expect 2 on first warren openssh detect 198.51.100.2 22
expect 0 on first warren openssh detect $host 22
expect 0 on first warren openssh detect "$(overlay second)" 22
expect 2 on first warren openssh detect $host 7001

note "a peer whose SSH is off falls back to its own sshd"
on second warren up --allow-server-ssh=false >/dev/null
sshd_stock second 22 203.0.113.2
off() { ! on first warren openssh detect $host 22; }
within 60 off
expect 0 on first ssh $stock deploy@"$(overlay second)" 'echo stock'
says stock

if command -v ansible >/dev/null; then
	note "Ansible: ping and copy"
	on second warren up --allow-server-ssh >/dev/null
	stop sshd-second
	within 60 on first warren openssh detect $host 22
	printf '%s ansible_user=deploy ansible_python_interpreter=/usr/bin/python3\n' $host >$T/hosts
	export ANSIBLE_LOCAL_TEMP=$T/ansible ANSIBLE_HOST_KEY_CHECKING=True ANSIBLE_TIMEOUT=60
	expect 0 on first ansible -i $T/hosts all -m ping </dev/null
	says pong
	expect 0 on first ansible -i $T/hosts all -m copy -a "src=$T/blob dest=$T/home/deploy/ansible" </dev/null
	cmp $T/blob $T/home/deploy/ansible || fail "Ansible's copy"
else
	note "Ansible: not installed, left out"
fi
echo "all good"
