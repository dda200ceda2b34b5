#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Keys of ~/.ssh/authorized_keys on the embedded server. Every line of the table goes to a stock sshd on
# the same machine too, over the same mesh: both let in, force, restrict and refuse the same. Then what only
# Warren has: nothing of it without the machine's switch, nothing without the policy's word.
. "$WARREN_SRC/tests/netns/lib.sh"
[ -x /usr/sbin/sshd ] || skip "no sshd"
prepare
mesh
machine_policy() { # AUTH
	policy <<EOP
{
  "hosts": { "servers": ["peer:second"] },
  "rules": [ { "from": ["peer:first"], "to": ["servers"], "proto": "tcp", "ports": "22,7000-7010" } ],
  "ssh": [ { "from": ["peer:first"], "to": ["servers"], "logins": ["deploy"], "auth": $1,
             "allow": ["shell", "exec", "sftp", "forward", "remote-forward", "agent"] } ]
}
EOP
}
machine_policy '["identity", "key"]'
second=$(overlay second)
first=$(overlay first)
home=$T/home/deploy
for kind in "ed25519" "ecdsa -b 256" "ecdsa -b 384" "ecdsa -b 521" "rsa -b 2048"; do
	# shellcheck disable=SC2086
	ssh-keygen -q -t $kind -N '' -C "a comment" -f "$T/id-$(echo $kind | tr -d ' -')"
done
ID=$T/id-ed25519
ssh-keygen -q -t ed25519 -N '' -f $T/other
ssh-keygen -q -t ed25519 -N '' -f $T/ca
KEY=$(cat $ID.pub)
CA=$(cat $T/ca.pub)
mkdir -p $home/.ssh /run/sshd
chmod 700 $home/.ssh
keys() { # TEXT [FILE]
	printf '%b' "$1" >"$home/.ssh/${2:-authorized_keys}"
	chown -R deploy:deploy $home/.ssh
}

# The stock server, where the mesh's policy lets us go.
ssh-keygen -q -t ed25519 -N '' -f $T/sshd_key
cat >$T/sshd_config <<EOC
ListenAddress $second:7001
HostKey $T/sshd_key
PidFile none
UsePAM no
StrictModes yes
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 100
LogLevel VERBOSE
EOC
spawn sshd second /usr/sbin/sshd -D -e -f $T/sshd_config
listening second 7001
options="-F none -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR
 -o IdentitiesOnly=yes -o PreferredAuthentications=publickey"
ssh_to() { # PORT ARGUMENTS…
	local port=$1
	shift
	# shellcheck disable=SC2086
	on first timeout ${LIMIT:-120} ssh $options -p $port "$@"
}

rows=0 wrong=
same() { # WHAT EXPECTED KEYS ARGUMENTS…: both servers answer that. EXPECTED: "yes TEXT" or "no"
	local what=$1 want=$2 text=$3 port got status
	shift 3
	[ "$text" = - ] || keys "$text"
	for port in 7001 22; do
		status=0
		got=$(ssh_to $port "$@" 2>/dev/null </dev/null | tr -d '\r'; exit ${PIPESTATUS[0]}) || status=$?
		[ $status = 255 ] && got=no || got="yes $got"
		[ "$got" = "$want" ] || {
			wrong="$wrong
$what: port $port says \"$got\", not \"$want\""
		}
	done
	rows=$((rows + 1))
}
in_() { same "$1" "yes deploy" "$2" -i $ID deploy@$second id -un; }
out_() { same "$1" no "$2" -i $ID deploy@$second id -un; }
tries() { # WHAT EXPECTED KEYS COMMAND: with the usual key
	same "$1" "$2" "$3" -i $ID deploy@$second "$4"
}

# Ours takes no key before root's switch; then compare.
keys "$KEY\n"
expect 255 ssh_to 22 -i $ID deploy@$second true
on second warren up --enable-ssh-authorized-keys >$T/out 2>&1 || fail "the switch: $(cat $T/out)"
within 60 ssh_to 22 -i $ID deploy@$second true

note "warren-ssh: with -i, and the key behind another"
on first warren openssh hostkey second.warren.internal >$T/known-mesh
printf '#!/bin/bash\nexec 3<>/dev/tcp/%s/22 && exec warren-ssh --connection=3 --name=second.warren.internal --host-keys=%s "$@"\n' \
	$second $T/known-mesh >$T/bin/own-plain
