#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# "force_command" of an ssh rule, with real clients: certificates here and at a stock sshd side by side,
# keyboard-interactive grants, tokens, keys, machines; the subsystem, forwards, other commands of keys and
# of the machine's configuration; and what happens to a session when policy changes it.
. "$WARREN_SRC/tests/netns/lib.sh"
[ -x /usr/sbin/sshd ] || skip "no sshd"
prepare
mesh
mkdir -p $T/sshd
stop second
peer_start second --sshd-config $T/sshd
within 60 direct first
login
on first warren openssh install
host=second.warren.internal
second=$(overlay second)
forced='echo "forced: $SSH_ORIGINAL_COMMAND" as $(id -un)'
rules='"rules": [ { "from": ["peer:first"], "to": ["peer:second"], "proto": "tcp", "ports": "22,7000-7010" } ]'
who='"from": ["alice@example.com", "peer:first"], "to": ["peer:second"], "logins": ["deploy"]'
json=$(jq -n --arg c "$forced" '$c')
force_policy() { # [MORE RULES] [MORE KEYS]
	policy <<EOP
{ $rules, "ssh": [ { $who, "force_command": $json${2:+, $2} } ${1:+, $1} ] }
EOP
}

note "tests of the policy file, before there is a machine"
cat >$T/test.json <<EOP
{ $rules, "ssh": [ { $who, "force_command": $json } ],
  "sshTests": [ { "from": "alice@example.com", "to": "peer:second", "accept": ["deploy"], "force_command": $json },
                { "from": "alice@example.com", "to": "peer:second", "deny": ["root"] } ] }
EOP
expect 0 warren policy test $T/test.json
jq '.sshTests[0].force_command = "id"' $T/test.json >$T/test-other.json
expect 1 warren policy test $T/test-other.json
says 'test-other.json:[0-9]+:[0-9]+: test failed: .*alice@example.com.* as deploy .* runs only .*forced.*, not .*id'

force_policy
explained() { on first warren policy explain alice@example.com second:22 >$T/out && grep -q 'deploy (only the command: echo "forced' $T/out; }
within 60 explained

# A stock sshd that trusts the machine's CA, and nothing else.
on second warren ca show >$T/ca
ssh-keygen -q -t ed25519 -N '' -f $T/sshd_key
mkdir -p /run/sshd
printf 'Port 7001\nHostKey %s\nPidFile none\nTrustedUserCAKeys %s\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nSubsystem sftp /usr/lib/openssh/sftp-server\n' \
	$T/sshd_key $T/ca >$T/sshd.conf
spawn sshd second /usr/sbin/sshd -D -e -f $T/sshd.conf
listening second 7001
options="-F none -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o IdentitiesOnly=yes"
new_cert() { rm -f $T/c $T/c.pub $T/c-cert.pub; on first warren ssh-cert --batch --out $T/c deploy@second && ssh-keygen -Lf $T/c-cert.pub >$T/cert; }
with_cert() { # PORT ARGUMENTS…
	local port=$1
	shift
	# shellcheck disable=SC2086
	on first timeout 120 ssh $options -i $T/c -o CertificateFile=$T/c-cert.pub -p $port "$@"
}

note "the certificate says it, and both servers do it: command, shell, terminal, subsystem"
new_cert
grep -q 'force-command echo "forced' $T/cert || fail "the certificate: $(cat $T/cert)"
within 60 bash -c "warren-control --json --socket $T/control.sock events | grep -q 'force_command.*forced'"
for port in 22 7001; do
	[ "$(with_cert $port deploy@$second 'cat /etc/passwd; exit 3')" = "forced: cat /etc/passwd; exit 3 as deploy" ] || fail "a command at $port"
	got=$(with_cert $port -T deploy@$second </dev/null 2>&1) || true; [ "$got" = "forced:  as deploy" ] || fail "a shell at $port: $got"
	[ "$(with_cert $port -tt deploy@$second ls </dev/null | tr -d '\r')" = "forced: ls as deploy" ] || fail "a terminal at $port"
	[ "$(with_cert $port -s deploy@$second sftp </dev/null)" = "forced: /usr/lib/openssh/sftp-server as deploy" ] || fail "sftp at $port: $(with_cert $port -s deploy@$second sftp </dev/null)"
	expect 255 with_cert $port -W 127.0.0.1:7001 deploy@$second
done

note "the drop-in and warren ssh"
[ "$(on first ssh deploy@$host 'id; false')" = "forced: id; false as deploy" ] || fail "the drop-in"
[ "$(on first warren ssh deploy@second uptime)" = "forced: uptime as deploy" ] || fail "warren ssh"
audited() { [[ $(on second warren audit show --dir $T/second/root --event ssh.session) == *forced* ]]; }
within 60 audited

note "a grant: the person signs in at the URL of keyboard-interactive"
: >$T/kbd
signin_from $T/kbd &
signer=$!
on first timeout 300 script -qefc "ssh -F none -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no -o PubkeyAuthentication=no deploy@$second whoami" $T/kbd </dev/null >/dev/null || fail "keyboard-interactive: $(cat $T/kbd)"
wait $signer
grep -aq 'forced: whoami as deploy' $T/kbd || fail "keyboard-interactive: $(cat $T/kbd)"

