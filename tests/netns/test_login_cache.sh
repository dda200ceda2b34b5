#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The daemon's cache of logins: connections of one person at once share one pending login; what is cached
# is gone after `warren down` and with the daemon; with a ttl of 0 each connection asks; and a certificate
# with a longer cert_ttl lets work go on while the control server is down. The token is in locked memory and
# nowhere else, other accounts do not get it, and two people who log in at once get each their own.
. "$WARREN_SRC/tests/netns/lib.sh"
prepare
mesh
on first warren openssh install
host=deploy@second.warren.internal
signed_in() { grep -c 'login accepted' $T/log/control || true; }
cached() { expect 0 on first warren ssh-cert --batch --out $T/cached $host; }
not_cached() { # and BatchMode is refused without a word to anybody
	expect 4 on first warren ssh-cert --batch --out $T/none $host
	expect 255 on first timeout 120 ssh -o BatchMode=yes $host true
}
on_terminal() { # NAME FILE
	on first timeout 300 script -qefc "ssh $host 'echo is-$1'" $2 </dev/null >/dev/null
}
asks() { # NAME: one connection, one person who signs in for it
	: >$T/asks.$1
	signin_from $T/asks.$1 &
	signer=$!
	on_terminal $1 $T/asks.$1 || fail "$1: $(cat $T/asks.$1)"
	wait $signer || fail "$1: nobody could sign in: $(cat $T/asks.$1)"
	grep -aq "is-$1" $T/asks.$1 || fail "$1: $(cat $T/asks.$1)"
}

note "ten connections at once share one pending login: one URL, one person, once"
not_cached
before=$(signed_in)
pids=
for i in $(seq 10); do
	: >$T/prompt.$i
	on_terminal $i $T/prompt.$i &
	pids="$pids $!"
done
for i in $(seq 10); do within 60 grep -aqE "user_code=[A-Z0-9-]{9}" $T/prompt.$i; done
cat $T/prompt.* | grep -aoE "https://[^[:space:]]+user_code=[A-Z0-9-]+" | sort -u >$T/urls
[ "$(wc -l <$T/urls)" = 1 ] || fail "not one login: $(cat $T/urls)"
signin_url "$(cat $T/urls)" || fail "signing in"
for p in $pids; do wait $p || fail "a connection: $(cat $T/prompt.*)"; done
for i in $(seq 10); do grep -aq is-$i $T/prompt.$i || fail "connection $i: $(cat $T/prompt.$i)"; done
[ "$(signed_in)" = $((before + 1)) ] || fail "signed in $(signed_in) times, before $before"
cached

note "in locked memory and nowhere else, in no core dump, not for a debugger"
main=$(pgrep -P "$(cat $T/pids/first)" -f 'role main')
python3 "$WARREN_SRC/tests/support/find_tokens.py" $main verbose >$T/tokens 2>$T/where
jq -e '.locked > 0 and .loose == 0' $T/tokens >/dev/null || fail "tokens: $(cat $T/tokens $T/where)"
[ "$(awk '/^VmLck/ { print $2 }' /proc/$main/status)" -gt 0 ] || fail "no memory is locked"
grep -qE '^Max core file size +0 ' /proc/$main/limits || fail "core dumps: $(cat /proc/$main/limits)"
# The files of a process that may not be dumped are root's, whoever it runs as.
[ "$(stat -c %u /proc/$main/mem) $(awk '/^Uid/ { print $2 }' /proc/$main/status)" = "0 61800" ] || fail "it may be dumped"

note "not another account's: neither login nor certificates"
add_account carol 61811 /bin/bash '*'
as_carol() { on first setpriv --reuid 61811 --regid 61811 --clear-groups env HOME=$T/home/carol "$@"; }
expect 4 as_carol warren ssh-cert --batch --out $T/home/carol/none $host
says 'not logged in'
expect 2 as_carol ls /run/warren/u/0
expect 1 as_carol cat "$(ls /run/warren/u/0/*-cert.pub | head -n 1)"
expect 0 as_carol warren --json status
! grep -q "eyJ" $T/out || fail "status shows a token"
cached

note "two people log in at once, each gets their own; who gives up leaves the others alone"
head -c 18 /dev/urandom | base64 | tr '+/' '-_' >$T/password.bob
ctl user add bob@example.com --password-file $T/password.bob
sign_in() { # E-MAIL PASSWORD-FILE PROMPT
	ip netns exec first env WARREN_SIGNIN_USER=$1 WARREN_SIGNIN_PASSWORD_FILE=$2 WARREN_SIGNIN_CURL_OPTS=-k \
		bash "$WARREN_SRC/tests/support/signin.sh" "$(grep -oE 'https://[^[:space:]]+user_code=[A-Z0-9-]+' $3 | head -n 1)" >>$T/log/signin 2>&1
}
shown() { grep -qE "user_code=[A-Z0-9-]{9}" "$1"; }
WARREN_SOCKET=$T/first.sock ip netns exec first warren login --force >$T/login.alice 2>&1 &
alice=$!
as_carol warren login >$T/login.bob 2>&1 &
bob=$!
# A third one, whose Ctrl-C arrives while the other two are at the provider.
WARREN_SOCKET=$T/first.sock ip netns exec first setpriv --reuid 61812 --regid 61812 --clear-groups \
	env --default-signal=INT warren login >$T/login.third 2>&1 &
