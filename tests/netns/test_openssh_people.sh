#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The drop-in and `warren ssh` among what people have: their own ~/.ssh/config, agents, accounts, environments, and
# all the ways to write a machine's name. Nothing but the person's own configuration is given.
. "$WARREN_SRC/tests/netns/lib.sh"
prepare
mesh
host=second.warren.internal
add_account ann 61821 /bin/bash '*'
for f in passwd group shadow; do
	umount /etc/$f
	mount --bind $T/etc/$f /etc/$f
done
on first warren openssh install
four=$(overlay second)
six=$(on second warren --json status | jq -r .overlayIpv6)
as() { # ENVIRONMENT… COMMAND…: as ann
	ip netns exec first setpriv --reuid 61821 --regid 61821 --clear-groups \
		env -i PATH="$PATH" WARREN_SOCKET=$T/first.sock LC_ALL=C.UTF-8 SHELL=/bin/bash "$@"
}
config() { # reads ~/.ssh/config of ann
	mkdir -p $T/home/ann/.ssh
	cat >$T/home/ann/.ssh/config
	chown -R ann:ann $T/home/ann/.ssh
	chmod 700 $T/home/ann/.ssh
	chmod 600 $T/home/ann/.ssh/config
}
note "ann logs in"
: >$T/prompt
signin_from $T/prompt &
as warren login >/dev/null 2>$T/prompt || fail "ann: $(cat $T/prompt)"
wait $!
ssh="ssh -o BatchMode=yes"

note "names: short, whole, absolute, in capitals, IPv4, IPv6; for ssh, scp, sftp, rsync and warren ssh"
for name in second $host $host. SECOND Second.Warren.Internal $four $six; do
	expect 0 as $ssh deploy@$name 'echo in'
	says '^in$'
	expect 0 as $ssh -l deploy $name true
	expect 0 as warren ssh -o BatchMode=yes deploy@$name true
done
expect 0 as $ssh ssh://deploy@second true
echo hello >$T/home/ann/file
chmod 755 $T/home/ann
chmod 644 $T/home/ann/file
for name in second $host "[$six]"; do
	rm -f $T/home/deploy/got
	expect 0 as scp -B -q $T/home/ann/file "deploy@$name:got"
	cmp $T/home/ann/file $T/home/deploy/got || fail "scp to $name"
done
expect 0 as sftp -b - "deploy@[$six]" <<<"get got /dev/null"
expect 0 as rsync $T/home/ann/file "deploy@$host:got2"