chmod 755 $T/bin/own-plain
expect 255 on first own-plain -o BatchMode=yes -i $T/other deploy@second true
says 'Permission denied'
expect 0 on first own-plain -o BatchMode=yes -i $T/other -i $ID deploy@second id -un
says '^deploy'
expect 0 on first own-plain -o BatchMode=yes -o IdentityFile=$ID deploy@second id -un

note "lines"
in_ "a key" "$KEY\n"
in_ "without a newline" "$KEY"
in_ "after comments, blanks and others" "# x\n\n  \t\n$(cat $T/other.pub)\n \t$KEY\n"
in_ "carriage returns" "$KEY\r\n"
in_ "no comment behind it" "${KEY% a comment}\n"
in_ "blanks between" "$(echo "$KEY" | sed 's/ /   \t/')\n"
out_ "another key" "$(cat $T/other.pub)\n"
out_ "an empty file" ""
out_ "commented out" "#$KEY\n"
out_ "cut base64" "$(echo "$KEY" | cut -c1-60)\n"
out_ "another type's name" "ssh-rsa ${KEY#* }\n"
out_ "garbage behind the type" "ssh-ed25519 ????\n"
for kind in ecdsab256 ecdsab384 ecdsab521 rsab2048; do
	same $kind "yes deploy" "$(cat $T/id-$kind.pub)\n" -i $T/id-$kind deploy@$second id -un
done
rm $home/.ssh/authorized_keys
keys "$KEY\n" authorized_keys2
in_ "the second file" -
rm $home/.ssh/authorized_keys2
out_ "no file" -

note "options"
out_ "unknown" "frobnicate $KEY\n"
out_ "unknown with a value" "frobnicate=\"1\" $KEY\n"
out_ "a known one and an unknown" "no-pty,frobnicate $KEY\n"
out_ "no-restrict" "no-restrict $KEY\n"
in_ "a comma at the end" "no-pty, $KEY\n"
out_ "a quote left open" "command=\"echo $KEY\n"
out_ "a value without quotes" "command=id $KEY\n"
in_ "a line that refuses before one that allows" "frobnicate $KEY\n$KEY\n"
tries "the first that allows counts" "yes one" "command=\"echo one\" $KEY\ncommand=\"echo two\" $KEY\n" id
tries "command" "yes forced id -un" "command=\"echo forced \$SSH_ORIGINAL_COMMAND\" $KEY\n" "id -un"
tries "quotes in a command" "yes a b" 'command="echo \\"a b\\"" '"$KEY\n" id
tries "upper case" "yes forced" "COMMAND=\"echo forced\" $KEY\n" id
out_ "command twice" "command=\"a\",command=\"b\" $KEY\n"
tries "an empty command" "yes " "command=\"\" $KEY\n" "id -un"
same "a terminal" "yes yes" "$KEY\n" -tt -i $ID deploy@$second 'test -t 0 && echo yes'
for option in no-pty restrict NO-PTY restrict,no-pty; do
	tries "$option without a terminal" "yes no" "$option $KEY\n" 'test -t 0 && echo yes || echo no'
done
same "restrict,pty" "yes yes" "restrict,pty $KEY\n" -tt -i $ID deploy@$second 'test -t 0 && echo yes'
tries "environment is not taken" "yes -" "environment=\"X=1\" $KEY\n" 'echo ${X:--}'
out_ "environment without a name" "environment=\"=1\" $KEY\n"
out_ "environment without a value" "environment=\"X\" $KEY\n"
in_ "all the rest" "no-agent-forwarding,no-X11-forwarding,no-user-rc,no-touch-required,tunnel=\"0\" $KEY\n"
out_ "tunnel without a number" "tunnel=\"x\" $KEY\n"
out_ "a CA's key as a key" "cert-authority $KEY\n"
out_ "principals on a key" "principals=\"deploy\" $KEY\n"

