#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A hostile target plays everything that it was ever sent (a caller's certificate and public key, the
# signature of a session, also those of a break-glass certificate and of a key in authorized_keys, a token as
# password, the grant of a keyboard-interactive login, every signed object, a forwarded agent) against
# control's endpoints, another target and itself: it gets nowhere.
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
within 60 served first
reach() { ip netns exec second bash -c "exec 3<>/dev/tcp/$(overlay first)/22"; }
within 60 reach
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
within 60 test -S $T/record
attempt() { # FROM TO AGENT IDENTITY [CERTIFICATE]
	local certificate=${5:+-o CertificateFile=$5}
	# shellcheck disable=SC2086
	on $1 timeout 120 env SSH_AUTH_SOCK=$3 ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=no \
		-o UserKnownHostsFile=/dev/null -o IdentitiesOnly=yes -o PreferredAuthentications=publickey -i $4 $certificate \
		deploy@"$(overlay $2)" id -un
}
visit() { expect $1 attempt "${@:2}"; } # STATUS and what `attempt` takes
mkdir $T/seen # all that follows uses only these, never the caller's private key
cp $T/id.pub $T/id-cert.pub $T/seen
visit 0 first second $T/record $T/seen/id.pub $T/seen/id-cert.pub
says '^deploy'
mv $T/tape $T/seen/tape
stop agent

note "the signature of that session, to the same target again and to another one"
python3 "$WARREN_SRC/tests/support/agent_tape.py" replay $T/replay $T/seen/tape $T/seen/id.pub >>$T/log/tape 2>&1 &
within 60 test -S $T/replay
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

note "the same with a break-glass certificate and with a key in authorized_keys, which both machines take"
policy <<EOP
{
  "groups": { "ops": ["$USER_MAIL"] },
  "rules": [ { "from": ["peer:first", "peer:second"], "to": ["peer:first", "peer:second"], "proto": "tcp", "ports": "22" } ],
  "ssh": [ { "from": ["ops", "peer:first", "peer:second"], "to": ["peer:first", "peer:second"], "logins": ["deploy"],
             "auth": ["identity", "key", "token"], "allow": ["shell", "exec", "agent"] } ]
}
EOP
ssh-keygen -q -t ed25519 -N '' -f $T/ca
for key in night automat; do ssh-keygen -q -t ed25519 -N '' -f $T/$key; done
ssh-keygen -q -s $T/ca -I "alice, incident 7" -n deploy -V +1h -z 7 $T/night.pub
mkdir -p $T/home/deploy/.ssh
cp $T/automat.pub $T/home/deploy/.ssh/authorized_keys
chmod 700 $T/home/deploy/.ssh
chown -R 61810:61810 $T/home/deploy/.ssh
for peer in first second; do
	on $peer warren break-glass pin $T/ca.pub >$T/out
	on $peer warren up --enable-ssh-authorized-keys --enable-ssh-jwt-password >$T/out 2>&1 || fail "$peer: $(cat $T/out)"
done
was_seen() { # NAME [CERTIFICATE]: a login with that key, then its tape against everybody
	eval "$(ssh-agent -a $T/agent.$1)" >/dev/null
	local agent=$SSH_AGENT_PID
	ssh-add -q $T/$1
	python3 "$WARREN_SRC/tests/support/agent_tape.py" record $T/record.$1 $T/seen/tape.$1 $T/agent.$1 >>$T/log/tape 2>&1 &
	within 60 test -S $T/record.$1
	cp $T/$1.pub $T/seen/
	within 60 attempt first second $T/record.$1 $T/seen/$1.pub "${2:-}"
	kill $agent
	python3 "$WARREN_SRC/tests/support/agent_tape.py" replay $T/replay.$1 $T/seen/tape.$1 $T/seen/$1.pub >>$T/log/tape 2>&1 &
	within 60 test -S $T/replay.$1
	rm -f $T/seen/tape.$1.played
	for way in "first second" "second first" "first first"; do
		# shellcheck disable=SC2086
		visit 255 $way $T/replay.$1 $T/seen/$1.pub "${2:-}"
	done
	[ -s $T/seen/tape.$1.played ] || fail "$1: the signature was not played"
	visit 255 second first '' $T/mallory "${2:-}"
}
cp $T/night-cert.pub $T/seen/
was_seen night $T/seen/night-cert.pub
was_seen automat

note "a forwarded agent holds the user's own keys, and never the mesh's"
login
on first warren openssh install
eval "$(ssh-agent -a $T/agent.own)" >/dev/null
echo "$SSH_AGENT_PID" >$T/pids/agent
ssh-add -q $T/mallory # some key of the user's
on first env SSH_AUTH_SOCK=$T/agent.own ssh -A -o BatchMode=yes deploy@second.warren.internal 'ssh-add -L' >$T/listed
[ "$(wc -l <$T/listed)" = 1 ] && ! grep -q cert-v01 $T/listed || fail "the agent shows $(cat $T/listed)"
expect 255 on first env SSH_AUTH_SOCK=$T/agent.own ssh -A -o BatchMode=yes deploy@second.warren.internal \
	"ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null deploy@$(overlay first) id"
says 'Permission denied'
stop agent

note "a token as password, which the target reads as it is"
: >$T/prompt
signin_from $T/prompt &
on first warren ssh-token >$T/seen/token.word 2>$T/prompt || fail "warren ssh-token: $(cat $T/prompt)"
wait $!
printf '#!/bin/sh\ncat %s/seen/token.word\n' $T >$T/bin/askpass
chmod 755 $T/bin/askpass
shows() { # FROM TO
	on $1 timeout 120 env SSH_ASKPASS=$T/bin/askpass SSH_ASKPASS_REQUIRE=force ssh -F none -o StrictHostKeyChecking=no \
		-o UserKnownHostsFile=/dev/null -o PreferredAuthentications=password -o NumberOfPasswordPrompts=1 \
		-o PubkeyAuthentication=no deploy@"$(overlay $2)" id -un
}
within 60 shows first second
not_here() { expect 255 shows second first && says 'not logged in on the machine|run `warren login`'; }
within 60 not_here

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
certificates() { ctl --json cert list | jq '.certs | length'; }
before=$(certificates)
jq -Rr . <<<"$grant" >$T/seen/grant
cut -d' ' -f2 $T/seen/id-cert.pub >$T/seen/cert.word
cut -d' ' -f2 $T/seen/night-cert.pub >$T/seen/night.word
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
within 60 test -s $T/third/main/keys.json
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
[ "$(certificates)" = "$before" ] || fail "certificates: $(ctl --json cert list)"
echo "all good"
