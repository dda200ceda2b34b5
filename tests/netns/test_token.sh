#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A JWT as SSH password: off by default, with root's switch and a rule both, only from a machine that its
# owner is logged in on, only for its own audience; and refused by every endpoint of the control server.
. "$WARREN_SRC/tests/netns/lib.sh"
command -v python3 >/dev/null || skip "no python3"
peer_request=$WARREN_BIN/../tests/peer_request
[ -x "$peer_request" ] || skip "peer_request is not built"
prepare
mesh
second=$(overlay second)
tokens_policy() { # AUTH
	policy <<EOP
{
  "groups": { "ops": ["$USER_MAIL"] },
  "hosts": { "servers": ["peer:second"] },
  "rules": [ { "from": ["peer:first"], "to": ["servers"], "proto": "tcp", "ports": "22" } ],
  "ssh": [ { "from": ["ops"], "to": ["servers"], "logins": ["deploy"], "auth": $1 } ]
}
EOP
}
tokens_policy '["identity", "token"]'
# ssh asks a program for the password; several of these clients keep what they got.
cat >$T/bin/askpass <<EOA
#!/bin/sh
cat $T/token
EOA
chmod 755 $T/bin/askpass
enter() { # STATUS
	expect $1 on first timeout 120 env SSH_ASKPASS=$T/bin/askpass SSH_ASKPASS_REQUIRE=force ssh -F none \
		-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o PreferredAuthentications=password \
		-o NumberOfPasswordPrompts=1 -o PubkeyAuthentication=no deploy@$second id -un
}
enters() { enter 0; }

new_token() {
	: >$T/prompt
	signin_from $T/prompt &
	on first warren ssh-token >$T/token 2>$T/prompt || fail "warren ssh-token: $(cat $T/prompt)"
	wait $!
}
note "a token of its own, by warren ssh-token"
new_token
payload() { python3 - "$1" <<'EOY'
import base64, json, sys
part = open(sys.argv[1]).read().strip().split(".")[1]
print(json.dumps(json.loads(base64.urlsafe_b64decode(part + "=="))))
EOY
}
payload $T/token >$T/claims
[ "$(jq -r .aud $T/claims)" = warren-ssh ] || fail "the audience is $(cat $T/claims)"

note "off until root says so"
enter 255
on second warren up --enable-ssh-jwt-password >$T/out 2>&1 || fail "the switch: $(cat $T/out)"

note "its owner is not logged in on the machine that shows it"
not_here() { enter 255 && says 'not logged in on the machine|run `warren login`'; }
within 60 not_here
login
within 60 enters
says '^deploy$'
within 60 grep -q "ssh login .*identity=$USER_MAIL.*method=token" $T/log/second
enter 0 # and again: clients of this kind keep it

note "control takes it nowhere"
self=$(jq -r .peer $T/first/main/network.json)
target=$(jq -r .peer $T/second/main/network.json)
ssh-keygen -q -t ed25519 -N '' -f $T/id
web() { ip netns exec first curl -sk "$@"; }
refused_at() { # METHOD PATH BODY [WORDS]
	printf '%s' "$3" >$T/body
	"$peer_request" sign $T/first 198.51.100.2:8443 $1 $2 "$self" $T/body >$T/headers
	status=$(web -o $T/answer -w '%{http_code}' -X $1 -H @$T/headers -H 'Content-Type: application/json' \
		--data-binary @$T/body $CONTROL_URL$2)
	case $status in 401 | 403) ;; *) fail "$2 answers $status to the token: $(cat $T/answer)" ;; esac
	grep -qiE "${4:-audience|aud}" $T/answer || fail "$2 refuses for another reason: $(cat $T/answer)"
}
token=$(cat $T/token)
refused_at POST /v1/self/login "{\"id_token\":\"$token\"}"
refused_at POST /v1/ssh/cert "$(jq -nc --arg t "$target" --arg k "$(cut -d' ' -f1,2 $T/id.pub)" --arg i "$token" \
	'{target: $t, login: "deploy", public_key: $k, id_token: $i}')"
status=$(web -o $T/answer -w '%{http_code}' -H "Authorization: Bearer $token" $CONTROL_URL/oidc/userinfo)
[ "$status" = 401 ] || fail "userinfo answers $status"

refused_at POST /v1/ssh/cert "$(jq -nc --arg t "$target" --arg k "$(cut -d' ' -f1,2 $T/id.pub)" --arg i "$token" \
	'{target: $t, login: "deploy", public_key: $k, workload_token: $i}')" 'people only'
