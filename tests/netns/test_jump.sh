#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# ssh -J through another peer of the mesh, with the drop-in and no other option:
#
#   first ──> second (the jump) ──> third, whose stock sshd trusts its CA, too
#
# With "via" the certificate names the jump's addresses; without it, through another login or by another way it is refused.
. "$WARREN_SRC/tests/netns/lib.sh"
prepare
network
ip netns add third
ip -n third link set lo up
mkdir -p /etc/netns/third
cp -a /etc/ssh /etc/netns/third/ssh
rm -f /etc/netns/third/ssh/ssh_host_*
link third 198.19.0
control_start
user
setup_key --name test --reusable --expires 1h >/dev/null
for p in first second third; do
	peer_start $p
	# shellcheck disable=SC2086
	on $p warren up --control $CONTROL_URL --setup-key-file $T/setup-key --hostname $p --ssh-jwt-cache-ttl 3600 \
		--enable-ssh-local-port-forwarding $SSH_FLAGS >/dev/null
done
jump_policy() { # VIA
	policy <<EOF
{
  "rules": [
    { "from": ["peer:first"], "to": ["peer:second"], "proto": "tcp", "ports": "22" },
    { "from": ["peer:second"], "to": ["peer:third"], "proto": "tcp", "ports": "22,2222" },
  ],
  "ssh": [
    { "from": ["$USER_MAIL"], "to": ["peer:second"], "logins": ["deploy"], "allow": ["shell", "exec", "forward"] },
    { "from": ["$USER_MAIL"], "to": ["peer:third"], "logins": ["deploy"]$1 },
  ]
}
EOF
}
jump_policy ', "via": ["peer:second"]'
within 60 direct first
within 60 direct third
for p in second third; do within 60 served $p; done
within 60 on first warren openssh detect second.warren.internal 22
within 60 on second warren openssh detect third.warren.internal 22
login
on first warren openssh install
third=$(overlay third)
printf '#!/bin/sh\nexec warren ssh --client=system "$@"\n' >$T/bin/warren-ssh-system
chmod 755 $T/bin/warren-ssh-system
jump="ssh -o BatchMode=yes -J deploy@second.warren.internal"

note "-J with the drop-in and no other option: the target sees the jump's address and the person"
expect 0 on first $jump deploy@third.warren.internal 'id -un; echo "$SSH_CONNECTION"'
says '^deploy'
says "^$(overlay second) "
ctl --json events | jq -e --arg who "$USER_MAIL" '[.events[] | select(.kind == "ssh_cert" and .actor == $who)] | length >= 2' >/dev/null ||
	fail "events: $(ctl --json events)"
expect 0 on first $jump deploy@$third true
expect 3 on first $jump deploy@third.warren.internal 'exit 3'
on first sh -c "echo hello >$T/file"
expect 0 on first scp -B -o "ProxyJump deploy@second.warren.internal" $T/file deploy@third.warren.internal:got

