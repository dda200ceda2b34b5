#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The real warren-control from the outside, with curl, openssl and ssh-keygen in the roles of two peers
# and a browser: a person logs in by device code at the embedded issuer; with the ID token the first
# peer gets a certificate that OpenSSH reads; the second opens a login for a connection, which the
# person allows in the browser, and receives the signed grant.
#
#   first (enrolled)  --/v1/ssh/cert--------------.
#   second (enrolled) --/v1/ssh/login, poll----- warren-control serve --demo
#   browser (signin.sh) --/device, /login, /ssh/ID'
set -euo pipefail
export LC_ALL=C.UTF-8

BIN=${WARREN_BIN:?} SRC=${WARREN_SRC:?}
for tool in curl jq openssl ssh-keygen; do
	command -v "$tool" >/dev/null || { echo "skipped: no $tool"; exit 77; }
done
dir=$(mktemp -d)
control_pid=
cleanup() {
	[ -z "$control_pid" ] || kill "$control_pid" 2>/dev/null || true
	rm -rf "$dir"
}
trap cleanup EXIT
fail() {
	echo "FAILED: $*" >&2
	tail -n 20 "$dir/control.log" >&2 || true
	exit 1
}
equal() { [ "$2" = "$3" ] || fail "$1: got '$2', wanted '$3'"; }
has() { [[ $2 == *"$3"* ]] || fail "$1: no '$3' in: $2"; }

AUTHORITY=127.0.0.1:18443
URL=https://$AUTHORITY
ip link set lo up
cd "$dir"

# ---- a peer's cryptography, by openssl

