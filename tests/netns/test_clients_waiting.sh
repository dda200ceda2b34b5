#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Logins that wait side by side: each client gets the login of who signed in on its own page, and nobody else's; who may
# not log in is told so; a page is good for one login; control's page says who asks for what from where.
. "$WARREN_SRC/tests/netns/lib.sh"
prepare
add_account web 61812 /bin/bash '*'
mesh
second=$(overlay second)
BOB=bob@example.com
head -c 18 /dev/urandom | base64 | tr '+/' '-_' >$T/password-bob
ctl user add $BOB --password-file $T/password-bob
policy <<EOP
{
  "rules": [ { "from": ["peer:first"], "to": ["peer:second"], "proto": "tcp", "ports": "22" } ],
  "ssh": [ { "from": ["$USER_MAIL", "$BOB"], "to": ["peer:second"], "logins": ["deploy"] },
           { "from": ["$USER_MAIL"], "to": ["peer:second"], "logins": ["web"] } ]
}
EOP
within 60 arrived second
keyline=$(on first warren openssh hostkey second.warren.internal | cut -d' ' -f2,3)
echo "$second $keyline" >$T/known
options="-F none -o UserKnownHostsFile=$T/known -o StrictHostKeyChecking=yes"

waits() { # NAME LOGIN COMMAND: a client on a terminal, until it shows its page
	rm -f $T/status.$1
	: >$T/screen.$1
	(
		got=0
		on first timeout 500 script -qefc "ssh $options $2@$second '$3'" $T/screen.$1 </dev/null >/dev/null 2>&1 || got=$?
		echo $got >$T/status.$1
	) &
	within 60 page $1
}
page() { urls $T/screen.$1 | head -n 1 | grep .; }
signs_in() { # WHO NAME
	local password=$T/password
	[ $1 = $USER_MAIL ] || password=$T/password-bob
	ip netns exec first env WARREN_SIGNIN_USER=$1 WARREN_SIGNIN_PASSWORD_FILE=$password WARREN_SIGNIN_CURL_OPTS=-k \
		bash "$WARREN_SRC/tests/support/signin.sh" "$(page $2)" >$T/signed.$2 2>&1
}
over() { # NAME
	local limit=$((SECONDS + 60))
	until [ -s $T/status.$1 ]; do
		[ $SECONDS -lt $limit ] || return 1
		sleep 0.1
	done
}
status_is() { # NAME STATUS
	over $1 || fail "$1 goes on: $(cat $T/screen.$1)"
	[ "$(cat $T/status.$1)" = $2 ] || fail "$1: status $(cat $T/status.$1) instead of $2: $(cat $T/screen.$1)"
}

note "two that wait for the same account have different pages; the second to come is the first to be let in"
waits one deploy 'echo session-one'
waits two deploy 'echo session-two'
[ "$(page one)" != "$(page two)" ] || fail "one page for two logins"
signs_in $BOB two
status_is two 0
grep -aq session-two $T/screen.two || fail "two: $(cat $T/screen.two)"
sleep 1
[ ! -s $T/status.one ] || fail "the other was let in, too: $(cat $T/screen.one)"
signs_in $USER_MAIL one
status_is one 0
grep -aq session-one $T/screen.one || fail "one: $(cat $T/screen.one)"
within 60 grep -q "ssh login .*identity=$BOB" $T/log/second
within 60 grep -q "ssh login .*identity=$USER_MAIL" $T/log/second

note "a page is good once"
signs_in $USER_MAIL two && fail "the page of a login that is over did again"

note "the wrong person on the page: not let in, and told why; the account's own person then is"
waits web web 'id -un'
url=$(page web)
ip netns exec first curl -sk "$url" >$T/page
for fact in '>web<' '>second<' ">first ($(overlay first))<" 'Asked from'; do
	grep -qF "$fact" $T/page || fail "the page does not say $fact: $(cat $T/page)"
done
if [ -n "${KEEP_SHOTS:-}" ]; then
	ip netns exec first chromium --headless --no-sandbox --disable-gpu --ignore-certificate-errors --user-data-dir=$T/chromium \
		--window-size=800,700 --screenshot="$KEEP_SHOTS/login.png" "$url" >/dev/null 2>&1 || true
	ip netns exec first chromium --headless --no-sandbox --disable-gpu --ignore-certificate-errors --user-data-dir=$T/chromium \
		--window-size=390,700 --screenshot="$KEEP_SHOTS/login-phone.png" "$url" >/dev/null 2>&1 || true
fi
signs_in $BOB web || true
told() { grep -aq "policy lets $BOB log in on second, but not as web" $T/screen.web; }
within 60 told
# A page is for one login: the client, which may ask again, gets another one, for somebody else.
another() { [ "$(urls $T/screen.web | sort -u | grep -c .)" = 2 ]; }
within 60 another
[ ! -s $T/status.web ] || fail "it is over: $(cat $T/screen.web)"
page() { urls $T/screen.$1 | tail -n 1 | grep .; }
signs_in $USER_MAIL web
status_is web 0
grep -aq '^web' $T/screen.web || fail "$(cat $T/screen.web)"

note "ten that wait, each with its own command, signed in from the last to the first"
for i in $(seq 10); do waits w$i deploy "echo w$i-; exit $i"; done
for i in $(seq 10 -1 1); do signs_in $USER_MAIL w$i; done
for i in $(seq 10); do
	status_is w$i $i
	grep -aq "w$i-" $T/screen.w$i || fail "w$i: $(cat $T/screen.w$i)"
done
echo "all good"
