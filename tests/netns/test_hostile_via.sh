#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A hostile machine on the way (ssh -J; policy's "via", so certificates name its address) against the machine behind it:
#
#   first ──> second (hostile) ──> third
#
# It sees a TCP stream in which neither certificate nor key nor person can be read, and which opens nothing a second time; in
# the target's place it is not believed and shown nothing; a turned bit ends the connection. And if it had the certificate and a
# signature all the same, they would be no login, from the very address that the certificate names.
. "$WARREN_SRC/tests/netns/lib.sh"
command -v python3 >/dev/null || skip "no python3"
command -v nft >/dev/null || skip "no nft"
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
	on $p warren up --control $CONTROL_URL --setup-key-file $T/setup-key --hostname $p --ssh-jwt-cache-ttl 3600 $SSH_FLAGS >/dev/null
done
policy <<EOF
{
  "rules": [
    { "from": ["peer:first"], "to": ["peer:second"], "proto": "tcp", "ports": "22" },
    { "from": ["peer:second"], "to": ["peer:third"], "proto": "tcp", "ports": "22" },
  ],
  "ssh": [
    { "from": ["$USER_MAIL"], "to": ["peer:second"], "logins": ["deploy"], "allow": ["shell", "exec", "forward"] },
    { "from": ["$USER_MAIL"], "to": ["peer:third"], "logins": ["deploy"], "via": ["peer:second"] },
  ]
}
EOF
within 60 direct first
within 60 direct third
login
on first warren openssh install
second=$(overlay second)
third=$(overlay third)
target=deploy@third.warren.internal
jump="ssh -o BatchMode=yes -J deploy@second.warren.internal"
expect 0 on first $jump $target true # nobody is hostile yet

via=$WARREN_SRC/tests/support/hostile_via.py
hostile() { # KIND FOLDER ADDRESS PORT: on second, in the way of its next connection to third
	mkdir -p $2
	spawn via second python3 $via "$@"
	listening second 9999
}
ip netns exec second nft -f - <<EOF
table ip hostile {
	chain out {
		type nat hook output priority -100;
		ip daddr $third tcp dport 22 meta mark != 7 redirect to :9999
	}
}
EOF
logins() { grep -c 'ssh login connection=' $T/log/third || true; } # those that were let in
hex() { od -An -tx1 | tr -d ' \n'; }
tail_of() { base64 -d | tail -c $1 | hex; } # BYTES

note "what it sees: the host key, which is no secret, and nothing of who comes"
hostile record $T/seen $third 22
expect 0 on first $jump $target 'echo in-third'
says in-third
within 60 test -s $T/seen/order
certificate=
for file in /run/warren/u/0/*-cert.pub; do
	ssh-keygen -Lf $file | grep -A 3 source-address | grep -q "$second" && certificate=$file
done
[ -n "$certificate" ] || fail "no certificate names the machine on the way: $(for f in /run/warren/u/0/*-cert.pub; do ssh-keygen -Lf $f; done)"
host_key=$(on first warren openssh hostkey third.warren.internal | head -n 1 | cut -d' ' -f3 | tail_of 32)
public=$(ssh-keygen -y -f ${certificate%-cert.pub} | cut -d' ' -f2 | tail_of 32)
signature=$(cut -d' ' -f2 $certificate | tail_of 64) # the CA's
[ ${#public} = 64 ] && [ ${#host_key} = 64 ] && [ ${#signature} = 128 ] || fail "keys: $public $host_key $signature"
found=$(python3 $via search $T/seen $host_key $public $signature "$(printf %s $USER_MAIL | hex)" "$(printf deploy | hex)" "$(printf in-third | hex)")
[ "$found" = "$host_key" ] || fail "it reads something else than the host key $host_key: $found"

note "the stream again, from the address that the certificate names: no login"
before=$(logins)
[ "$before" -gt 0 ] || fail "no logins in the target's log: $(tail -n 5 $T/log/third)"
for _ in 1 2; do
	ip netns exec second python3 $via replay $T/seen $third 22 >$T/back
	grep -aq '^SSH-2.0-' $T/back || fail "the target did not answer"
	! grep -aq in-third $T/back || fail "the command ran"
done
sleep 1
[ "$(logins)" = "$before" ] || fail "somebody was let in: $(grep 'ssh login' $T/log/third | tail -n 2)"

note "a turned bit: the connection ends, not with 0"
hostile flip $T/flipped $third 22
expect 255 on first $jump $target 'head -c 100000 /dev/zero; exit 0'

note "in the target's place: it is not believed, and nothing is shown to it"
mkdir -p /run/sshd
ssh-keygen -q -t ed25519 -N '' -f $T/hostkey
cat >$T/sshd_config <<EOF
Port 2222
HostKey $T/hostkey
LogLevel DEBUG3
UsePAM no
PidFile none
EOF
spawn impostor second /usr/sbin/sshd -D -e -f $T/sshd_config
listening second 2222
for client in "$jump" "warren ssh -o BatchMode=yes -J deploy@second.warren.internal"; do
	hostile record $T/impostor 127.0.0.1 2222
	expect 255 on first $client $target 'echo in'
	says 'host key|HOST IDENTIFICATION'
	! grep -q '^in$' $T/out || fail "the impostor ran a command"
done
grep -q 'Connection from' $T/log/impostor || fail "nobody came to the impostor: $(tail -n 5 $T/log/impostor)"
! grep -qi 'userauth.request\|userauth_pubkey' $T/log/impostor || fail "it was shown a login: $(grep -i userauth $T/log/impostor)"
stop impostor
ip netns exec second nft delete table ip hostile

note "with the certificate and the signature of a session: no login either"
on first warren ssh-cert --batch --out $T/id $target
ssh-keygen -Lf $T/id-cert.pub | grep -A 3 source-address | grep -q "$second" || fail "the certificate: $(ssh-keygen -Lf $T/id-cert.pub)"
eval "$(ssh-agent -a $T/agent)" >/dev/null
echo "$SSH_AGENT_PID" >$T/pids/agent
ssh-add -q $T/id
mkdir $T/stolen
cp $T/id-cert.pub $T/stolen/
ssh-keygen -y -f $T/id >$T/stolen/id.pub
tape() { python3 "$WARREN_SRC/tests/support/agent_tape.py" "$@" >>$T/log/tape 2>&1; }
tape record $T/record $T/stolen/tape $T/agent &
within 60 test -S $T/record
attempt() { # FROM AGENT IDENTITY
	on $1 timeout 20 env SSH_AUTH_SOCK=$2 ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
		-o IdentitiesOnly=yes -o PreferredAuthentications=publickey -i $3 -o CertificateFile=$T/stolen/id-cert.pub deploy@$third id -un
}
expect 0 attempt second $T/record $T/stolen/id.pub # with the person's own key it is one: the way is right
says '^deploy'
stop agent
before=$(logins)
tape replay $T/replay $T/stolen/tape $T/stolen/id.pub &
within 60 test -S $T/replay
rm -f $T/stolen/tape.played
expect 255 attempt second $T/replay $T/stolen/id.pub
says 'Permission denied'
[ -s $T/stolen/tape.played ] || fail "the signature was not played"
ssh-keygen -q -t ed25519 -N '' -f $T/mallory
expect 255 attempt second '' $T/mallory
[ "$(logins)" = "$before" ] || fail "somebody was let in: $(grep 'ssh login' $T/log/third | tail -n 2)"
echo "all good"
