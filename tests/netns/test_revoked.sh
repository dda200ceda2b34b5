#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# One certificate is revoked: its serial is in what the target is told, the session that it opened ends, and the
# stored file is refused with plain `ssh -i`, with the reason in the audit; another certificate of the same person
# still does. A target that was cut off from control, or down, when it happened refuses as soon as it is back.
. "$WARREN_SRC/tests/netns/lib.sh"
command -v python3 >/dev/null || skip "no python3"
prepare
mesh
login
second=$(overlay second)

cert() { # NAME: a stored certificate for an hour; its serial is in $T/NAME.serial
	on first warren ssh-cert --batch --out $T/$1 deploy@second
	ssh-keygen -Lf $T/$1-cert.pub | sed -n 's/ *Serial: //p' >$T/$1.serial
}
with() { # NAME COMMAND…
	local name=$1
	shift
	on first timeout 500 ssh -F none -i $T/$name -o CertificateFile=$T/$name-cert.pub -o IdentitiesOnly=yes -o BatchMode=yes \
		-o ConnectTimeout=30 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null deploy@$second "$@"
}
# The list that the monitor of a connection believes: in the signed object of the map.
told() { # SERIAL
	python3 - $T/second/main "$1" <<'EOY'
import base64, json, os, re, sys
for name in os.listdir(sys.argv[1]):
    text = open(os.path.join(sys.argv[1], name), errors="replace").read()
    for part in re.findall(r"wso1\.ssh\.([A-Za-z0-9_-]+)\.", text):
        if int(sys.argv[2]) in json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))["revoked"]:
            sys.exit(0)
sys.exit(1)
EOY
}
refused() { # NAME: refused, and the audit names certificate and reason
	! with $1 true >$T/out 2>&1 && grep -q 'revoked' $T/out
}
audited() { # NAME
	[[ $(warren audit show --dir $T/second/root --event ssh.login.refused) == *"certificate $(cat $T/$1.serial) has been revoked"* ]]
}
usual_hour() {
	policy <<EOP
{ "rules": [ { "from": ["peer:first"], "to": ["peer:second"], "proto": "tcp", "ports": "22" } ],
  "ssh": [ { "from": ["$USER_MAIL"], "to": ["peer:second"], "logins": ["deploy"], "cert_ttl": "1h" } ] }
EOP
}
usual_hour
within 60 on first warren ssh-cert --batch --out $T/first-one deploy@second
for name in a b c d; do cert $name; done

note "revoked: the open session ends, the file opens nothing, the other certificate does"
with a -tt 'echo up; sleep 600' </dev/null >$T/live 2>&1 &
live=$!
within 60 grep -q up $T/live
expect 0 with b true
! told "$(cat $T/a.serial)" || fail "the list has it already"
ctl cert revoke "$(cat $T/a.serial)"
got=0
wait $live || got=$?
[ $got = 255 ] || fail "the live session ended with $got: $(cat $T/live)"
grep -q 'revoked' $T/live || fail "the session does not say why: $(cat $T/live)"
within 60 told "$(cat $T/a.serial)"
refused a || fail "the revoked certificate: $(cat $T/out)"
within 60 audited a
expect 0 with b 'id -un'
says '^deploy$'

note "the target cannot hear control meanwhile: it refuses when it is back, and its session ends"
with b -tt 'echo up; sleep 600' </dev/null >$T/live 2>&1 &
live=$!
within 60 grep -q up $T/live
ip -n router rule add from 198.51.100.2 to 203.0.113.2 blackhole
ctl cert revoke "$(cat $T/b.serial)"
sleep 2
kill -0 $live || fail "it ended although nobody could say so: $(cat $T/live)"
ip -n router rule del from 198.51.100.2 to 203.0.113.2 blackhole
got=0
wait $live || got=$?
[ $got = 255 ] || fail "the live session ended with $got: $(cat $T/live)"
refused b || fail "the revoked certificate: $(cat $T/out)"
expect 0 with c true

note "the target is down meanwhile, and starts from its saved map"
stop second
ctl cert revoke "$(cat $T/c.serial)"
peer_start second
within 60 refused c
within 60 told "$(cat $T/c.serial)"
# What was revoked before is still refused, and the last one still good.
refused a || fail "forgotten: $(cat $T/out)"
refused b || fail "forgotten: $(cat $T/out)"
within 60 with d true

note "control's own restart forgets nothing"
stop control
control_start
stop second
peer_start second
within 60 with d true
refused c || fail "forgotten: $(cat $T/out)"
echo "all good"
