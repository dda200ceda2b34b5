#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The daemon's cache of logins: connections of one person at once share one pending login; what is cached
# is gone after `warren down` and with the daemon; with a ttl of 0 each connection asks; and a certificate
# with a longer cert_ttl lets work go on while the control server is down.
. "$WARREN_SRC/tests/netns/lib.sh"
prepare
mesh
on first warren openssh install
host=deploy@second.warren.internal
signed_in() { grep -c 'login accepted' $T/log/control || true; }
cached() { expect 0 on first warren ssh-cert --batch --out $T/cached $host; }
not_cached() { # and BatchMode is refused without a word to anybody
	expect 4 on first warren ssh-cert --batch --out $T/none $host
	expect 255 on first timeout 20 ssh -o BatchMode=yes $host true
}
on_terminal() { # NAME FILE
	on first timeout 60 script -qefc "ssh $host 'echo is-$1'" $2 </dev/null >/dev/null
}
asks() { # NAME: one connection, one person who signs in for it
	: >$T/asks.$1
	signin_from $T/asks.$1 &
	signer=$!
	on_terminal $1 $T/asks.$1 || fail "$1: $(cat $T/asks.$1)"
	wait $signer || fail "$1: nobody could sign in: $(cat $T/asks.$1)"
	grep -aq "is-$1" $T/asks.$1 || fail "$1: $(cat $T/asks.$1)"
}

note "four connections at once share one pending login: one URL, one person, once"
not_cached
before=$(signed_in)
pids=
for i in 1 2 3 4; do
	: >$T/prompt.$i
	on_terminal $i $T/prompt.$i &
	pids="$pids $!"
done
for i in 1 2 3 4; do within 20 grep -aqE "user_code=[A-Z0-9-]{9}" $T/prompt.$i; done
cat $T/prompt.[1-4] | grep -aoE "https://[^[:space:]]+user_code=[A-Z0-9-]+" | sort -u >$T/urls
[ "$(wc -l <$T/urls)" = 1 ] || fail "not one login: $(cat $T/urls)"
signin_url "$(cat $T/urls)" || fail "signing in"
for p in $pids; do wait $p || fail "a connection: $(cat $T/prompt.[1-4])"; done
for i in 1 2 3 4; do grep -aq is-$i $T/prompt.$i || fail "connection $i: $(cat $T/prompt.$i)"; done
[ "$(signed_in)" = $((before + 1)) ] || fail "signed in $(signed_in) times, before $before"
cached

note "gone after a logout, also at the embedded provider"
families() { # of refresh tokens that the provider knows
	python3 -c 'import sqlite3, sys; print(sqlite3.connect("file:" + sys.argv[1] + "?mode=ro", uri=True).execute(
	"SELECT count(*) FROM issuer_refresh WHERE revoked = 0").fetchone()[0])' $T/control/db/control.sqlite
}
[ "$(families)" -gt 0 ] || fail "no refresh token was made"
before=$(families)
expect 0 on first warren --json logout
jq -e '.told and .revocation == "done"' $T/out >/dev/null || fail "logout: $(cat $T/out)"
[ "$(families)" -lt "$before" ] || fail "$(families) refresh tokens are left of $before"
[ -z "$(ls /run/warren/u/0)" ] || fail "certificates are left: $(ls /run/warren/u/0)"
not_cached
login
cached

note "gone after warren down"
on first warren down
on first warren up
within 30 direct first
not_cached
asks down
cached

note "gone with the daemon"
stop first
peer_start first
within 30 direct first
not_cached
asks restart
cached

note "a longer cert_ttl: work goes on while the control server is down, and only where one has been"
policy <<EOP
{
  "groups": { "ops": ["$USER_MAIL"] },
  "rules": [ { "from": ["peer:first"], "to": ["peer:second"], "proto": "tcp", "ports": "22" } ],
  "ssh": [ { "from": ["ops"], "to": ["peer:second"], "logins": ["deploy"], "cert_ttl": "8h" } ]
}
EOP
hours() { # the certificate that ssh has on its disk is good for more than seven hours
	expect 0 on first ssh -o BatchMode=yes $host true
	for f in /run/warren/u/0/*-cert.pub; do
		end=$(ssh-keygen -L -f "$f" | sed -n 's/.*Valid: from .* to //p')
		[ -z "$end" ] || [ $(($(date -d "$end" +%s) - $(date +%s))) -lt 25200 ] || return 0
	done
	return 1
}
within 15 hours
stop control
expect 0 on first ssh -o BatchMode=yes $host echo without-control
says without-control
expect 0 on first scp -o BatchMode=yes /etc/hostname $host:copied
expect 255 on first timeout 20 ssh -o BatchMode=yes root@second.warren.internal true
control_start
within 40 sh -c "WARREN_SOCKET=$T/first.sock ip netns exec first warren --json status | jq -e .management.connected"

note "ttl 0: one login, one connection"
on first warren up --ssh-jwt-cache-ttl 0 >$T/out 2>&1 || fail "ttl 0: $(cat $T/out)"
within 30 direct first
not_cached # also what was there before
before=$(signed_in)
asks one
not_cached
asks two
[ "$(signed_in)" = $((before + 2)) ] || fail "signed in $(signed_in) times, before $before"
echo "all good"
