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
within 30 direct first
within 30 direct third
login
on first warren openssh install
third=$(overlay third)
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

note "ProxyJump from the person's own configuration"
mkdir -p /root/.ssh
printf 'Host third.warren.internal\n ProxyJump deploy@second.warren.internal\n' >$T/ssh_config
rm -f /run/warren/u/0/*
expect 0 on first env HOME=$T ssh -o BatchMode=yes -o "ProxyJump=deploy@second.warren.internal" deploy@third.warren.internal true

note "without \"via\": refused, and why"
jump_policy ''
rm -f /run/warren/u/0/*
cat $T/log/third >/dev/null
refused() { ! on first $jump deploy@third.warren.internal true 2>$T/err; }
within 20 refused
expect 255 on first $jump deploy@third.warren.internal true
within 5 grep -q 'address\|not through' $T/log/third

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
within 10 listening third 2222
within 20 on first warren ssh-cert --batch --out $T/cert deploy@third.warren.internal
within 20 sh -c "WARREN_SOCKET=$T/first.sock ip netns exec first warren ssh-cert --batch --out $T/cert deploy@third && ssh-keygen -Lf $T/cert-cert.pub | grep -q $(overlay second)"
plain="-F none -i $T/cert -o IdentitiesOnly=yes -o BatchMode=yes -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no -p 2222"
expect 0 on second ssh $plain deploy@$third id -un
says '^deploy'
expect 255 on second ssh $plain root@$third true
expect 255 ip netns exec third ssh $plain deploy@127.0.0.1 true
within 5 grep -q 'not from a permitted address\|source' $T/log/sshd
echo "all good"