third=$!
for f in alice bob third; do within 60 shown $T/login.$f; done
[ "$(grep -hoE 'user_code=[A-Z0-9-]+' $T/login.alice $T/login.bob $T/login.third | sort -u | wc -l)" = 3 ] || fail "they share a code"
kill -INT $third
got=0
wait $third || got=$?
[ $got != 0 ] || fail "Ctrl-C ends with 0: $(cat $T/login.third)"
sign_in bob@example.com $T/password.bob $T/login.bob || fail "bob cannot sign in"
sign_in $USER_MAIL $T/password $T/login.alice || fail "alice cannot sign in"
wait $alice || fail "alice: $(cat $T/login.alice)"
wait $bob || fail "bob: $(cat $T/login.bob)"
grep -q "Logged in as $USER_MAIL" $T/login.alice || fail "alice: $(cat $T/login.alice)"
grep -q 'Logged in as bob@example.com' $T/login.bob || fail "bob: $(cat $T/login.bob)"
expect 4 on first setpriv --reuid 61812 --regid 61812 --clear-groups warren ssh-cert --batch --out $T/home/carol/none $host
# What was given up is over: the page's answer logs nobody in, and the next login has a code of its own.
sign_in bob@example.com $T/password.bob $T/login.third || true
expect 4 on first setpriv --reuid 61812 --regid 61812 --clear-groups warren ssh-cert --batch --out $T/home/carol/none $host
cached
[[ $(ssh-keygen -Lf $T/cached-cert.pub) == *"Key ID: \"$USER_MAIL "* ]] || fail "root got: $(ssh-keygen -Lf $T/cached-cert.pub)"
expect 5 as_carol warren ssh-cert --batch --out $T/home/carol/cert $host # bob may not, and is told so as bob
says 'bob@example.com'
expect 0 as_carol warren logout
cached # one's logout is not the other's

note "gone after a logout, also at the embedded provider"
families() { # of refresh tokens that the provider knows
	python3 -c 'import sqlite3, sys; print(sqlite3.connect("file:" + sys.argv[1] + "?mode=ro", uri=True).execute(
	"SELECT count(*) FROM issuer_refresh WHERE revoked = 0").fetchone()[0])' $T/control/db/control.sqlite
}
[ "$(families)" -gt 0 ] || fail "no refresh token was made"
before=$(families)
expect 0 on first warren --json logout
jq -e '.told and .revocation == "done"' $T/out >/dev/null || fail "logout: $(cat $T/out)"
python3 "$WARREN_SRC/tests/support/find_tokens.py" $main verbose >$T/tokens 2>$T/where
jq -e '.locked + .loose == 0' $T/tokens >/dev/null || fail "tokens after the logout: $(cat $T/tokens $T/where)"
[ "$(families)" -lt "$before" ] || fail "$(families) refresh tokens are left of $before"
[ -z "$(ls /run/warren/u/0)" ] || fail "certificates are left: $(ls /run/warren/u/0)"
not_cached
login
cached

note "gone after warren down"
on first warren down
on first warren up
within 60 direct first
not_cached
asks down
cached

note "gone with the daemon"
stop first
peer_start first
within 60 direct first
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
within 60 hours
stop control
expect 0 on first ssh -o BatchMode=yes $host echo without-control
says without-control
expect 0 on first scp -o BatchMode=yes /etc/hostname $host:copied
expect 255 on first timeout 120 ssh -o BatchMode=yes root@second.warren.internal true
control_start
within 60 sh -c "WARREN_SOCKET=$T/first.sock ip netns exec first warren --json status | jq -e .management.connected"

note "ttl 0: one login, one connection"
on first warren up --ssh-jwt-cache-ttl 0 >$T/out 2>&1 || fail "ttl 0: $(cat $T/out)"
within 60 direct first
not_cached # also what was there before
before=$(signed_in)
asks one
not_cached
asks two
[ "$(signed_in)" = $((before + 2)) ] || fail "signed in $(signed_in) times, before $before"

note "ttl 0: who waits at the same time shares that login, and nothing is left of it"
pids=
for i in $(seq 3); do
	: >$T/prompt.$i
	on_terminal $i $T/prompt.$i &
	pids="$pids $!"
done
for i in $(seq 3); do within 60 grep -aqE "user_code=[A-Z0-9-]{9}" $T/prompt.$i; done
cat $T/prompt.[123] | grep -aoE "https://[^[:space:]]+user_code=[A-Z0-9-]+" | sort -u >$T/urls
[ "$(wc -l <$T/urls)" = 1 ] || fail "not one login: $(cat $T/urls)"
signin_url "$(cat $T/urls)" || fail "signing in"
for p in $pids; do wait $p || fail "a connection: $(cat $T/prompt.[123])"; done
[ "$(signed_in)" = $((before + 3)) ] || fail "signed in $(signed_in) times, before $before"
not_cached
echo "all good"
