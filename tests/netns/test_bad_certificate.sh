#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Certificates that real ssh offers: the good one logs in; one of another CA, one of this network's CA
# for another key, an expired one of another CA and a bare key do not, and the server goes on.
. "$WARREN_SRC/tests/netns/lib.sh"
peer_request=$WARREN_BIN/../tests/peer_request
[ -x "$peer_request" ] || skip "peer_request is not built"
prepare
mesh
login
ssh-keygen -q -t ed25519 -N '' -f $T/id
ssh-keygen -q -t ed25519 -N '' -f $T/other
ssh-keygen -q -t ed25519 -N '' -f $T/ca
self=$(jq -r .peer $T/first/main/network.json)
target=$(jq -r .peer $T/second/main/network.json)
# What warrend asks for, with the token of a login of our own (control/PROTOCOL.md section 4).
web() { ip netns exec first curl -sk "$@"; }
web -d client_id=warren -d 'scope=openid email profile groups' $CONTROL_URL/oidc/device_authorization >$T/device
signin_url "$(jq -r .verification_uri_complete $T/device)" || fail "signing in"
web -d client_id=warren -d grant_type=urn:ietf:params:oauth:grant-type:device_code \
	-d "device_code=$(jq -r .device_code $T/device)" $CONTROL_URL/oidc/token >$T/tokens || fail "token request"
certificate() { # PEER CALLER'S-ID TARGET FILE: what control gives that peer
	jq -c --arg target "$3" --arg key "$(cut -d' ' -f1,2 $T/id.pub)" \
		'{target: $target, login: "deploy", public_key: $key, id_token: .id_token}' $T/tokens >$T/body
	"$peer_request" sign $T/$1 198.51.100.2:8443 POST /v1/ssh/cert "$2" $T/body >$T/headers
	ip netns exec $1 curl -sk -H @$T/headers -H 'Content-Type: application/json' --data-binary @$T/body \
		$CONTROL_URL/v1/ssh/cert | jq -r .certificate >$4
	grep -q cert-v01 $4 || fail "no certificate: $(cat $4)"
}
certificate first "$self" "$target" $T/good-cert.pub
offer() { # STATUS KEY [CERTIFICATE]
	local certificate=${3:+-o CertificateFile=$3}
	# shellcheck disable=SC2086
	expect $1 on first ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
		-o IdentitiesOnly=yes -o PreferredAuthentications=publickey -i $2 $certificate \
		deploy@"$(overlay second)" id -un
}
copy_of_good() { # FILE VALIDITY: all that the good one says, signed by another CA
	cp $T/id.pub $1.pub
	ssh-keygen -q -s $T/ca -I "$(ssh-keygen -L -f $T/good-cert.pub | sed -n 's/.*Key ID: "\(.*\)"/\1/p')" -n deploy \
		-V "$2" -z 1 -O source-address="$(overlay first)/32" $1.pub
}

note "the good one logs in"
offer 0 $T/id $T/good-cert.pub
says '^deploy'

note "another CA, valid and expired; somebody else's certificate; no certificate"
copy_of_good $T/forged -1m:+5m
offer 255 $T/id $T/forged-cert.pub
says 'Permission denied|another machine.s CA'
within 60 grep -q "another machine's CA" $T/log/second
copy_of_good $T/old -10m:-5m
offer 255 $T/id $T/old-cert.pub
offer 255 $T/other $T/good-cert.pub
offer 255 $T/other

note "one that control made for this caller and another machine"
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
within 60 on second warren openssh detect first.warren.internal 22
certificate second "$target" "$self" $T/elsewhere-cert.pub
: >$T/log/second
offer 255 $T/id $T/elsewhere-cert.pub
within 60 grep -q "another machine's CA" $T/log/second
offer 0 $T/id $T/good-cert.pub
echo "all good"
