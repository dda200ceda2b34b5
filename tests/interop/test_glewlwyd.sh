#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The whole mesh with glewlwyd (Debian's package; another author than oidc-provider's) as login provider,
# over HTTPS under a CA of its own, in a namespace of its own, as its OIDC plugin behaves: redirect URIs
# compared with their port, slow_down, random subjects, an issuer with a path, "auth_time" 0 after the code
# flow, no id token from a refresh token, revocation only for clients with a secret.
. "$WARREN_SRC/tests/netns/lib.sh"
command -v glewlwyd >/dev/null || skip "glewlwyd is not installed"
schema=/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3
[ -e $schema ] && command -v sqlite3 >/dev/null || skip "glewlwyd's database cannot be made"

prepare
network

ip netns add provider
ip -n provider link set lo up
link provider 198.18.0
url=https://198.18.0.2:9443
issuer=$url/api/oidc
mkdir $T/ca $T/glewlwyd
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=Test CA" \
	-keyout $T/ca/ca.key -out $T/ca/ca.pem 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=provider" \
	-keyout $T/glewlwyd/key.pem -out $T/ca/csr.pem 2>/dev/null
printf 'subjectAltName=IP:198.18.0.2\n' >$T/ca/ext
openssl x509 -req -in $T/ca/csr.pem -CA $T/ca/ca.pem -CAkey $T/ca/ca.key -CAcreateserial -days 2 \
	-extfile $T/ca/ext -out $T/glewlwyd/cert.pem 2>/dev/null
chmod 755 $T/ca
chmod 644 $T/ca/ca.pem
cat >$T/glewlwyd/conf <<EOF
port=9443
bind_address="198.18.0.2"
external_url="$url"
login_url="login.html"
api_prefix="api"
static_files_path="/usr/share/glewlwyd/webapp/"
log_mode="console"
log_level="INFO"
cookie_domain="198.18.0.2"
cookie_secure=1
session_key="GLEWLWYD2_SESSION_ID"
admin_scope="g_admin"
profile_scope="g_profile"
user_module_path="/usr/lib/glewlwyd/user"
user_middleware_module_path="$T/glewlwyd"
client_module_path="/usr/lib/glewlwyd/client"
user_auth_scheme_module_path="/usr/lib/glewlwyd/scheme"
plugin_module_path="/usr/lib/glewlwyd/plugin"
use_secure_connection=true
secure_connection_key_file="$T/glewlwyd/key.pem"
secure_connection_pem_file="$T/glewlwyd/cert.pem"
hash_algorithm="SHA512"
database={ type="sqlite3"; path="$T/glewlwyd/db"; };
EOF
sqlite3 $T/glewlwyd/db <$schema
provider_start() {
	spawn provider provider glewlwyd --config-file=$T/glewlwyd/conf
	within 90 ip netns exec provider curl -sf --cacert $T/ca/ca.pem $url/config
}
admin() { # METHOD PATH JSON
	ip netns exec provider curl -sSf --cacert $T/ca/ca.pem -b $T/glewlwyd/jar -c $T/glewlwyd/jar -X "$1" \
		-H 'content-type: application/json' ${3:+-d "$3"} "$url/api/$2"
}
new_key() { # NAME ALGORITHM…
	openssl genpkey "${@:2}" -out $T/glewlwyd/$1.key 2>/dev/null
	openssl pkey -in $T/glewlwyd/$1.key -pubout -out $T/glewlwyd/$1.pub
}
plugin() { # KEY TYPE [SECONDS]: the plugin's settings
	jq -n --argjson seconds "${3:-600}" --rawfile key $T/glewlwyd/$1.key --rawfile cert $T/glewlwyd/$1.pub --arg type "$2" --arg iss "$issuer" \
		'{ module: "oidc", name: "oidc", display_name: "oidc", enabled: true, parameters: {
			iss: $iss, "jwt-type": $type, "jwt-key-size": "256", key: $key, cert: $cert,
			"access-token-duration": $seconds, "refresh-token-duration": 3600, "code-duration": 300,
			"refresh-token-rolling": true, "refresh-token-one-use": "always", "allow-non-oidc": false,
			"auth-type-code-enabled": true, "auth-type-implicit-enabled": false, "auth-type-token-enabled": false,
			"auth-type-client-enabled": false, "auth-type-password-enabled": false,
			"auth-type-refresh-enabled": true, "auth-type-device-enabled": true,
			"device-authorization-expiration": 300, "device-authorization-interval": 1,
			"jwks-show": true, "subject-type": "public", "pkce-allowed": true, "pkce-required": true,
			"email-claim": "mandatory", "name-claim": "mandatory",
			claims: [ { name: "groups", "user-property": "groups", type: "string", mandatory: true, scope: [] } ],
			"introspection-revocation-allowed": true, "introspection-revocation-allow-target-client": true } }'
}
client() { # ID NAME REDIRECTS
	jq -nc --arg id "$1" --arg name "$2" --argjson uris "$3" '{ client_id: $id, name: $name, enabled: true,
		confidential: false, redirect_uri: $uris, token_endpoint_auth_method: ["none"],
		authorization_type: ["code", "refresh_token", "device_authorization"] }'
}
person() { # NAME GROUPS
	jq -nc --arg name "$1" --rawfile password $T/password --argjson groups "$2" '{ username: $name, name: $name,
		email: ($name + "@Example.com"), password: ($password | rtrimstr("\n")), groups: $groups, enabled: true,
		scope: ["openid", "email", "profile", "groups", "offline_access"] }'
}
echo wonderland >$T/password
# signin.sh knows glewlwyd's page, which is a program for a browser.
signin_url() {
	ip netns exec first env WARREN_SIGNIN_USER="${PERSON:-alice}" WARREN_SIGNIN_PASSWORD_FILE=$T/password \
		WARREN_SIGNIN_CURL_OPTS=-k bash "$WARREN_SRC/tests/support/signin.sh" "$1" >>$T/log/signin 2>&1
}