note "from and expiry-time"
in_ "from: the address" "from=\"$first\" $KEY\n"
in_ "from: a network" "from=\"10.0.0.0/8,100.64.0.0/10\" $KEY\n"
in_ "from: a pattern" "from=\"100.*\" $KEY\n"
out_ "from: another address" "from=\"192.0.2.99\" $KEY\n"
out_ "from: excluded" "from=\"100.64.0.0/10,!$first\" $KEY\n"
out_ "from: excluded by pattern" "from=\"!100.*,*\" $KEY\n"
out_ "from: only an exclusion" "from=\"!192.0.2.99\" $KEY\n"
out_ "from: bits behind the mask" "from=\"100.64.0.1/10,*\" $KEY\n"
out_ "from: empty" "from=\"\" $KEY\n"
out_ "from: an empty member" "from=\"$first,,\" $KEY\n"
out_ "from: a name elsewhere" "from=\"*.example.com\" $KEY\n"
out_ "from: twice" "from=\"$first\",from=\"$first\" $KEY\n"
in_ "not expired" "expiry-time=\"20990101\" $KEY\n"
in_ "not expired, with seconds" "expiry-time=\"20990101235959Z\" $KEY\n"
out_ "expired" "expiry-time=\"20200101\" $KEY\n"
out_ "expired, with minutes" "expiry-time=\"202001010000Z\" $KEY\n"
out_ "the earlier counts" "expiry-time=\"20990101\",expiry-time=\"20200101\" $KEY\n"
out_ "no time" "expiry-time=\"tomorrow\" $KEY\n"
out_ "no month" "expiry-time=\"20991301\" $KEY\n"
out_ "an hour too many" "expiry-time=\"209901012400\" $KEY\n"

note "owners and modes"
keys "$KEY\n"
for change in "chmod 666 $home/.ssh/authorized_keys" "chmod 777 $home/.ssh" "chmod 777 $home" \
	"chown 61801 $home/.ssh/authorized_keys" "chown 61801 $home/.ssh"; do
	$change
	[ "$change" = "chown 61801 $home/.ssh" ] && chmod 755 $home/.ssh
	out_ "$change" -
	chown -R deploy:deploy $home
	chmod 700 $home $home/.ssh
	chmod 600 $home/.ssh/authorized_keys
	in_ "undone" -
done
mv $home/.ssh/authorized_keys $home/keys
ln -s ../keys $home/.ssh/authorized_keys
in_ "a link inside of the home" -
mv $home/keys $T/etc/elsewhere
ln -sf $T/etc/elsewhere $home/.ssh/authorized_keys
chmod 777 $T/etc
out_ "a link to a folder where others write" -
chmod 755 $T/etc
in_ "a link to a safe folder" -
rm $home/.ssh/authorized_keys
mkdir $home/.ssh/authorized_keys
out_ "a folder" -
rmdir $home/.ssh/authorized_keys

note "forwards"
banner() { same "$1" "$2" "$3" -i $ID -W 127.0.0.1:7009 deploy@$second; }
spawn echoer second python3 -c '
import socket
s = socket.create_server(("127.0.0.1", 7009))
while True:
    c, _ = s.accept()
    c.sendall(b"here\n")
    c.close()'
listening second 7009
banner "no limit" "yes here" "$KEY\n"
banner "permitopen" "yes here" "permitopen=\"127.0.0.1:7009\" $KEY\n"
banner "any port" "yes here" "permitopen=\"127.0.0.1:*\" $KEY\n"
banner "any host" "yes here" "permitopen=\"*:7009\" $KEY\n"
banner "one of two" "yes here" "permitopen=\"other:1\",permitopen=\"127.0.0.1:7009\" $KEY\n"
banner "another port" no "permitopen=\"127.0.0.1:7008\" $KEY\n"
banner "another host" no "permitopen=\"localhost:7009\" $KEY\n"
banner "no pattern" no "permitopen=\"127.*:7009\" $KEY\n"
banner "no-port-forwarding" no "no-port-forwarding $KEY\n"
banner "restrict" no "restrict $KEY\n"
banner "restrict and back" "yes here" "restrict,port-forwarding $KEY\n"
out_ "permitopen without a port" "permitopen=\"127.0.0.1\" $KEY\n"
out_ "permitopen with a range" "permitopen=\"127.0.0.1:1-9\" $KEY\n"
listen() { same "$1" "$2" "$3" -i $ID -o ExitOnForwardFailure=yes -R $4:127.0.0.1:1 deploy@$second id -un; }
listen "permitlisten" "yes deploy" "permitlisten=\"7008\" $KEY\n" 7008
listen "permitlisten with a host" "yes deploy" "permitlisten=\"localhost:7008\" $KEY\n" localhost:7008
listen "permitlisten, another port" no "permitlisten=\"7007\" $KEY\n" 7008
listen "permitlisten, another host" no "permitlisten=\"::1:7008\" $KEY\n" 7008

