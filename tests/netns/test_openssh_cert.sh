#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `warren ssh-cert` and `warren ca show` with a stock sshd that has TrustedUserCAKeys and nothing else:
# accepted; refused from another address, for another user, for another host, after expiry.
. "$WARREN_SRC/tests/netns/lib.sh"
prepare
mesh
second=$(overlay second)

note "the key, told by both ends alike, as a stock sshd reads it"
on second warren ca show >$T/ca-second
on first warren ca show second >$T/ca
cmp $T/ca $T/ca-second || fail "two keys for one machine"
on first warren ca show >$T/ca-first
! cmp -s $T/ca-first $T/ca || fail "two machines have one key"
ssh-keygen -lf $T/ca >/dev/null
expect 1 on first warren ca show nothing
one_sentence
expect 2 on first warren ca

sshd_with() { # PORT CA-FILE: a stock sshd on second
	ssh-keygen -q -t ed25519 -N '' -f $T/hostkey-$1
	mkdir -p /run/sshd
	printf 'Port %s\nHostKey %s\nPidFile none\nTrustedUserCAKeys %s\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nLogLevel VERBOSE\n' \
		$1 $T/hostkey-$1 $2 >$T/sshd-$1.conf
	spawn sshd-$1 second /usr/sbin/sshd -D -e -f $T/sshd-$1.conf
	within 60 ip netns exec first bash -c "exec 3<>/dev/tcp/$second/$1"
}
sshd_with 7001 $T/ca
sshd_with 7002 $T/ca-first
add_account other 61820 /bin/bash '*'
for f in passwd group shadow; do
	umount /etc/$f
	mount --bind $T/etc/$f /etc/$f
done

note "without a login: exit 4, and nothing is written"
expect 4 on first warren ssh-cert --batch --out $T/new deploy@second
one_sentence
[ ! -e $T/new ] || fail "a key without a certificate was left"
expect 2 on first warren ssh-cert deploy@second
login

note "a new key and its certificate"
expect 0 on first warren ssh-cert --batch --out $T/new deploy@second
[ "$(stat -c %a $T/new)" = 600 ] || fail "the key's mode"
ssh-keygen -Lf $T/new-cert.pub >$T/out
says "source-address $(overlay first)/32"
says ' deploy$'
says "$USER_MAIL"
self=$(jq -r .peer $T/first/main/network.json) target=$(jq -r .peer $T/second/main/network.json)
says "Key ID: \"$USER_MAIL caller=$self target=$target request=[A-Za-z0-9_-]+ auth=[0-9]+\""
serial() { ssh-keygen -Lf $T/$1-cert.pub | sed -n 's/ *Serial: //p'; }
request() { ssh-keygen -Lf $T/$1-cert.pub | sed -n 's/.* request=\([^ "]*\).*/\1/p'; }
note "a certificate for a key that is there"
ssh-keygen -q -t ecdsa -N '' -f $T/own
on first warren ssh-cert --batch --key $T/own.pub deploy@second >$T/own-cert.pub
expect 1 on first warren ssh-cert --batch --key $T/own deploy@second
says 'private key'

try() { # KEY PORT ADDRESS USER
	on first timeout 120 ssh -F none -i $T/$1 -o CertificateFile=$T/$1-cert.pub -o IdentitiesOnly=yes -o BatchMode=yes \
		-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -p $2 $4@$3 'echo in as $(id -un)'
}
[ "$(serial new)" -gt 0 ] && [ "$(serial own)" -gt 0 ] && [ "$(serial new)" != "$(serial own)" ] || fail "serials $(serial new) $(serial own)"
[ "$(request new)" != "$(request own)" ] || fail "two of one request: $(request new)"
note "a stock sshd accepts both"
expect 0 try new 7001 $second deploy
says 'in as deploy'
expect 0 try own 7001 $second deploy
says 'in as deploy'
note "and so does Warren's"
expect 0 try new 22 $second deploy
says 'in as deploy'

