#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A worker that lies (tests/support/lying_worker.c) on a machine of the mesh: it asks for a session before
# authentication, for another login, for forwards that policy denies, twice what may be once. Each ends that connection,
# and only that, with a record in the chained log that names the lie and whose connection it was. A worker that runs out
# of its memory limit dies alone. (tests/interop/test_lying_worker.sh tells more lies.)
. "$WARREN_SRC/tests/netns/lib.sh"
sanitize=$(sed -n 's/^WARREN_SANITIZE:STRING=//p' "$WARREN_BIN/../CMakeCache.txt")
platform=$WARREN_BIN/../platform/libwarren_platform.a
prepare
mkdir -p $T/lies
cp $T/bin/warren-ssh-worker $T/bin/warren-ssh-worker.real
"${CC:-cc}" ${sanitize:+-fsanitize=$sanitize} -std=gnu17 -D_GNU_SOURCE -DLIES_DIR="\"$T/lies\"" -I"$WARREN_SRC" -O1 -w -o $T/bin/liar \
	"$WARREN_SRC/tests/support/lying_worker.c" "$platform" \
	-lsodium -lcrypto -ljansson || fail "lying_worker.c does not compile"
mv $T/bin/liar $T/bin/warren-ssh-worker
mesh
login
host=second.warren.internal
log=$T/second/root/audit.jsonl
on first warren openssh install
policy <<X
{ "groups": { "ops": ["$USER_MAIL"] },
  "rules": [ { "from": ["peer:first"], "to": ["peer:second"], "proto": "tcp", "ports": "22" } ],
  "ssh": [ { "from": ["ops"], "to": ["peer:second"], "logins": ["deploy"], "allow": ["shell", "exec", "sftp"] } ] }
X
s() { on first timeout 300 ssh -o BatchMode=yes deploy@$host "$@"; }
count() { jq -nR "[inputs | fromjson? | select($1)] | length" $log; } # the last line may be half there
more() { [ "$(count "$1")" -gt "$2" ]; } # than so many
within 60 s true

note "a forward that policy denies is only refused"
prohibited() { expect 255 s -W 127.0.0.1:7777 && says 'administratively prohibited'; }
within 60 prohibited
within 60 more '.event == "ssh.forward.refused" and .to == "127.0.0.1:7777" and .identity == "'$USER_MAIL'"' 0
[ "$(count '.event == "ssh.violation"')" = 0 ] || fail "an honest worker is said to lie"

mkfifo $T/line
on first timeout 550 ssh -o BatchMode=yes deploy@$host 'while read -r x; do echo "$x"; done' <$T/line >$T/echoed & other=$!
exec 7>$T/line
alive() { # the other connection, and one more
	echo "$1" >&7
	within 60 grep -q "^$1\$" $T/echoed
	[ "$(s "echo $1")" = "$1" ] || fail "no other connection after $1"
}
lie() { # NAME CODE
	local before
	before=$(count '.event == "ssh.violation" and .code == "'$2'"')
	rm -f $T/lies/*
	echo "$1" >$T/lies/LIE
	expect 255 s 'sleep 100; echo the end'
	[ -e $T/lies/told ] && [ ! -e $T/lies/ran ] || fail "$1 was not told, or something came of it"
	within 60 more '.event == "ssh.violation" and .code == "'$2'"' "$before"
	alive "$1"
}
alive before # or it would take the first lie with it, when it is late
note "lies"
lie session-before-login before-login
lie other-login another-login
lie connect-denied forward-denied
lie connect-after-no forward-denied
lie listen-denied forward-denied
lie agent-denied forward-denied
lie hello-twice twice
lie limits-twice twice
lie channel-twice channel-twice
within 60 more '.event == "ssh.violation" and .identity == "'$USER_MAIL'" and .peer == "first" and .login == "deploy"' 3
within 60 more '.event == "ssh.end" and .reason == "protocol violation"' 8
[ "$(jq -nR '[inputs | fromjson? | select(.event == "ssh.violation") | .connection] | unique | length' $log)" = 9 ] || fail "which connection lied"

if [ -z "$sanitize" ]; then # which has its own idea of memory
note "a worker over its memory limit dies alone"
mux() { on first timeout 300 ssh -o BatchMode=yes -S $T/mux deploy@$host "$@"; }
on first ssh -o BatchMode=yes -M -S $T/mux -fN deploy@$host 7>&-
mux true
w=$(pgrep -n -f 'warren-ssh-worker --worker') # the youngest: mux's
[ "$(awk '/Max address space/ {print $4}' /proc/$w/limits)" = $((512 << 20)) ] || fail "no memory limit"
setpriv --reuid=warren-ssh --regid=warren-ssh --clear-groups \
	prlimit --pid $w --as=$(awk '/^VmSize/ {print $2 * 1024}' /proc/$w/status) # what it has is all there is
for i in 1 2 3 4 5 6; do mux 'head -c 5000000 /dev/zero; cat' </dev/zero >/dev/null 2>&1 7>&- & victims="${victims:-} $!"; done
alive memory
kill -0 $w 2>/dev/null && [ "$(awk '/^VmSize/ {print $2 * 1024}' /proc/$w/status)" -gt $((512 << 20)) ] && fail "it got more than its limit"
kill $victims 2>/dev/null || true
on first ssh -S $T/mux -O exit $host 2>/dev/null || true
fi
exec 7>&-
wait $other || fail "the other connection did not end well"
within 60 warren audit verify --dir $T/second/root
echo "all good"