key=$(web $CONTROL_URL/v1/server | jq -r '.signed | split(".")[2]' | tr '_-' '/+')
while [ $((${#key} % 4)) != 0 ]; do key+="="; done
key=$(base64 -d <<<"$key" | jq -r .enroll_key)
spawn third first warrend --state-dir $T/third --socket $T/third.sock
within 60 test -s $T/third/main/keys.json
for kind in '' workload:; do
	"$peer_request" enroll $T/third 198.51.100.2:8443 "$key" third "$kind$token" $T/body >$T/headers
	status=$(web -o $T/answer -w '%{http_code}' -H @$T/headers -H 'Content-Type: application/json' \
		--data-binary @$T/body $CONTROL_URL/v1/enroll)
	case $status in 401 | 403) ;; *) fail "enrolment answers $status to $kind the token: $(cat $T/answer)" ;; esac
done
stop third
for type in refresh_token authorization_code urn:ietf:params:oauth:grant-type:device_code; do
	status=$(web -o $T/answer -w '%{http_code}' -d client_id=warren -d grant_type=$type -d redirect_uri=http://127.0.0.1/ \
		-d code_verifier=0123456789012345678901234567890123456789012345 --data-urlencode "refresh_token=$token" \
		--data-urlencode "code=$token" --data-urlencode "device_code=$token" $CONTROL_URL/oidc/token)
	[ "$status" = 400 ] || fail "the token endpoint answers $status to it as $type: $(cat $T/answer)"
done
[ "$(ctl --json peer list | jq '.peers | length')" = 2 ] || fail "a machine got in"

note "nor does another target, from the machine that was shown it"
policy <<EOP
{
  "groups": { "ops": ["$USER_MAIL"] },
  "rules": [ { "from": ["peer:first", "peer:second"], "to": ["peer:first", "peer:second"], "proto": "tcp", "ports": "22" } ],
  "ssh": [ { "from": ["ops"], "to": ["peer:first", "peer:second"], "logins": ["deploy"], "auth": "token" } ]
}
EOP
# shellcheck disable=SC2086
on first warren up $SSH_FLAGS --enable-ssh-jwt-password >$T/out 2>&1 || fail "SSH on first: $(cat $T/out)"
from_second() { # STATUS
	expect $1 on second timeout 120 env SSH_ASKPASS=$T/bin/askpass SSH_ASKPASS_REQUIRE=force ssh -F none \
		-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o PreferredAuthentications=password \
		-o NumberOfPasswordPrompts=1 -o PubkeyAuthentication=no deploy@"$(overlay first)" id -un
}
served() { from_second 255 && grep -q 'Permission denied\|logged in' $T/out; }
within 60 served
says 'not logged in on the machine|run `warren login`'
tokens_policy '["identity", "token"]'
within 60 enters

note "an ordinary login's token does not do, nor a changed one, nor a cut one"
web -d client_id=warren -d 'scope=openid email profile groups' $CONTROL_URL/oidc/device_authorization >$T/device
signin_url "$(jq -r .verification_uri_complete $T/device)" || fail "signing in"
web -d client_id=warren -d grant_type=urn:ietf:params:oauth:grant-type:device_code \
	-d "device_code=$(jq -r .device_code $T/device)" $CONTROL_URL/oidc/token >$T/tokens || fail "token request"
cp $T/token $T/good
jq -r .id_token $T/tokens >$T/token
enter 255
says 'audience|aud'
jq -r .access_token $T/tokens >$T/token
enter 255
python3 - $T/good >$T/token <<'EOY'
import sys
head, body, sig = open(sys.argv[1]).read().strip().split(".")
print(".".join([head, body, ("B" if sig[0] == "A" else "A") + sig[1:]]))
EOY
enter 255
says 'does not verify'
head -c 1500 /dev/zero | tr '\0' a >$T/token
enter 255
says 'cut: OpenSSH sends 1023 characters'
echo not-a-token >$T/token
enter 255
cp $T/good $T/token
enter 0

note "policy and root take it back"
tokens_policy '"identity"'
out() { enter 255; }
within 60 out
tokens_policy '"token"'
within 60 enters
on first warren logout
logged_out() { enter 255 && grep -q 'warren login' $T/out; }
within 60 logged_out
login
new_token # what was there before the logout is void
within 60 enters
on second warren up --enable-ssh-jwt-password=false >$T/out 2>&1
enter 255
grep -qF "$token" $T/log/* && fail "a token is in a log"
echo "all good"
