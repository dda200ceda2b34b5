#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Joining by a login instead of a setup key: the person becomes the machine's owner in the policy. Tokens
# of other logins and other machines, another server's fingerprint and networks that do not want it.
. "$WARREN_SRC/tests/netns/lib.sh"
peer_request=$WARREN_BIN/../tests/peer_request
[ -x "$peer_request" ] || skip "peer_request is not built"
prepare
network
control_start
user
peer_start first
peer_start second
full=$(ctl network)
[[ $full =~ ^$CONTROL_URL#[A-Za-z0-9_-]{22}$ ]] || fail "warren-control network: $full"

up_by_login() { # PEER URL [FLAGS…]
	local peer=$1 url=$2
	shift 2
	: >$T/prompt
	signin_from $T/prompt &
	on "$peer" warren up --control "$url" --hostname "$peer" "$@" 2>$T/prompt >$T/up || fail "up: $(cat $T/prompt)"
	wait $!
}

note "another server's fingerprint: refused before anybody is asked to log in"
expect 1 on first warren up --control "$CONTROL_URL#AAAAAAAAAAAAAAAAAAAAAA" --hostname first
one_sentence
says 'signing key'

note "the URL is shown, the person signs in, the machine is connected"
up_by_login first "$full" --ssh-jwt-cache-ttl 3600
grep -q '^Connected' $T/up || fail "up said: $(cat $T/up)"
grep -q "$CONTROL_URL/device" $T/prompt || fail "up did not show where: $(cat $T/prompt)"
# shellcheck disable=SC2086
up_by_login second "$full" $SSH_FLAGS
ctl --json peer list | jq -e --arg who $USER_MAIL \
	'.peers | length == 2 and all(.identities == [$who] and .setup_key == "")' >/dev/null || fail "peers: $(ctl --json peer list)"

note "the owner counts in rules: machines of alice reach those of alice, others nothing"
policy <<EOF
{
  "rules": [ { "from": ["$USER_MAIL"], "to": ["$USER_MAIL"], "proto": "tcp", "ports": "22,7000" } ],
  "ssh": [ { "from": ["$USER_MAIL"], "to": ["$USER_MAIL"], "logins": ["deploy"], "allow": ["shell", "exec"] } ]
}
EOF
within 60 direct first
expect 0 on first warren policy explain first second:7000
policy <<EOF
{ "rules": [ { "from": ["bob@example.com"], "to": ["peer:second"], "proto": "tcp", "ports": "22,7000" } ] }
EOF
within 60 sh -c "! WARREN_SOCKET=$T/first.sock ip netns exec first warren policy explain first second:7000"
echo "{ \"rules\": [ { \"from\": [\"$USER_MAIL\"], \"to\": [\"peer:second\"], \"proto\": \"tcp\", \"ports\": \"22\" } ],
  \"ssh\": [ { \"from\": [\"$USER_MAIL\"], \"to\": [\"peer:second\"], \"logins\": [\"deploy\"], \"allow\": [\"exec\"] } ] }" | policy
within 60 direct first
login
becomes 0 on first warren ssh deploy@second id -un
says '^deploy'

note "a token of a usual login enrols nothing, and neither does one without a nonce at all"
ip netns add third
ip -n third link set lo up
mkdir -p /etc/netns/third
link third 198.18.1
spawn third third warrend --state-dir $T/third --socket $T/third.sock
within 60 on third warren status --check live
# The login that a device makes for `warren login`: a token of the embedded issuer with no nonce.
oidc() { ip netns exec third curl -sk "$@"; }
oidc -d client_id=warren -d 'scope=openid email profile groups' $CONTROL_URL/oidc/device_authorization >$T/device || fail "device request"
[ -s $T/device ] && jq -e .device_code $T/device >/dev/null || fail "device request: $(cat $T/device)"
signin_url "$(jq -r .verification_uri_complete $T/device)" || fail "signing in"
oidc -d client_id=warren -d grant_type=urn:ietf:params:oauth:grant-type:device_code \
	-d "device_code=$(jq -r .device_code $T/device)" $CONTROL_URL/oidc/token >$T/tokens || fail "token request"
token=$(jq -r .id_token $T/tokens)
[ "${#token}" -gt 100 ] || fail "no token: $(cat $T/tokens)"
enrol_with() { # TOKEN: status to $T/code, answer to $T/out
	local key
	key=$(oidc $CONTROL_URL/v1/server | jq -r '.signed | split(".")[2]' | tr '_-' '/+')
	while [ $((${#key} % 4)) != 0 ]; do key+="="; done
	key=$(base64 -d <<<"$key" | jq -r .enroll_key)
	"$peer_request" enroll $T/third 198.51.100.2:8443 "$key" third "$1" $T/body >$T/headers
	oidc -o $T/out -w '%{http_code}' -H @$T/headers -H 'Content-Type: application/json' \
		--data-binary @$T/body $CONTROL_URL/v1/enroll >$T/code
}
enrol_with "$token"
[ "$(cat $T/code)" = 401 ] || fail "status $(cat $T/code): $(cat $T/out)"
jq -e '.error.code == "login_required" and (.error.message | test("not made for enrolling"))' $T/out >/dev/null ||
	fail "reason: $(cat $T/out)"
enrol_with "${token%?????}AAAAA"
[ "$(cat $T/code)" = 401 ] || fail "a broken token: $(cat $T/code) $(cat $T/out)"
[ "$(ctl --json peer list | jq '.peers | length')" = 2 ] || fail "a machine got in"

note "a network that takes setup keys only"
cat >$T/control2.json <<EOF
{ "state_dir": "$T/control2", "listen": "0.0.0.0:8444", "public_url": "https://198.51.100.2:8444", "stun": "",
  "socket": "$T/control2.sock", "demo": true, "login_enrolls": false }
EOF
spawn control2 control warren-control serve --config $T/control2.json
within 60 ip netns exec control warren-control --socket $T/control2.sock peer list
ip netns exec control warren-control --socket $T/control2.sock user add $USER_MAIL --password-file $T/password
full2=$(ip netns exec control warren-control --socket $T/control2.sock network)
: >$T/prompt
signin_from $T/prompt &
got=0
on third warren up --control "$full2" --hostname third 2>$T/prompt >$T/up || got=$?
wait $! || true
cp $T/prompt $T/out
[ $got = 5 ] || fail "status $got instead of 5: $(cat $T/out)"
says 'setup key'
echo "all good"