note "refused: another address, another user, another host"
expect 255 try new 7001 203.0.113.2 deploy
within 60 grep -qi 'not from a permitted source address\|source-address\|certificate.*address' $T/log/sshd-7001
expect 255 try new 7001 $second other
expect 255 try new 7001 $second root
expect 255 try new 7002 $second deploy
expect 255 try new 22 $second root

note "refused by policy: exit 5 and the reason"
expect 5 on first warren ssh-cert --batch --out $T/none root@second
one_sentence
[ ! -e $T/none ] || fail "a key without a certificate was left"

note "what policy does not allow a stock sshd does not do either"
may() { # ALLOW…
	policy <<EOF2
{ "rules": [ { "from": ["peer:first"], "to": ["peer:second"], "proto": "tcp", "ports": "22,7000-7010" } ],
  "ssh": [ { "from": ["$USER_MAIL"], "to": ["peer:second"], "logins": ["deploy"], "allow": [$1] } ] }
EOF2
	within 60 certificate_with "$2"
}
certificate_with() { # its extensions
	on first warren ssh-cert --batch --out $T/less deploy@second &&
		[ "$(ssh-keygen -Lf $T/less-cert.pub | sed -n 's/^ *permit-//p' | sort | tr '\n' ' ')" = "$1" ]
}
less() { # OPTION…
	on first timeout 120 ssh -F none -i $T/less -o CertificateFile=$T/less-cert.pub -o IdentitiesOnly=yes -o BatchMode=yes \
		-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -p 7001 "$@"
}
may '"exec"' 'pty user-rc '
expect 0 less -tt deploy@$second 'tty; echo ends-here'
says ends-here
expect 255 less -W 127.0.0.1:7002 deploy@$second
says 'prohibited|port forwarding'
may '"forward"' 'port-forwarding '
expect 255 less -tt deploy@$second true
says 'PTY allocation request failed'
ip netns exec second timeout 100 socat TCP-LISTEN:7777,reuseaddr,bind=127.0.0.1 SYSTEM:'echo from-second' &
listening second 7777
expect 0 less -W 127.0.0.1:7777 deploy@$second
says from-second
expect 255 on first ssh -F none -i $T/less -o CertificateFile=$T/less-cert.pub -o IdentitiesOnly=yes -o BatchMode=yes \
	-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null deploy@$second true # nor Warren's: there not even a command

mkfifo $T/long
note "refused after expiry"
policy <<EOF2
{ "rules": [ { "from": ["peer:first"], "to": ["peer:second"], "proto": "tcp", "ports": "22,7000-7010" } ],
  "ssh": [ { "from": ["$USER_MAIL"], "to": ["peer:second"], "logins": ["deploy"], "allow": ["shell", "exec"], "cert_ttl": "60s" } ] }
EOF2
short() {
	on first warren ssh-cert --batch --out $T/short deploy@second &&
		[ $(($(date -d "$(ssh-keygen -Lf $T/short-cert.pub | sed -n 's/.* to //p')" +%s) - $(date +%s))) -le 60 ]
}
within 60 short
expect 0 try short 7001 $second deploy
note "(a shared connection and its sessions outlive the certificate)"
on first warren openssh install
shared="ssh -o BatchMode=yes -o ControlPath=$T/mux deploy@second.warren.internal"
on first ssh -f -N -o BatchMode=yes -o ControlMaster=yes -o ControlPath=$T/mux -o ControlPersist=600 deploy@second.warren.internal
on first $shared 'cat; echo still here' <$T/long >$T/long-out 2>&1 &
long=$!
exec 9>$T/long
end=$(date -d "$(ssh-keygen -Lf $T/short-cert.pub | sed -n 's/.* to //p')" +%s)
while [ "$(date +%s)" -le "$end" ]; do sleep 0.5; done
expect 255 try short 7001 $second deploy
expect 255 try short 22 $second deploy
expect 3 on first $shared 'exit 3'
exec 9>&-
wait $long || fail "a session ended with its certificate: $(cat $T/long-out)"
grep -q 'still here' $T/long-out || fail "$(cat $T/long-out)"
on first ssh -O exit -o ControlPath=$T/mux deploy@second.warren.internal 2>/dev/null
echo "all good"
