#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Several people on one machine, and the login itself: nobody uses another account's token or files; who
# waits together logs in once; Ctrl-C cancels; the QR code fits the terminal; logout forgets.
. "$WARREN_SRC/tests/netns/lib.sh"
prepare
mesh
host=second.warren.internal
add_account ann 61821 /bin/bash '*'
add_account ben 61822 /bin/bash '*'
for f in passwd group shadow; do
	umount /etc/$f
	mount --bind $T/etc/$f /etc/$f
done
on first warren openssh install
as() { # ACCOUNT COMMAND…
	local id
	id=$(id -u $1)
	shift
	ip netns exec first setpriv --reuid $id --regid $id --clear-groups --no-new-privs \
		env HOME=/mnt/warren-test/home/x WARREN_SOCKET=$T/first.sock "$@"
}

ssh-keygen -q -t ed25519 -N '' -f $T/some

note "ann logs in; ben and root are not logged in by that"
: >$T/ann-prompt
signin_from $T/ann-prompt &
as ann warren login >$T/ann-out 2>$T/ann-prompt || fail "ann: $(cat $T/ann-prompt)"
wait $!
expect 0 as ann ssh -o BatchMode=yes deploy@$host 'echo ann is in'
says 'ann is in'
for who in ben root; do
	expect 255 as $who ssh -o BatchMode=yes deploy@$host true
	says 'warren login'
	expect 4 as $who warren ssh-cert --batch --key $T/some.pub deploy@second
done
expect 255 as ben warren ssh -o BatchMode=yes deploy@second true

note "ann's files are ann's"
[ "$(stat -c '%U %a' /run/warren/u/61821)" = "ann 700" ] || fail "the folder: $(stat -c '%U %a' /run/warren/u/61821)"
[ -n "$(ls /run/warren/u/61821)" ] || fail "no key is there"
expect 2 as ben ls /run/warren/u/61821
for f in /run/warren/u/61821/*; do
	[ "$(stat -c '%U %a' $f)" = "ann 600" ] || fail "$f: $(stat -c '%U %a' $f)"
	expect 1 as ben cat $f
done
note "ben cannot name ann's key"
expect 255 as ben ssh -o BatchMode=yes -l deploy -i "$(ls /run/warren/u/61821/* | head -n 1)" $host true

note "ben and the others cannot change the machine"
expect 1 as ben warren down
expect 1 as ben warren up --allow-server-ssh=false
expect 0 as ben warren status

note "logout: ann's token and files are gone, also for a certificate that would still be good"
expect 0 as ann warren logout
[ -z "$(ls -A /run/warren/u/61821)" ] || fail "left: $(ls -A /run/warren/u/61821)"
expect 255 as ann ssh -o BatchMode=yes deploy@$host true

note "three that wait together: one URL, one login"
pids=
for i in 1 2 3; do
	: >$T/together.$i
	as ben warren ssh deploy@second "echo $i" >$T/together-out.$i 2>$T/together.$i &
	pids="$pids $!"
done
shown() { [ -n "$(urls $1)" ]; }
for i in 1 2 3; do within 60 shown $T/together.$i; done
[ "$(grep -hoE 'https://[^ ]*user_code=[^ ]*' $T/together.* | sort -u | grep -c .)" = 1 ] ||
	fail "different URLs: $(cat $T/together.*)"
signin_from $T/together.1
for p in $pids; do wait $p || fail "one of three failed: $(cat $T/together.*)"; done
for i in 1 2 3; do [ "$(cat $T/together-out.$i)" = $i ] || fail "output $i"; done
expect 0 as ben warren logout

note "Ctrl-C ends a login, and the next one is a new one"
as ben warren login >$T/c1 2>&1 &
waiting=$!
within 60 shown $T/c1
kill -INT $(pgrep -u ben -f 'warren login') || fail "nothing to interrupt"
got=0
wait $waiting || got=$?
[ $got != 0 ] || fail "a cancelled login ended with 0"
: >$T/c2
as ben warren login >$T/c2-out 2>$T/c2 &
waiting=$!
within 60 shown $T/c2
[ "$(grep -o 'user_code=.*' $T/c1 | head -n 1)" != "$(grep -o 'user_code=.*' $T/c2 | head -n 1)" ] ||
	fail "the cancelled login went on"
signin_from $T/c2
wait $waiting || fail "the second login: $(cat $T/c2)"

note "--qr: blocks on a UTF-8 terminal, ASCII elsewhere; --no-browser starts none"
expect 0 as ben warren logout
mkdir $T/fake
printf '#!/bin/sh\necho "$1" >>%s/opened\n' $T >$T/fake/xdg-open # a desktop's browser
chmod 755 $T/fake/xdg-open
: >$T/opened
chmod 666 $T/opened
for locale in C.UTF-8 C; do
	: >$T/qr.$locale
	as ben env LC_ALL=$locale DISPLAY=:9 PATH=$T/fake:$PATH warren login --qr --no-browser >/dev/null 2>$T/qr.$locale &
	waiting=$!
	within 60 grep -q Waiting $T/qr.$locale
	kill -INT $(pgrep -u ben -f 'warren login')
	wait $waiting || true
done
[ ! -s $T/opened ] || fail "a browser was started: $(cat $T/opened)"
: >$T/qr.none
as ben env DISPLAY=:9 PATH=$T/fake:$PATH warren login >/dev/null 2>$T/qr.none &
waiting=$!
within 60 grep -q https:// $T/opened # and without the flag one is
kill -INT $(pgrep -u ben -f 'warren login')
wait $waiting || true
! grep -q '█\|####' $T/qr.none || fail "a code that nobody asked for"
grep -q '█' $T/qr.C.UTF-8 || fail "no blocks: $(cat $T/qr.C.UTF-8)"
grep -q '####' $T/qr.C || fail "no ASCII code: $(cat $T/qr.C)"
! LC_ALL=C grep -q '[^ -~]' $T/qr.C || fail "bytes beyond ASCII on a C terminal"
echo "all good"
