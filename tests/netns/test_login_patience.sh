#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A person may take ten minutes to log in, whichever client waits: the clocks of all of Warren's programs, and of
# ssh, are moved by 520 s while each kind of client waits; then everybody signs in and is let in. Clients that wait
# on are told, soon after the tenth minute, that it was too long.
. "$WARREN_SRC/tests/netns/lib.sh"
command -v python3 >/dev/null || skip "no python3"
command -v gcc >/dev/null || skip "no gcc"
prepare
add_account robot 61811 /bin/bash '*'
add_account ben 61822 /bin/bash '*'
# An /etc of the box's own: what is preloaded there is preloaded nowhere else, and also where a program makes the
# environment of what it starts.
mkdir $T/all-etc
cp -a /etc/. $T/all-etc/ 2>/dev/null || true
mount --bind $T/all-etc /etc
for f in passwd group shadow; do mount --bind $T/etc/$f /etc/$f; done
gcc -shared -fPIC -O1 -D_GNU_SOURCE -DCLOCK_JUMP_FILE="\"$T/clock\"" -o $T/clock_jump.so "$WARREN_SRC"/tests/support/clock_{jump,wall}.c -ldl
chmod 755 $T/clock_jump.so
head -c 8 /dev/zero >$T/clock
chmod 644 $T/clock
echo $T/clock_jump.so >/etc/ld.so.preload
later() { # SECONDS
	python3 -c 'import struct, sys
with open(sys.argv[1], "r+b", 0) as f:
    now = struct.unpack("q", f.read(8))[0]
    f.seek(0)
    f.write(struct.pack("q", now + int(sys.argv[2])))' $T/clock $1
}
mesh
host=second.warren.internal
second=$(overlay second)
policy <<EOP
{
  "rules": [ { "from": ["peer:first"], "to": ["peer:second"], "proto": "tcp", "ports": "22" } ],
  "ssh": [ { "from": ["$USER_MAIL"], "to": ["peer:second"], "logins": ["robot"], "auth": "banner" },
           { "from": ["$USER_MAIL"], "to": ["peer:second"], "logins": ["deploy"] } ]
}
EOP
on first warren openssh install
keyline=$(on first warren openssh hostkey $host | cut -d' ' -f2,3)
echo "$second $keyline" >$T/known
plain="-F none -o UserKnownHostsFile=$T/known -o StrictHostKeyChecking=yes -o ConnectTimeout=10"

waits() { # NAME COMMAND: on a terminal, until it shows its page; its status goes to $T/status.NAME
	rm -f $T/status.$1
	: >$T/screen.$1
	(
		got=0
		on first script -qefc "$2" $T/screen.$1 </dev/null >/dev/null 2>&1 || got=$?
		echo $got >$T/status.$1
	) &
	within 60 shown $T/screen.$1
}
url() { urls $T/screen.$1 | sed -n 1p; }
shown() { [ -n "$(urls $1)" ]; }
over() { # NAME STATUS
	within 60 test -s $T/status.$1
	[ "$(cat $T/status.$1)" = $2 ] || fail "$1: status $(cat $T/status.$1): $(cat $T/screen.$1)"
}
as_ben="setpriv --reuid 61822 --regid 61822 --clear-groups"
own="exec 3<>/dev/tcp/$second/22 && exec warren-ssh --connection=3 --name=$host --host-keys=$T/known"
printf '#!/bin/bash\n%s deploy@%s echo in-own-interactive\n' "$own" $host >$T/bin/own-interactive
chmod 755 $T/bin/own-interactive
names="drop-in own warren-login interactive own-interactive banner"
all_wait() {
	waits drop-in "ssh -o ConnectTimeout=10 deploy@$host echo in-drop-in"
	waits own "warren ssh --client=own -o ConnectTimeout=10 deploy@$host echo in-own"
	waits warren-login "$as_ben warren login --force"
	waits interactive "ssh $plain deploy@$second echo in-interactive"
	waits own-interactive own-interactive
	waits banner "ssh $plain -o BatchMode=yes robot@$second echo in-banner"
}

note "six clients wait for a person"
all_wait
note "nearly nine minutes go by"
for step in 260 260; do # the rest of the ten is for a slow machine
	later $step
	within 60 direct first
	sleep 3
	for n in $names; do
		[ ! -e $T/status.$n ] || fail "$n gave up: $(cat $T/status.$n $T/screen.$n)"
	done
done
note "everybody signs in, and is in"
for n in own warren-login interactive own-interactive banner; do
	signin_url "$(url $n)" || fail "$n: nobody can sign in: $(tail -n 3 $T/log/signin)"
done
for n in $names; do
	over $n 0
	[ $n = warren-login ] || grep -aq "in-$n" $T/screen.$n || fail "$n: $(cat $T/screen.$n)"
done

note "after ten minutes it is over, with a sentence"
on first warren logout
all_wait
for step in 290 290 25; do
	later $step
	sleep 2
done
for n in $names; do
	within 60 test -s $T/status.$n
	[ "$(cat $T/status.$n)" != 0 ] || fail "$n ends with 0: $(cat $T/screen.$n)"
	grep -aqiE 'warren: .*(expired|ended|in time)|nobody logged in for ten minutes' $T/screen.$n || fail "$n says nothing: $(cat $T/screen.$n)"
done
echo "all good"
