#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A certificate of an offline CA that root pinned: with the control server and its provider gone, also after
# the daemon was started anew. Everything about it is checked, everybody is told, and root takes it back.
. "$WARREN_SRC/tests/netns/lib.sh"
offer=$WARREN_BIN/../tests/offer_certificate
[ -x "$offer" ] || skip "offer_certificate is not built"
prepare
mesh
second=$(overlay second)
first=$(overlay first)
ssh-keygen -q -t ed25519 -N '' -f $T/ca
ssh-keygen -q -t ed25519 -N '' -f $T/other-ca
ssh-keygen -q -t ecdsa -N '' -f $T/ecdsa-ca
ssh-keygen -q -t ed25519 -N '' -f $T/id
ssh-keygen -q -t ed25519 -N '' -f $T/other
sign() { # NAME ARGUMENTS of ssh-keygen -s: $T/NAME-cert.pub for $T/id
	local name=$1 ca=${CA:-$T/ca}
	shift
	cp $T/id.pub $T/$name.pub
	ssh-keygen -q -s $ca -I "night-shift 7" "$@" $T/$name.pub 2>/dev/null
}
enter() { # STATUS NAME [KEY]: with that certificate
	expect $1 on first timeout 120 ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
		-o IdentitiesOnly=yes -o PreferredAuthentications=publickey -i ${3:-$T/id} -o CertificateFile=$T/$2-cert.pub \
		deploy@$second 'id -un; echo "${SSH_ORIGINAL_COMMAND:-}"'
}
refused() { # REASON NAME [KEY]: the audit says why
	: >$T/log/second
	enter 255 "${@:2}"
	within 60 grep -qE "ssh login refused.*reason=.*$1" $T/log/second
}
sign good -n deploy -V +1h -z 1

note "nothing is pinned: the CA is nobody's"
on second warren break-glass show >$T/out
says 'No break-glass CA'
refused "another machine's CA" good

note "only root pins, and only an Ed25519 CA's public key"
on second setpriv --reuid=61810 --regid=61810 --clear-groups warren break-glass pin $T/ca.pub >$T/out 2>&1 && fail "a user pinned a CA"
expect 1 on second warren break-glass pin $T/ca
says 'private key|more than one'
expect 1 on second warren break-glass pin $T/ecdsa-ca.pub
says 'Ed25519'
expect 1 on second warren break-glass pin $T/nothing.pub
expect 0 on second warren break-glass pin $T/ca.pub
print=$(ssh-keygen -lf $T/ca.pub | cut -d' ' -f2)
pattern=${print//+/\\+}
says "$pattern"
on second warren status >$T/out
says "break-glass CA is pinned here: certificates of $pattern"

note "the control server and its provider are gone, and the target's daemon is started anew"
stop control
stop second
peer_start second
within 60 direct first
within 60 served second
enter 0 good
says '^deploy$'
says 'You came in by a break-glass certificate'
within 60 grep -q 'BREAK-GLASS login.*identity=break-glass:night-shift_7' $T/log/second
records="$T/second/root/audit.jsonl"
audited() { # JQ CONDITION: a record of this machine's audit log, whose chain is whole
	warren audit verify --dir $T/second/root >/dev/null && jq -es "any(.[]; $1)" $records >/dev/null
}
within 60 audited '.event == "ssh.login" and .login == "deploy" and .method == "break-glass" and .identity == "break-glass:night-shift_7" and (.client | startswith("'$first':"))'
within 60 audited '.event == "ssh.session" and .identity == "break-glass:night-shift_7" and (.command | startswith("id -un"))'
within 60 audited '.event == "machine.break_glass" and [.break_glass.keys[].fingerprint] == ["'$print'"]'

note "a session by it is in status until it ends"
on first ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o IdentitiesOnly=yes \
	-i $T/id -o CertificateFile=$T/good-cert.pub deploy@$second 'echo on; sleep 600' >$T/running 2>&1 &
running=$!
within 60 grep -q '^on' $T/running
open() { [[ $(on second warren status) == *'a break-glass session is open: break-glass:night-shift_7 as deploy'* ]]; }
within 60 open

note "each wrong certificate, with its reason"
CA=$T/other-ca sign foreign -n deploy -V +1h
refused "another machine's CA" foreign
sign expired -n deploy -V -2h:-1h
refused expired expired
sign early -n deploy -V +1h:+2h
refused 'not valid yet' early
sign host -h -n deploy -V +1h
# OpenSSH's client does not show a host's certificate; another may.
: >$T/log/second
expect 1 on first timeout 120 "$offer" $second deploy $T/id $T/host-cert.pub
within 60 grep -qE "ssh login refused.*reason=.*not for users|ssh login refused.*reason=.*host" $T/log/second
sign root -n root -V +1h
refused 'deploy' root
sign nobody -V +1h
refused 'deploy' nobody
sign elsewhere -n deploy -V +1h -O source-address=192.0.2.99/32
refused 'address' elsewhere
sign critical -n deploy -V +1h -O critical:frob@example.com=1
refused 'frob@example.com' critical
sign long -n deploy -V +8d
refused 'a day at most' long
enter 255 good $T/other
: >$T/log/second
expect 1 on first timeout 120 "$offer" $second deploy $T/other $T/good-cert.pub # signs with the wrong key
within 60 grep -q 'ssh login refused.*reason=.*does not prove the key' $T/log/second
sign here -n deploy -V +1h -O source-address=$first/32 -O force-command='echo forced'
enter 0 here
says '^forced'

note "revoked, unpinned: also what is open ends"
sign second-one -n deploy -V +1h -z 8
expect 0 on second warren break-glass revoke 1
says 'serial 1'
within 60 audited '.event == "machine.break_glass" and .break_glass.revoked == ["1"]'
got=0
wait $running || got=$?
[ $got != 0 ] || fail "a session goes on after its certificate was revoked"
refused 'revoked' good
enter 0 second-one
expect 1 on second warren break-glass unpin SHA256:nothing
expect 0 on second warren break-glass unpin "$print"
within 60 audited '.event == "machine.break_glass" and .break_glass.keys == []'
refused "another machine's CA" second-one
echo "all good"