note "no terminal, no HOME, an environment as of cron, closed standard streams, any umask"
expect 0 as setsid $ssh deploy@$host true
expect 0 as env -u SHELL $ssh deploy@$host true
expect 0 as HOME=/nonexistent $ssh deploy@$host true
expect 0 as HOME= $ssh deploy@$host true
expect 0 as SHELL=/bin/sh bash -c "umask 777; exec $ssh deploy@$host true"
expect 0 as bash -c "umask 0; exec $ssh deploy@$host true"
[ "$(stat -c %a /run/warren/u/61821/* | sort -u)" = 600 ] || fail "modes: $(ls -l /run/warren/u/61821)"
expect 0 as bash -c "exec $ssh deploy@$host true <&- >&-"
expect 0 as bash -c "exec $ssh deploy@$host true <&- >&- 2>&-"
expect 0 as bash -c "exec warren ssh -o BatchMode=yes deploy@$host true <&- >&-"
expect 0 as bash -c "exec warren ssh --client=own -o BatchMode=yes deploy@$host true <&- >&-"
rm -f /run/warren/u/61821/*
expect 0 as HOME= bash -c "umask 777; exec warren ssh -o BatchMode=yes deploy@second true"

note "a home folder that cannot be read; an agent with 20 keys; no agent; IdentitiesOnly"
chmod 000 $T/home/ann
expect 0 as $ssh deploy@$host true
expect 0 as warren ssh -o BatchMode=yes deploy@second true
chmod 755 $T/home/ann
mkdir $T/keys
eval "$(ssh-agent -a $T/keys/agent)" >/dev/null
echo $SSH_AGENT_PID >$T/pids/agent
for i in $(seq 20); do ssh-keygen -q -t ed25519 -N '' -C key$i -f $T/keys/$i; done
SSH_AUTH_SOCK=$T/keys/agent ssh-add -q $(seq -f "$T/keys/%g" 20)
chown -R ann $T/keys
for more in "" "-o IdentitiesOnly=yes" "-o IdentityAgent=none" "-o IdentitiesOnly=yes -i $T/keys/3" "-i $T/keys/3" "-F none -o BatchMode=yes"; do
	case $more in
	-F*) expect 0 as SSH_AUTH_SOCK=$T/keys/agent warren ssh $more deploy@$host true ;;
	*)
		expect 0 as SSH_AUTH_SOCK=$T/keys/agent $ssh $more deploy@$host true
		expect 0 as SSH_AUTH_SOCK=$T/keys/agent warren ssh -o BatchMode=yes $more deploy@$host true
		;;
	esac
done

note "what people write below Host *"
try() { # reads a configuration: ssh and warren ssh with it
	local text
	text=$(cat)
	config <<<"$text"
	expect 0 as $ssh $host 'id -un'
	says '^deploy$'
	expect 0 as $ssh second true
	expect 0 as warren ssh -o BatchMode=yes second 'id -un'
	says '^deploy$'
}
try <<-'EOC'
	Host *
	  User deploy
	  IdentityFile ~/.ssh/id_ed25519
	  IdentityFile ~/.ssh/id_rsa
	  IdentitiesOnly yes
	  ServerAliveInterval 10
	  HashKnownHosts yes
	  ForwardAgent yes
	  SendEnv LANG LC_*
	  AddKeysToAgent yes
	  VisualHostKey yes
	  CheckHostIP yes
	  UpdateHostKeys yes
	  VerifyHostKeyDNS ask
	  Compression yes
	  TCPKeepAlive no
EOC
try <<-'EOC'
	Host *
	  User deploy
	  StrictHostKeyChecking no
	  UserKnownHostsFile /dev/null
	  LogLevel ERROR
EOC
try <<-EOC
	Host *
	  User deploy
	  UserKnownHostsFile ~/.ssh/elsewhere
	  KnownHostsCommand $WARREN_BIN/warren openssh hostkey %H
EOC
try <<-'EOC'
	CanonicalizeHostname yes
	CanonicalDomains warren.internal example.com
	CanonicalizeMaxDots 0
	Match final all
	  ServerAliveInterval 30
	Host *
	  User deploy
EOC
try <<-'EOC'
	CanonicalizeHostname always
	CanonicalizeFallbackLocal yes
	Host *
	  User deploy
EOC
try <<-EOC
	Host second $host
	  User deploy
	  HostKeyAlias the-machine
	  PreferredAuthentications publickey
	  ConnectTimeout 30
	  AddressFamily inet6
EOC
config <<-EOC
	Host web
	  HostName $host
	  User deploy
	Host by-address
	  HostName $four
	  User deploy
EOC
for name in web by-address; do
	expect 0 as $ssh $name true
	expect 0 as warren ssh -o BatchMode=yes $name true
	expect 0 as scp -B -q $T/home/ann/file $name:alias
	cmp $T/home/ann/file $T/home/deploy/alias || fail "scp to $name"
	rm $T/home/deploy/alias
done
expect 5 as warren ssh -o BatchMode=yes -l deploy -p 22 web 'exit 5'

note "keys in known_hosts that are stale, for the name and the addresses, plain and hashed"
printf '%s\n' $host second "$four" "[$four]:22" "$six" | while read -r name; do
	echo "$name $(cut -d' ' -f1,2 $T/keys/1.pub)"
done >$T/home/ann/.ssh/known_hosts
cp $T/home/ann/.ssh/known_hosts $T/home/ann/.ssh/known_hosts2
ssh-keygen -q -H -f $T/home/ann/.ssh/known_hosts2 2>/dev/null
config </dev/null
for name in $host second $four $six; do
	expect 0 as $ssh deploy@$name true
	expect 0 as warren ssh -o BatchMode=yes deploy@$name true
done

note "connections that are shared by configuration, and persist"
mkdir -p $T/home/ann/.ssh/cm
chmod 777 $T/home/ann/.ssh/cm
config <<-EOC
	Host *
	  ControlMaster auto
	  ControlPath ~/.ssh/cm/%r@%h:%p
	  ControlPersist 60
EOC
expect 0 as $ssh deploy@second 'echo one'
expect 0 as $ssh -O check deploy@second
pids=
for i in $(seq 50); do
	(got=0; as $ssh deploy@second "cat; exit $i" <<<$i >$T/mux.$i 2>$T/mux-err.$i || got=$?
	[ $got = $i ] && [ "$(cat $T/mux.$i)" = $i ]) &
	pids="$pids $!"
done
bad=0
for p in $pids; do wait $p || bad=$((bad + 1)); done
[ $bad = 0 ] || fail "$bad of 50 shared sessions: $(sort $T/mux-err.* | uniq -c | head -n 5)"
port=$(as $ssh -O forward -R 127.0.0.1:0:127.0.0.1:9 deploy@second)
within 60 ip netns exec second bash -c "ss -Hltn | grep -q ':$port '"
expect 0 as $ssh -O cancel -R 127.0.0.1:0:127.0.0.1:9 deploy@second
gone() { [[ $(ip netns exec second ss -Hltn) != *:"$port "* ]]; }
within 60 gone
expect 0 as warren ssh -O check deploy@second
expect 0 as warren ssh deploy@second 'exit 0'
expect 0 as $ssh -O exit deploy@second
rm -rf $T/home/ann/.ssh/cm
config </dev/null

note "other ports, and machines whose SSH is not ours: their own sshd, by name, with nothing changed"
mkdir -p /run/sshd $T/home/deploy/.ssh
cp $T/keys/3.pub $T/home/deploy/.ssh/authorized_keys
chown -R deploy:deploy $T/home/deploy/.ssh
chmod 700 $T/home/deploy/.ssh
ssh-keygen -q -t ed25519 -N '' -f $T/hostkey
printf 'Port 22\nPort 7001\nHostKey %s\nPidFile none\nUsePAM no\n' $T/hostkey >$T/sshd.conf
spawn sshd second /usr/sbin/sshd -D -e -f $T/sshd.conf
within 60 ip netns exec second bash -c "exec 3<>/dev/tcp/127.0.0.1/7001"
own="-o BatchMode=yes -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile=$T/keys/known -i $T/keys/3"
expect 0 as ssh $own -p 7001 deploy@$host 'echo "$SSH_CONNECTION"'
says ' 7001$'
expect 0 as warren ssh $own -p 7001 deploy@second 'echo "$SSH_CONNECTION"'
says ' 7001$'
expect 255 as warren ssh $own -p 7002 deploy@second true
expect 255 as warren ssh $own -p 7002 deploy@nothing true
says 'no such machine'
on second warren up --allow-server-ssh=false >/dev/null
off() { ! as warren openssh detect $host 22; }
within 60 off
expect 0 as ssh $own deploy@$host 'echo "$SSH_CONNECTION"'
says ' 22$'
expect 0 as ssh $own deploy@"$four" true
expect 255 as ssh -o BatchMode=yes deploy@nothing.warren.internal true
says 'no such machine'
on second warren up --allow-server-ssh >/dev/null
within 60 as $ssh deploy@$host true
echo "all good"
