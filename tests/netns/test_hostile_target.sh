#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A hostile target plays everything that it was ever sent (a caller's certificate and public key, the
# signature of a session, the grant of a keyboard-interactive login, every signed object) against control's
# endpoints, another target and itself: it gets nowhere.
. "$WARREN_SRC/tests/netns/lib.sh"
command -v python3 >/dev/null || skip "no python3"
peer_request=$WARREN_BIN/../tests/peer_request
[ -x "$peer_request" ] || skip "peer_request is not built"
prepare
mesh
policy <<EOP
{
  "groups": { "ops": ["$USER_MAIL"] },
  "rules": [ { "from": ["peer:first", "peer:second"], "to": ["peer:first", "peer:second"], "proto": "tcp", "ports": "22" } ],
  "ssh": [ { "from": ["ops"], "to": ["peer:first", "peer:second"], "logins": ["deploy"] } ]
}
EOP
# shellcheck disable=SC2086
on first warren up $SSH_FLAGS >$T/out 2>&1 || fail "SSH on first: $(cat $T/out)"
self=$(jq -r .peer $T/first/main/network.json)
target=$(jq -r .peer $T/second/main/network.json)
web() { ip netns exec second curl -sk "$@"; }
ask() { # PEER METHOD PATH PEER-ID BODY: a request signed with that machine's keys; answer and status
	printf '%s' "$5" >$T/body
	"$peer_request" sign $T/$1 198.51.100.2:8443 $2 "$3" "$4" $T/body >$T/headers
	web -o $T/answer -w '%{http_code}' -X $2 -H @$T/headers -H 'Content-Type: application/json' \
		--data-binary @$T/body "$CONTROL_URL$3" >$T/code
}
cert_body() { # TARGET KEY.pub TOKEN
	jq -nc --arg t "$1" --arg k "$(cut -d' ' -f1,2 $2)" --arg i "$3" '{target: $t, login: "deploy", public_key: $k, id_token: $i}'
}

note "the caller logs in with a certificate: what the target sees is kept"
ssh-keygen -q -t ed25519 -N '' -f $T/id
ssh-keygen -q -t ed25519 -N '' -f $T/mallory
web -d client_id=warren -d 'scope=openid email profile groups' $CONTROL_URL/oidc/device_authorization >$T/device
signin_url "$(jq -r .verification_uri_complete $T/device)" || fail "signing in"
web -d client_id=warren -d grant_type=urn:ietf:params:oauth:grant-type:device_code \
	-d "device_code=$(jq -r .device_code $T/device)" $CONTROL_URL/oidc/token >$T/tokens || fail "token request"
ask first POST /v1/ssh/cert "$self" "$(cert_body "$target" $T/id.pub "$(jq -r .id_token $T/tokens)")"
jq -r .certificate $T/answer >$T/id-cert.pub
grep -q cert-v01 $T/id-cert.pub || fail "no certificate: $(cat $T/answer)"
eval "$(ssh-agent -a $T/agent)" >/dev/null
echo "$SSH_AGENT_PID" >$T/pids/agent
ssh-add -q $T/id
python3 "$WARREN_SRC/tests/support/agent_tape.py" record $T/record $T/tape $T/agent >>$T/log/tape 2>&1 &
within 5 test -S $T/record
visit() { # STATUS FROM TO AGENT IDENTITY [CERTIFICATE]
	local certificate=${6:+-o CertificateFile=$6}
	# shellcheck disable=SC2086
	expect $1 on $2 timeout 20 env SSH_AUTH_SOCK=$4 ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=no \
		-o UserKnownHostsFile=/dev/null -o IdentitiesOnly=yes -o PreferredAuthentications=publickey -i $5 $certificate \
		deploy@"$(overlay $3)" id -un
}
mkdir $T/seen # all that follows uses only these, never the caller's private key
cp $T/id.pub $T/id-cert.pub $T/seen
visit 0 first second $T/record $T/seen/id.pub $T/seen/id-cert.pub
says '^deploy'
mv $T/tape $T/seen/tape
stop agent

note "the signature of that session, to the same target again and to another one"
python3 "$WARREN_SRC/tests/support/agent_tape.py" replay $T/replay $T/seen/tape $T/seen/id.pub >>$T/log/tape 2>&1 &
within 5 test -S $T/replay
plays() { # FROM TO
	rm -f $T/seen/tape.played
	visit 255 "$1" "$2" $T/replay $T/seen/id.pub $T/seen/id-cert.pub
	says 'Permission denied|another machine.s CA'
}
plays first second # even from the caller's own address
[ -s $T/seen/tape.played ] || fail "the signature was not played"
plays second first
note "the certificate, with a key of the hostile target's own, and its bare key"
visit 255 first second '' $T/mallory $T/seen/id-cert.pub
visit 255 second first '' $T/mallory $T/seen/id-cert.pub
visit 255 second first '' $T/mallory