note "glewlwyd: people with groups, a public client, two loopback ports"
provider_start
admin POST auth/ '{"username":"admin","password":"password"}'
admin GET mod/user/database | jq -c '.parameters["data-format"].groups = {multiple: true, read: true, write: true}' >$T/module
admin PUT mod/user/database "$(cat $T/module)"
admin PUT mod/user/database/reset
for scope in email profile groups offline_access; do
	admin POST scope/ "{\"name\":\"$scope\",\"display_name\":\"$scope\",\"password_required\":true,\"scheme\":{}}"
done
admin POST user/ "$(person alice '["ops", "dev"]')"
admin POST user/ "$(person bob '["dev"]')"
new_key one -algorithm EC -pkeyopt ec_paramgen_curve:P-256
new_key two -algorithm RSA -pkeyopt rsa_keygen_bits:2048
admin POST mod/plugin/ "$(plugin one ecdsa)"
admin POST client/ "$(client warren-cli Warren "[\"http://127.0.0.1:8250/callback\", \"http://127.0.0.1:8251/callback\", \"$CONTROL_URL/ssh/callback\"]")"
admin POST client/ "$(client warren-ssh 'Warren, SSH password' '["http://127.0.0.1:8250/callback"]')"

note "a wrong issuer: a slash too many, both are shown"
configure() { # ISSUER [MORE]
	cat >$T/control.json <<EOF
{ "state_dir": "$T/control", "listen": "0.0.0.0:8443", "public_url": "$CONTROL_URL", "stun": "0.0.0.0:3478",
  "socket": "$T/control.sock", "login_enrolls": true, "issuers": [ { "issuer": "$1", "client_id": "warren-cli",
    "ca_file": "$T/ca/ca.pem", ${2:-} "redirect_ports": [8250, 8251] } ] }
EOF
	spawn control control warren-control serve --config $T/control.json
	within 90 ctl peer list
}
configure $issuer/
setup_key --name test --reusable --expires 1h >/dev/null
echo "{ \"issuer_ca_file\": \"$T/ca/ca.pem\" }" >$T/warren.json
peer_start first --config $T/warren.json
peer_start second
expect 4 on first timeout 90 warren up --control "$(ctl network)" --hostname first
says "\"$issuer\".*\"$issuer/\""
one_sentence
stop control
configure $issuer
group_policy() { # GROUP
	policy <<EOF
{
  "hosts": { "servers": ["peer:second"] },
  "rules": [ { "from": ["peer:first"], "to": ["servers"], "proto": "tcp", "ports": "22" } ],
  "ssh": [ { "from": ["group:$1"], "to": ["servers"], "logins": ["deploy"], "allow": ["shell", "exec"], "auth": ["identity", "token"] } ]
}
EOF
}
group_policy ops
# shellcheck disable=SC2086
on second warren up --control $CONTROL_URL --setup-key-file $T/setup-key --hostname second $SSH_FLAGS --enable-ssh-jwt-password

note "code flow with PKCE on the registered loopback port: joining by a login"
stop first
peer_start first --config $T/warren.json # with what it read of the issuer before
: >$T/prompt
signin_from $T/prompt &
on first warren up --control "$(ctl network)" --hostname first --ssh-jwt-cache-ttl 3600 2>$T/prompt >$T/up ||
	fail "warren up: $(cat $T/prompt $T/up)"
wait $! || fail "signing in: $(cat $T/log/signin)"
grep -q 'redirect_uri=http%3A%2F%2F127.0.0.1%3A8250%2Fcallback' $T/prompt || fail "another port: $(cat $T/prompt)"
ctl --json peer list | jq -e '.peers[] | select(.name == "first") | .identities == ["alice@example.com"]' \
	>/dev/null || fail "first has another owner: $(ctl --json peer list)"
within 90 direct first
within 90 direct second
host=second.warren.internal

