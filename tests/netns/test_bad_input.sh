#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Bad input: each case gets one sentence that says what to do, the documented exit code, and nothing is
# lost. Bad tokens, certificates and grants are judged in unit tests of identity/ and ssh/.
. "$WARREN_SRC/tests/netns/lib.sh"
prepare
network
control_start
user
peer_start first
up() { expect "$1" on first warren up --control "${3:-$CONTROL_URL}" --setup-key-file "$2" --hostname first; }

note "setup keys: malformed, unknown, expired, used up, revoked"
echo "wsk_nonsense" >$T/key
up 1 $T/key
one_sentence
says 'setup key'
good=$(ctl setup-key create --name once --uses 1)
head=${good:0:20}
tail=${good:21}
other=A
[ "${good:20:1}" = A ] && other=B
echo "$head$other$tail" >$T/key
up 1 $T/key
one_sentence
ctl setup-key create --name short --expires 1s >$T/key
sleep 2
up 1 $T/key
says 'expired'
ctl setup-key create --name gone >$T/key
ctl setup-key revoke gone
up 1 $T/key
says 'revoked'

note "a control URL that does not answer, and one that shows another signing key"
echo "$good" >$T/key
up 1 $T/key https://198.51.100.2:9
says '198.51.100.2:9'
spawn control2 control warren-control serve --demo --state-dir $T/control2 --listen 0.0.0.0:8444 \
	--public-url https://198.51.100.2:8444 --stun "" --socket $T/control2.sock
within 60 ip netns exec control warren-control --socket $T/control2.sock peer list
up 1 $T/key https://198.51.100.2:8444
says 'signing key'
up 0 $T/key
says '^Connected'
note "used up"
peer_start second
expect 1 on second warren up --control $CONTROL_URL --setup-key-file $T/key --hostname second
says 'used'

note "a second daemon on the same socket; no root; usage; no daemon"
expect 1 ip netns exec first warrend --state-dir $T/other --socket $T/first.sock
says 'already'
expect 2 on first warren frobnicate
expect 2 on first warren up --no-such-flag
expect 3 env WARREN_SOCKET=$T/nobody.sock warren status
one_sentence
expect 1 setpriv --reuid=61810 --regid=61810 --clear-groups env WARREN_SOCKET=$T/first.sock warren up --allow-server-ssh
says 'root'
expect 1 setpriv --reuid=61810 --regid=61810 --clear-groups env WARREN_SOCKET=$T/first.sock warren down
says 'root|group'
expect 0 setpriv --reuid=61810 --regid=61810 --clear-groups env WARREN_SOCKET=$T/first.sock warren status

note "login needed: the exit code says so"
expect 255 on first warren ssh -o BatchMode=yes deploy@second true

note "a truncated and a foreign state file: named, kept, not overwritten"
stop first
for f in $T/first/main/keys.json $T/first/root/switches.json; do
	[ -f $f ] || fail "expected state in $f: $(ls $T/first/*)"
	cp -p $f $T/saved
	head -c 20 $T/saved >$f
	cp -p $f $T/broken
	spawn first first warrend --state-dir $T/first --socket $T/first.sock
	named() {
		on first warren status >$T/out 2>&1 || true
		grep -q "$(basename $f)" $T/out $T/log/first
	}
	within 60 named
	cat $T/log/first >>$T/out
	says "$(basename $f)"
	kill "$(cat $T/pids/first)" 2>/dev/null || true
	wait "$(cat $T/pids/first)" 2>/dev/null || true
	cmp -s $f $T/broken || fail "$f was overwritten"
	cp -p $T/saved $f
	rm -f $T/first.sock $T/first.sock.root
done
peer_start first
within 60 on first warren status --check ready

note "garbage on the daemon's sockets and ports"
head -c 3000 /dev/urandom | ip netns exec first socat -t 1 - UNIX-CONNECT:$T/first.sock >/dev/null 2>&1 || true
printf '{"id":1,"cmd":"status"' | ip netns exec first socat -t 1 - UNIX-CONNECT:$T/first.sock >/dev/null 2>&1 || true
for _ in $(seq 20); do
	head -c 200 /dev/urandom | ip netns exec control socat - UDP:192.0.2.2:51820
	head -c 300 /dev/urandom | ip netns exec first socat -t 1 - TCP:198.51.100.2:8443 >/dev/null 2>&1 || true
done
expect 0 on first warren status --check ready
expect 0 ctl peer list

note "a clock that is off by an hour"
stop second
rm -rf $T/second
gcc -shared -fPIC -D_GNU_SOURCE -o $T/clock_shim.so "$WARREN_SRC"/tests/support/clock_{shim,wall}.c -ldl
spawn second second env LD_PRELOAD=$T/clock_shim.so CLOCK_SHIM_OFFSET=-3600 warrend --state-dir $T/second \
	--socket $T/second.sock
within 60 on second warren status --check live
ctl setup-key create --name clock --reusable >$T/key
expect 1 on second warren up --control $CONTROL_URL --setup-key-file $T/key --hostname second
one_sentence
says 'clock'
stop second

note "no TUN device: the daemon runs, up says what is missing"
rm -rf $T/second
spawn second second unshare --mount bash -c "mount -t tmpfs t /dev/net && exec warrend --state-dir $T/second --socket $T/second.sock"
within 60 on second warren status --check live
expect 1 on second warren up --control $CONTROL_URL --setup-key-file $T/key --hostname second
one_sentence
says '/dev/net/tun'
echo "all good"