note "files through the jump: scp, sftp, rsync, git"
target=deploy@third.warren.internal
by="-o BatchMode=yes -J deploy@second.warren.internal"
head -c 3000000 /dev/urandom >$T/blob
rm -f /run/warren/u/0/*
expect 0 on first scp -q $by $T/blob $target:one
rm -f /run/warren/u/0/*
expect 0 on first scp -q -O $by $T/blob $target:two
expect 0 on first sftp -q -b - $by $target <<<"put $T/blob three"
expect 0 on first rsync -e "ssh $by" $T/blob $target:four
for f in one two three four; do cmp $T/blob $T/home/deploy/$f || fail "$f through the jump"; done
expect 0 on first ssh $by $target 'git init -q --bare -b main repo.git'
git -c init.defaultBranch=main init -q $T/work
git -C $T/work -c user.name=t -c user.email=t@t commit -q --allow-empty -m one
expect 0 on first env GIT_SSH_COMMAND="ssh $by" git -C $T/work push -q $target:repo.git HEAD:main

note "in the background, shared, and with forwards on the far side"
rm -f /run/warren/u/0/*
expect 0 on first ssh -f -N -M -S $T/mux $by $target </dev/null
expect 4 on first ssh -S $T/mux $target 'exit 4'
expect 0 on first ssh -S $T/mux -O exit $target
rm -f /run/warren/u/0/*
expect 0 on first ssh -f $by $target "sleep 0.3; echo later >later" </dev/null
within 60 grep -q later $T/home/deploy/later

note "jumps of the person's own ~/.ssh/config; warren ssh -J with the drop-in and without"
mkdir -p /root/.ssh
mount -t tmpfs t /root/.ssh
rm -f /run/warren/u/0/*
printf 'Host third*\n ProxyJump second\n User deploy\nHost second\n User deploy\n' >/root/.ssh/config
expect 0 on first ssh -o BatchMode=yes third 'echo "$SSH_CONNECTION"'
says "^$(overlay second) "
for drop in install remove; do
	on first warren openssh $drop
	rm -f /run/warren/u/0/*
	expect 0 on first warren ssh -o BatchMode=yes third 'echo "$SSH_CONNECTION"'
	says "^$(overlay second) "
	rm -f /run/warren/u/0/*
	expect 6 on first warren ssh -F none -o BatchMode=yes -J deploy@second deploy@third 'echo "$SSH_CONNECTION"; exit 6'
	says "^$(overlay second) "
	expect 0 on first warren ssh -F none -o BatchMode=yes -vJ deploy@second.warren.internal:22 $target true
	expect 0 on first warren ssh -F none -o BatchMode=yes -o ProxyJump=deploy@second $target true
	expect 0 on first scp -S "$T/bin/warren-ssh-system" -F none -q -o BatchMode=yes -J deploy@second $T/file $target:five
	expect 255 on first warren ssh -F none -o BatchMode=yes -J nobody@second $target true
done
umount /root/.ssh
on first warren openssh install

note "without \"via\": refused, and why"
jump_policy ''
rm -f /run/warren/u/0/*
refused() { ! on first $jump deploy@third.warren.internal true 2>$T/err; }
within 60 refused
expect 255 on first $jump deploy@third.warren.internal true
within 60 grep -q 'address\|not through' $T/log/third

note "a stock sshd believes the same certificate, from the jump and from nowhere else"
jump_policy ', "via": ["peer:second"]'
on first warren ca show third >$T/ca.pub
ssh-keygen -q -t ed25519 -N '' -f $T/hostkey
/usr/sbin/sshd -V >/dev/null 2>&1 || true
mkdir -p /run/sshd
cat >$T/sshd_config <<EOF
Port 2222
HostKey $T/hostkey
TrustedUserCAKeys $T/ca.pub
AuthorizedKeysFile none
PasswordAuthentication no
UsePAM no
PidFile none
EOF
spawn sshd third /usr/sbin/sshd -D -e -f $T/sshd_config
listening third 2222
within 60 on first warren ssh-cert --batch --out $T/cert deploy@third.warren.internal
within 60 sh -c "WARREN_SOCKET=$T/first.sock ip netns exec first warren ssh-cert --batch --out $T/cert deploy@third && ssh-keygen -Lf $T/cert-cert.pub | grep -q $(overlay second)"
plain="-F none -i $T/cert -o IdentitiesOnly=yes -o BatchMode=yes -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no -p 2222"
expect 0 on second ssh $plain deploy@$third id -un
says '^deploy'
expect 255 on second ssh $plain root@$third true
expect 255 ip netns exec third ssh $plain deploy@127.0.0.1 true
within 60 grep -q 'not from a permitted address\|source' $T/log/sshd

note "a way by which less is allowed: our server keeps to it, a stock sshd is not told of it"
jump_policy " }, { \"from\": [\"$USER_MAIL\"], \"to\": [\"peer:third\"], \"logins\": [\"deploy\"], \"via\": [\"peer:second\"], \"force_command\": \"echo narrow\""
narrow() {
	rm -f /run/warren/u/0/*
	[ "$(on first $jump deploy@third.warren.internal id -un 2>/dev/null)" = narrow ]
}
within 60 narrow
on first warren ssh-cert --batch --out $T/cert deploy@third
ssh-keygen -Lf $T/cert-cert.pub >$T/out
says "source-address $(overlay first)/32"
! grep -q "$(overlay second)\|force-command" $T/out || fail "the certificate names the narrower way: $(cat $T/out)"
expect 255 on second ssh $plain deploy@$third id -un
echo "all good"