note "a grant: the person signs in for a connection to the hostile target"
session=$(head -c 32 /dev/urandom | sha256sum | cut -d' ' -f1)
ask second POST /v1/ssh/login "$target" "$(jq -nc --arg c "$(overlay first)" --arg s "$session" '{login: "deploy", caller: $c, session: $s}')"
[ "$(cat $T/code)" = 201 ] || fail "no login: $(cat $T/answer)"
login_id=$(jq -r .id $T/answer)
signin_url "$(jq -r .url $T/answer)" || fail "signing in"
ask second GET "/v1/ssh/login/$login_id" "$target" ''
grant=$(jq -er .grant $T/answer) || fail "no grant: $(cat $T/answer)"

note "another machine takes neither the login nor its grant"
ask first GET "/v1/ssh/login/$login_id" "$self" ''
[ "$(cat $T/code)" = 404 ] || [ "$(cat $T/code)" = 403 ] || fail "another machine: $(cat $T/code) $(cat $T/answer)"
ask second POST /v1/ssh/login "$target" "$(jq -nc --arg c "$(overlay first)" --arg s "$(sha256sum <<<"$session" | cut -d' ' -f1)" \
	--arg g "$grant" '{login: "deploy", caller: $c, session: $s, grant: $g, id_token: $g}')"
if [ "$(cat $T/code)" = 201 ]; then
	ask second GET "/v1/ssh/login/$(jq -r .id $T/answer)" "$target" ''
	[ "$(jq -r .state $T/answer)" = pending ] || fail "the grant of a session opened another: $(cat $T/answer)"
fi

note "everything as a token, at every endpoint that takes one"
jq -Rr . <<<"$grant" >$T/seen/grant
cut -d' ' -f2 $T/seen/id-cert.pub >$T/seen/cert.word
base64 -w0 $T/seen/tape >$T/seen/tape.word
grep -rhoE '[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){2,4}' $T/second/main | awk 'length > 100' | sort -u | head -n 6 |
	split -l 1 - $T/seen/object.
ls $T/seen/object.* >/dev/null || fail "no signed object in the target's state"
for file in $T/seen/grant $T/seen/object.*; do # also in the shape of a JWT
	rev $file | cut -d. -f1-3 | rev >$T/seen/three-${file##*/}.word
done
key=$(web $CONTROL_URL/v1/server | jq -r '.signed | split(".")[2]' | tr '_-' '/+')
while [ $((${#key} % 4)) != 0 ]; do key+="="; done
key=$(base64 -d <<<"$key" | jq -r .enroll_key)
refused() { # WHAT
	case $(cat $T/code) in 400 | 401 | 403) ;; *) fail "$1 answers $(cat $T/code): $(cat $T/answer)" ;; esac
	! grep -q 'cert-v01\|"identity"' $T/answer || fail "$1 gives something: $(cat $T/answer)"
}
spawn third second warrend --state-dir $T/third --socket $T/third.sock
within 15 test -e $T/third/main
for file in $T/seen/grant $T/seen/*.word $T/seen/object.*; do
	thing=$(head -n 1 $file)
	name=${file##*/}
	ask second POST /v1/ssh/cert "$target" "$(cert_body "$self" $T/mallory.pub "$thing")"
	refused "/v1/ssh/cert with $name"
	ask second POST /v1/ssh/cert "$target" "$(cert_body "$self" $T/mallory.pub "$thing" | jq -c '{target, login, public_key, workload_token: .id_token}')"
	refused "/v1/ssh/cert with $name of a workload"
	ask second POST /v1/ssh/cert "$self" "$(cert_body "$self" $T/mallory.pub "$thing")"
	refused "/v1/ssh/cert as the caller with $name"
	ask second POST /v1/self/login "$target" "$(jq -nc --arg i "$thing" '{id_token: $i}')"
	refused "/v1/self/login with $name"
	for kind in '' workload:; do
		"$peer_request" enroll $T/third 198.51.100.2:8443 "$key" third "$kind$thing" $T/body >$T/headers
		web -o $T/answer -w '%{http_code}' -H @$T/headers -H 'Content-Type: application/json' \
			--data-binary @$T/body $CONTROL_URL/v1/enroll >$T/code
		refused "/v1/enroll with $kind$name"
	done
	printf 'Authorization: Bearer %s\n' "$thing" >$T/bearer
	web -o $T/answer -w '%{http_code}' -H @$T/bearer $CONTROL_URL/oidc/userinfo >$T/code
	refused "userinfo with $name"
	for type in refresh_token authorization_code urn:ietf:params:oauth:grant-type:device_code; do
		web -o $T/answer -w '%{http_code}' -d client_id=warren -d grant_type=$type -d redirect_uri=http://127.0.0.1/ \
			-d code_verifier=$session --data-urlencode "refresh_token=$thing" \
			--data-urlencode "code=$thing" --data-urlencode "device_code=$thing" $CONTROL_URL/oidc/token >$T/code
		refused "token endpoint, $type with $name"
	done
done
[ "$(ctl --json peer list | jq '.peers | length')" = 2 ] || fail "a machine got in"
ctl --json cert list | jq -e '.certs | length == 1' >/dev/null || fail "certificates: $(ctl --json cert list)"
echo "all good"