note "cert-authority"
sign() { # NAME ARGUMENTS of ssh-keygen…
	cp $ID.pub $T/$1.pub
	shift
	ssh-keygen -q -s $T/ca -I somebody "$@"
}
cert() { # WHAT EXPECTED OPTIONS ARGUMENTS of ssh-keygen…
	local what=$1 want=$2 line=$3
	shift 3
	sign cert "$@" $T/cert.pub 2>/dev/null
	same "$what" "$want" "$line $CA\n" -i $ID -o CertificateFile=$T/cert-cert.pub deploy@$second id -un
}
cert "its CA" "yes deploy" cert-authority -n deploy -V +1h
cert "not marked" no no-pty -n deploy -V +1h
cert "another principal" no cert-authority -n root -V +1h
cert "principals=" "yes deploy" 'cert-authority,principals="x,ops"' -n ops -V +1h
cert "principals= without the login" no 'cert-authority,principals="x,ops"' -n deploy -V +1h
cert "expired" no cert-authority -n deploy -V -2h:-1h
cert "not yet" no cert-authority -n deploy -V +1h:+2h
cert "source-address" "yes deploy" cert-authority -n deploy -V +1h -O source-address=$first
cert "another source-address" no cert-authority -n deploy -V +1h -O source-address=192.0.2.99
cert "force-command" "yes one" cert-authority -n deploy -V +1h -O force-command="echo one"
cert "the same in both" "yes one" 'cert-authority,command="echo one"' -n deploy -V +1h -O force-command="echo one"
cert "different in both" no 'cert-authority,command="echo two"' -n deploy -V +1h -O force-command="echo one"
cert "a host's" no cert-authority -h -n deploy -V +1h
cert "an unknown critical option" no cert-authority -n deploy -V +1h -O critical:frob@example.com=1
[ -z "$wrong" ] || fail "$wrong"
echo "$rows rows, the same on both"

note "what only Warren has"
keys "from=\"first\" $KEY\n"
expect 0 ssh_to 22 -i $ID deploy@$second true
keys "$KEY\n"
expect 0 ssh_to 22 -i $ID deploy@$second true
within 60 grep -q 'method=authorized_keys' $T/log/second
grep -q "key=$(ssh-keygen -lf $ID.pub | cut -d' ' -f2)" $T/log/second || fail "the audit does not name the key"
# sshd takes a certificate without principals for everybody's; ours for nobody's.
sign cert -V +1h $T/cert.pub 2>/dev/null
keys "cert-authority $CA\n"
expect 0 ssh_to 7001 -i $ID -o CertificateFile=$T/cert-cert.pub deploy@$second true
expect 255 ssh_to 22 -i $ID -o CertificateFile=$T/cert-cert.pub deploy@$second true
keys "$KEY\n"
# Keys on security tokens are not taken: refused at once, although the line is there, and the next key does.
python3 - >$T/sk.pub <<'EOY'
import base64
s = lambda b: len(b).to_bytes(4, "big") + b
name = b"sk-ssh-ed25519@openssh.com"
print(name.decode(), base64.b64encode(s(name) + s(bytes(32)) + s(b"ssh:")).decode())
EOY
keys "$(cat $T/sk.pub)\n$KEY\n"
expect 255 ssh_to 22 -i $T/sk.pub deploy@$second true
expect 0 ssh_to 22 -i $T/sk.pub -i $ID deploy@$second true
keys "$KEY\n"
machine_policy '"machine"'
becomes 255 ssh_to 22 -i $ID deploy@$second true
machine_policy '"identity"'
expect 255 ssh_to 22 -i $ID deploy@$second true
machine_policy '"key"'
within 60 ssh_to 22 -i $ID deploy@$second true
# What policy takes back ends what runs.
LIMIT=500 ssh_to 22 -i $ID deploy@$second 'echo on; sleep 600' >$T/running 2>&1 &
running=$!
within 60 grep -q on $T/running
machine_policy '"identity"'
got=0
wait $running || got=$?
[ $got != 0 ] || fail "a session goes on that policy no longer allows"
machine_policy '"key"'
within 60 ssh_to 22 -i $ID deploy@$second true
on second warren up --enable-ssh-authorized-keys=false >$T/out 2>&1
expect 255 ssh_to 22 -i $ID deploy@$second true
echo "all good"