note "a browser on this machine: code flow, on the first registered port that is free"
mkdir $T/desktop
printf '#!/bin/sh\necho "$1" >%s/opened\n' $T >$T/desktop/xdg-open
chmod 755 $T/desktop/xdg-open
browser_login() { # STATUS PORT
	rm -f $T/opened
	signin_from $T/opened &
	expect $1 on first env DISPLAY=:99 PATH=$T/desktop:$PATH warren login --force
	wait $! || fail "signing in: $(cat $T/log/signin)"
	says "127.0.0.1%3A$2"
	! grep -q 'confirm the code' $T/out || fail "by a code: $(cat $T/out)"
}
browser_login 0 8250
says 'Logged in as alice@example.com'
ip netns exec first socat TCP-LISTEN:8250,bind=127.0.0.1,fork,reuseaddr EXEC:cat &
listening first 8250
browser_login 0 8251
ip netns exec first socat TCP-LISTEN:8251,bind=127.0.0.1,fork,reuseaddr EXEC:cat &
busy=$!
listening first 8251
expect 4 on first env DISPLAY=:99 PATH=$T/desktop:$PATH warren login --force
says 'none of the loopback ports .*8250, 8251'
one_sentence
kill $busy
wait $busy || true

note "the code flow does not say when the person signed in: with max_age_s that is not good enough"
stop control
configure $issuer '"max_age_s": 3600,'
stop first
peer_start first --config $T/warren.json
within 90 direct first
browser_login 4 8251
says '"auth_time" is 0, so nobody knows how old the login is'
stop control
configure $issuer
stop first
peer_start first --config $T/warren.json
within 90 direct first

note "device flow: login, warren ssh, stock ssh"
login
grep -q 'alice@example.com' $T/login-out || fail "who is logged in: $(cat $T/login-out)"
expect 0 on first warren ssh deploy@second id -un
says '^deploy'
on first warren openssh install
expect 0 on first ssh -o BatchMode=yes deploy@$host 'id -un'
says '^deploy'

note "keyboard-interactive: control's page sends the person there and back; bob's group may not"
keyboard() { # STATUS
	: >$T/ki
	signin_from $T/ki &
	local got=0
	on first timeout 90 script -qefc "ssh -F none -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no \
		-o PreferredAuthentications=keyboard-interactive -o NumberOfPasswordPrompts=1 \
		deploy@$(overlay second) id -un" $T/ki </dev/null >$T/out || got=$?
	wait $! || true
	[ $got = "$1" ] || fail "keyboard-interactive ends with $got: $(cat $T/ki $T/log/signin)"
}
keyboard 0
grep -aq '^deploy' $T/ki || fail "no command: $(cat $T/ki)"
PERSON=bob keyboard 255
grep -aq 'lets bob@example.com' $T/ki || fail "does not say who: $(cat $T/ki)"

note "a token as password, by the client warren-ssh"
: >$T/prompt
signin_from $T/prompt &
on first warren ssh-token >$T/token 2>$T/prompt || fail "warren ssh-token: $(cat $T/prompt)"
wait $!
printf '#!/bin/sh\ncat %s/token\n' $T >$T/bin/askpass
chmod 755 $T/bin/askpass
enter() {
	on first timeout 90 env SSH_ASKPASS=$T/bin/askpass SSH_ASKPASS_REQUIRE=force ssh -F none -o StrictHostKeyChecking=no \
		-o UserKnownHostsFile=/dev/null -o PreferredAuthentications=password -o NumberOfPasswordPrompts=1 \
		-o PubkeyAuthentication=no deploy@"$(overlay second)" id -un
}
[ "$(wc -c <$T/token)" -lt 1023 ] || fail "the token is longer than OpenSSH sends"
within 90 enter
expect 0 enter
says '^deploy'

note "another key of another kind: what comes with it is taken, once known"
admin PUT mod/plugin/oidc "$(plugin two rsa)"
admin PUT mod/plugin/oidc/reset
on first warren logout >$T/out 2>&1 || fail "logout: $(cat $T/out)"
! grep -q provider $T/out || fail "a provider that offers no revocation is complained about: $(cat $T/out)"
login
expect 0 on first warren ssh deploy@second true

note "its refresh tokens bring no id token: who cannot be asked is told to log in, others are asked"
admin PUT mod/plugin/oidc "$(plugin two rsa 3)"
admin PUT mod/plugin/oidc/reset
on first warren logout >$T/out
login
sleep 4
expect 4 on first warren ssh-cert --batch --out $T/none deploy@second
says 'could not be renewed: run `warren login`'
admin PUT mod/plugin/oidc "$(plugin two rsa)"
admin PUT mod/plugin/oidc/reset
rm -f $T/opened
signin_from $T/opened &
expect 0 on first env DISPLAY=:99 PATH=$T/desktop:$PATH warren ssh deploy@second id -un # in the browser of this machine
wait $! || fail "signing in: $(cat $T/log/signin)"
says '127.0.0.1%3A825'
says '^deploy'

note "the provider is down: who is logged in stays so, others are told"
stop provider
expect 0 on first ssh -o BatchMode=yes deploy@$host 'id -un'
on first warren logout
expect 255 on first warren ssh deploy@second true
says '198.18.0.2:9443'
one_sentence
echo "all good"