note "a token as password"
force_policy "" '"auth": ["identity", "token", "key", "machine"]'
on second warren up --enable-ssh-jwt-password --enable-ssh-authorized-keys >$T/out 2>&1 || fail "the switches: $(cat $T/out)"
: >$T/prompt
signin_from $T/prompt &
on first warren ssh-token >$T/token 2>$T/prompt || fail "warren ssh-token: $(cat $T/prompt)"
wait $!
printf '#!/bin/sh\ncat %s\n' $T/token >$T/bin/askpass
chmod 755 $T/bin/askpass
token_in() {
	on first timeout 120 env SSH_ASKPASS=$T/bin/askpass SSH_ASKPASS_REQUIRE=force ssh -F none -o StrictHostKeyChecking=no \
		-o UserKnownHostsFile=/dev/null -o PreferredAuthentications=password -o PubkeyAuthentication=no \
		-o NumberOfPasswordPrompts=1 deploy@$second whoami >$T/out 2>&1
}
within 60 token_in
says '^forced: whoami as deploy$'

note "a key: without a command policy's; with policy's; with another it is refused"
ssh-keygen -q -t ed25519 -N '' -f $T/id
mkdir -p $T/home/deploy/.ssh
key_line() {
	printf '%s%s\n' "$1" "$(cat $T/id.pub)" >$T/home/deploy/.ssh/authorized_keys
	chown -R deploy:deploy $T/home/deploy/.ssh
	chmod 700 $T/home/deploy/.ssh
}
with_key() {
	# shellcheck disable=SC2086
	on first timeout 120 ssh $options -o PreferredAuthentications=publickey -i $T/id deploy@$second whoami
}
key_line ''
expect 0 with_key
says '^forced: whoami as deploy$'
key_line "command=\"$(printf %s "$forced" | sed 's/"/\\"/g')\" "
expect 0 with_key
says '^forced: whoami as deploy$'
key_line 'command="id" '
expect 255 with_key
refused() { [[ $(on second warren audit show --dir $T/second/root --event ssh.login.refused) == *'want different commands'* ]]; }
within 60 refused
key_line 'command="internal-sftp" '
expect 255 with_key

note "a machine alone"
on second warren up --disable-ssh-auth >$T/out 2>&1 || fail "the switch: $(cat $T/out)"
machine_in() {
	on first timeout 120 ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
		-o PreferredAuthentications=none deploy@$second whoami >$T/out 2>&1
}
within 60 machine_in
says '^forced: whoami as deploy$'
on second warren up --disable-ssh-auth=false >$T/out 2>&1 || fail "the switch: $(cat $T/out)"

note "key's internal-sftp, where policy forces nothing: sftp and nothing else, as sshd has it"
policy <<EOP
{ $rules, "ssh": [ { $who, "auth": ["identity", "key"] } ] }
EOP
sftp_in() {
	# shellcheck disable=SC2086
	echo 'ls /etc/hostname' | on first timeout 120 sftp $options -i $T/id -b - deploy@$second >$T/out 2>&1
}
within 60 sftp_in
! with_key >$T/out 2>&1 || fail "a command beside internal-sftp: $(cat $T/out)"

note "the machine's own ForceCommand counts before it, as with sshd"
force_policy "" '"auth": ["identity", "key"]'
within 60 explained
printf 'ForceCommand echo "by the machine: $SSH_ORIGINAL_COMMAND"\n' >$T/sshd/10.conf
ours() { [ "$(on first ssh deploy@$host id 2>/dev/null)" = "by the machine: id" ]; }
within 60 ours
rm $T/sshd/10.conf
usual() { [ "$(on first ssh deploy@$host id 2>/dev/null)" = "forced: id as deploy" ]; }
within 60 usual

note "a rule without a command: its session, and nothing that was given to the command"
force_policy "{ $who, \"allow\": [\"exec\"] }" '"allow": ["shell", "exec", "forward", "agent"]'
free() { [ "$(on first ssh deploy@$host 'echo free' 2>/dev/null)" = free ]; }
within 60 free
expect 255 on first ssh -o BatchMode=yes -W 127.0.0.1:7001 deploy@$host
expect 255 on first ssh -o BatchMode=yes -T deploy@$host </dev/null
new_cert
! grep -q 'force-command\|permit-port\|permit-agent' $T/cert || fail "the certificate widens: $(cat $T/cert)"

note "an old certificate keeps its command; an old certificate of another command is refused, and why"
force_policy
within 60 usual
new_cert
policy <<EOP
{ $rules, "ssh": [ { $who } ] }
EOP
within 60 free
[ "$(with_cert 22 deploy@$second id)" = "forced: id as deploy" ] || fail "the certificate's command is gone"
policy <<EOP
{ $rules, "ssh": [ { $who, "force_command": "echo other" } ] }
EOP
other() { [ "$(on first ssh deploy@$host id 2>/dev/null)" = other ]; }
within 60 other
becomes 255 with_cert 22 deploy@$second id
within 60 bash -c "on() { :; }; warren audit show --dir $T/second/root --event ssh.login.refused | grep -q 'another command'"

note "an open session ends when policy wants a command, and when it wants another"
usual_policy
within 60 free
on first ssh -tt deploy@$host 'echo up; sleep 600' </dev/null >$T/live 2>&1 &
live=$!
within 60 grep -q up $T/live
force_policy
got=0
wait $live || got=$?
[ $got = 255 ] || fail "the live session ended with $got: $(cat $T/live)"
grep -q 'narrowed' $T/live || fail "the session does not say why: $(cat $T/live)"
echo "all good"