b64url() { base64 -w0 | tr '+/' '-_' | tr -d '='; }
unb64url() {
	local text
	text=$(tr '_-' '/+')
	while (( ${#text} % 4 )); do text+='='; done
	base64 -d <<<"$text"
}
hex() { od -An -v -tx1 | tr -d ' \n'; }
unhex() { printf "$(sed 's/../\\x&/g')"; }
public() { openssl pkey -in "$1" -pubout -outform DER | tail -c 32; }
# seed_key SEED_HEX FILE PREFIX: a private key of 32 raw bytes as PEM
seed_key() { printf '%s%s' "$3" "$1" | unhex | openssl pkey -inform DER -out "$2"; }
# proof NAME KEYFILE: BLAKE2b-256(key = X25519(key, enroll key), "warren enroll v1" | public | identity)
proof() {
	local shared
	printf '302a300506032b656e032100%s' "$(unb64url <<<"$enroll_key" | hex)" | unhex |
		openssl pkey -pubin -inform DER -out enroll.pem
	shared=$(openssl pkeyutl -derive -inkey "$2" -peerkey enroll.pem | hex)
	{ printf 'warren enroll v1'; public "$2"; public "$1.identity"; } >message
	openssl mac -macopt "hexkey:$shared" -macopt size:32 -in message BLAKE2BMAC | unhex | b64url
}
# request METHOD TARGET BODY LABEL KEYID KEYFILE [LABEL KEYID KEYFILE]: body to $dir/answer, prints status
request() {
	local method=$1 target=$2 body=$3 digest created nonce input= signature= params query=
	shift 3
	printf '%s' "$body" >body
	[[ $target != *\?* ]] || query=${target#*\?}
	digest="sha-256=:$(openssl dgst -sha256 -binary body | base64 -w0):"
	created=$(date +%s)
	nonce=$(openssl rand 16 | b64url)
	while [ $# -gt 0 ]; do
		params="(\"@method\" \"@authority\" \"@path\" \"@query\" \"content-digest\")"
		params+=";created=$created;nonce=\"$nonce\";keyid=\"$2\";alg=\"ed25519\""
		printf '"@method": %s\n"@authority": %s\n"@path": %s\n"@query": ?%s\n"content-digest": %s\n"@signature-params": %s' \
			"$method" "$AUTHORITY" "${target%%\?*}" "$query" "$digest" "$params" >base
		openssl pkeyutl -sign -rawin -inkey "$3" -in base -out signature
		input+="${input:+, }$1=$params"
		signature+="${signature:+, }$1=:$(base64 -w0 signature):"
		shift 3
	done
	curl -sk -o answer -w '%{http_code}' -X "$method" --data-binary @body \
		-H 'Content-Type: application/json' -H "Content-Digest: $digest" \
		-H "Signature-Input: $input" -H "Signature: $signature" "$URL$target"
}
# as PEER METHOD TARGET [BODY]
as() {
	request "$2" "$3" "${4:-}" w "$(cat "$1.id")" "$1.identity"
}
enroll() {
	local name=$1 body
	openssl genpkey -algorithm ed25519 -out "$name.identity"
	openssl genpkey -algorithm x25519 -out "$name.node"
	openssl genpkey -algorithm x25519 -out "$name.path"
	body=$(jq -nc --arg h "$name" --arg n "$(public "$name.node" | b64url)" \
		--arg p "$(public "$name.path" | b64url)" --arg i "$(public "$name.identity" | b64url)" \
		--arg pn "$(proof "$name" "$name.node")" --arg pp "$(proof "$name" "$name.path")" \
		'{hostname: $h, node_key: $n, path_key: $p, identity_key: $i, host_keys: [], os: "linux",
		  version: "test", ssh: {advertised: true, port: 22, features: []},
		  proof_node: $pn, proof_path: $pp}')
	equal "enrolment of $name: $(cat answer 2>/dev/null)" "$(request POST /v1/enroll "$body" \
		w "sk_$(public setup.pem | b64url)" setup.pem \
		i "ik_$(public "$name.identity" | b64url)" "$name.identity")" 201
	jq -r .peer answer >"$name.id"
	jq -r .overlay4 answer >"$name.v4"
}

# ---- the control server, a user, two peers, a policy

"$BIN/warren-control" serve --state-dir "$dir/state" --listen "$AUTHORITY" --public-url "$URL" \
	--stun 127.0.0.1:13478 --socket "$dir/socket" --demo >control.log 2>&1 &
control_pid=$!
for _ in $(seq 600); do
	curl -sk -o /dev/null "$URL/v1/server" && break
	kill -0 "$control_pid" 2>/dev/null || fail "warren-control ended"
	sleep 0.1
done
control() { "$BIN/warren-control" "$@" --socket "$dir/socket"; }

printf 'correct horse <battery>\n' >password
control user add alice@example.com --groups ops --password-file password >/dev/null
key=$(control setup-key create --name test --reusable | grep -o 'wsk_[A-Za-z0-9_-]*' | head -n 1)
seed_key "$(unb64url <<<"${key#wsk_}" | head -c 32 | hex)" setup.pem \
	302e020100300506032b657004220420
enroll_key=$(curl -sk "$URL/v1/server" | jq -r .signed | cut -d. -f3 | unb64url | jq -r .enroll_key)
enroll first
enroll second
second=$(cat second.id)
control peer ssh second on >/dev/null
cat >policy <<'END'
{ "groups": { "ops": ["group:ops"] },
  "rules": [ { "from": ["peer:first"], "to": ["peer:second"], "proto": "tcp", "ports": "22" } ],
  "ssh": [ { "from": ["ops"], "to": ["peer:second"], "logins": ["deploy"], "allow": ["shell", "exec"] } ] }
END
control policy set policy >/dev/null

# ---- a person logs in by device code

export WARREN_SIGNIN_USER=alice@example.com WARREN_SIGNIN_PASSWORD_FILE=$dir/password
export WARREN_SIGNIN_CURL_OPTS=-k
signin=$SRC/tests/support/signin.sh
curl -sk "$URL/oidc/device_authorization" -d client_id=warren \
	-d 'scope=openid email groups offline_access' >device
token() {
	curl -sk "$URL/oidc/token" -d client_id=warren \
		-d grant_type=urn:ietf:params:oauth:grant-type:device_code \
		-d "device_code=$(jq -r .device_code device)" >tokens
}
token
equal "before anybody signed in" "$(jq -r .error tokens)" authorization_pending
"$signin" "$(jq -r .verification_uri_complete device)" || fail "signing in"
sleep "$(jq -r .interval device)"
token
id_token=$(jq -r .id_token tokens)
equal "user of the ID token" "$(cut -d. -f2 <<<"$id_token" | unb64url | jq -r .email)" \
	alice@example.com
printf 'not it\n' >wrong
curl -sk "$URL/oidc/device_authorization" -d client_id=warren -d 'scope=openid' >other
if WARREN_SIGNIN_PASSWORD_FILE=$dir/wrong "$signin" "$(jq -r .verification_uri_complete other)" \
	2>complaint; then
	fail "a wrong password signed in"
fi
has "wrong password" "$(cat complaint)" "is wrong"

# ---- the same by PKCE on a loopback address, with the client that peers use

if [ -x "$BIN/oidc_tool" ]; then
	pin="sha256//$(curl -sk "$URL/v1/server" | jq -r .signed | cut -d. -f3 | unb64url | jq -r '.spki[0]')"
	: >pkce
	"$BIN/oidc_tool" "$URL" warren --pin "$pin" --nonce abc pkce >pkce 2>&1 &
	tool_pid=$!
	for _ in $(seq 600); do
		pkce_url=$(head -n 1 pkce | jq -r '.url // empty' 2>/dev/null || true)
		[ -z "$pkce_url" ] || break
		sleep 0.1
	done
	"$signin" "$pkce_url" || fail "signing in by PKCE: $(cat pkce)"
	wait "$tool_pid" || fail "PKCE: $(cat pkce)"
	equal "nonce" "$(tail -n 1 pkce | jq -r .id_token | cut -d. -f2 | unb64url | jq -r .nonce)" abc
fi

# ---- a login on the peer, and a certificate that OpenSSH reads

equal "self/login" "$(as first POST /v1/self/login "{\"id_token\":\"$id_token\"}")" 200
equal "identity" "$(jq -r .identity answer)" alice@example.com
ssh-keygen -q -t ed25519 -N '' -C '' -f user
cert_body() {
	jq -nc --arg t "$second" --arg l "$1" --arg k "$(cut -d' ' -f1,2 user.pub)" --arg i "$2" \
		'{target: $t, login: $l, public_key: $k, id_token: $i}'
}
equal "ssh/cert: $(cat answer)" "$(as first POST /v1/ssh/cert "$(cert_body deploy "$id_token")")" 200
jq -r .certificate answer >user-cert.pub
listing=$(ssh-keygen -L -f user-cert.pub)
has "key id" "$listing" "alice@example.com caller=$(cat first.id) target=$second"
has "source address" "$listing" "source-address $(cat first.v4)/32"
has "extension" "$listing" permit-pty
has "principal" "$(sed -n '/Principals/,/Critical/p' <<<"$listing")" deploy
[[ $listing != *port-forwarding* ]] || fail "forwarding was not allowed"
equal "another login" "$(as first POST /v1/ssh/cert "$(cert_body root "$id_token")")" 403
equal "code" "$(jq -r .error.code answer)" denied
equal "a changed token" "$(as first POST /v1/ssh/cert "$(cert_body deploy "${id_token}x")")" 401
equal "code" "$(jq -r .error.code answer)" login_required
access=$(jq -r .access_token tokens)
equal "an access token" "$(as first POST /v1/ssh/cert "$(cert_body deploy "$access")")" 401

# ---- a login for a connection

session=$(openssl rand -hex 32)
login_body() {
	jq -nc --arg l "$1" --arg c "$(cat first.v4)" --arg s "$session" \
		'{login: $l, caller: $c, session: $s}'
}
equal "nobody may" "$(as second POST /v1/ssh/login "$(login_body root)")" 403
equal "ssh/login: $(cat answer)" "$(as second POST /v1/ssh/login "$(login_body deploy)")" 201
id=$(jq -r .id answer) url=$(jq -r .url answer)
equal "poll" "$(as second GET "/v1/ssh/login/$id")" 200
equal "state" "$(jq -r .state answer)" pending
has "page" "$(curl -sk "$url")" "first ($(cat first.v4))"
(sleep 1; "$signin" "$url" >signin.log 2>&1; echo $? >signin.rc; echo $SECONDS >signin.end) &
for _ in 1 2 3 4; do # one is enough, if the person takes less than its 25 s
	started=$SECONDS
	equal "long poll" "$(as second GET "/v1/ssh/login/$id?wait=25")" 200
	polled=$SECONDS
	[ "$(jq -r .state answer)" = pending ] || break
done
equal "state" "$(jq -r .state answer)" granted
wait $!
equal "signin.sh: $(cat signin.log)" "$(cat signin.rc)" 0
# When the person was quick the poll ended, too, long before its time: somebody woke it.
(($(cat signin.end) - started > 12 || polled - started < 22)) || fail "the poll was not woken"
grant=$(jq -r .grant answer)
payload=$(cut -d. -f3 <<<"$grant" | unb64url)
equal "grant's identity" "$(jq -r .identity <<<"$payload")" alice@example.com
equal "grant's login" "$(jq -r .login <<<"$payload")" deploy
equal "grant's session" "$(jq -r .session <<<"$payload")" "$session"
equal "grant's caller" "$(jq -r .caller <<<"$payload")" "$(cat first.id)"
equal "grant's target" "$(jq -r .target <<<"$payload")" "$second"
equal "grant's groups" "$(jq -c .groups <<<"$payload")" '["ops"]'
equal "grant's life" "$(jq -r '.valid_until - .issued' <<<"$payload")" 60
# Signed by the key that peers pin.
printf '302a300506032b6570032100%s' \
	"$(curl -sk "$URL/v1/server" | jq -r .signing_key | unb64url | hex)" | unhex |
	openssl pkey -pubin -inform DER -out signing.pem
printf '%s' "${grant%.*}" >signed
cut -d. -f4 <<<"$grant" | unb64url >signature
openssl pkeyutl -verify -pubin -inkey signing.pem -rawin -in signed -sigfile signature >/dev/null ||
	fail "the grant's signature"

# ---- the rule goes

echo '{}' >policy
control policy set policy >/dev/null
equal "after the rule" "$(as first POST /v1/ssh/cert "$(cert_body deploy "$id_token")")" 403
equal "logged out" "$(as first DELETE /v1/self/login '{"identity":"alice@example.com"}')" 204
control user remove alice@example.com >/dev/null
curl -sk "$URL/oidc/token" -d client_id=warren -d grant_type=refresh_token \
	-d "refresh_token=$(jq -r .refresh_token tokens)" >refreshed
equal "refresh of a removed user" "$(jq -r .error refreshed)" invalid_grant
events=$(control events)
for kind in ssh_cert ssh_cert_denied ssh_login login logout; do
	has "events" "$events" "$kind"
done
kill "$control_pid"
wait "$control_pid" || fail "warren-control ended with $?"
control_pid=
echo "passed"
