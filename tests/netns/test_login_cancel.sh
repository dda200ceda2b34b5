#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Ctrl-C at each stage of a login, and clients that are killed while they wait: the exit status is the documented one, the
# terminal is given back, no process is left, and a page that is confirmed afterwards logs nobody in. Who waits for
# the same login goes on waiting.
. "$WARREN_SRC/tests/netns/lib.sh"
command -v python3 >/dev/null || skip "no python3"
prepare
mesh
host=second.warren.internal
second=$(overlay second)
on first warren openssh install
keyline=$(on first warren openssh hostkey $host | cut -d' ' -f2,3)
echo "$second $keyline" >$T/known
plain="-F none -o UserKnownHostsFile=$T/known -o StrictHostKeyChecking=yes"
printf '#!/bin/bash\nexec 3<>/dev/tcp/%s/22 && exec warren-ssh --connection=3 --name=%s --host-keys=%s "$@"\n' \
	$second $host $T/known >$T/bin/own-plain
chmod 755 $T/bin/own-plain

terminal() { # STEP… -- COMMAND…
	on first env --default-signal=INT python3 "$WARREN_SRC/tests/support/terminal.py" "$@" >$T/terminal 2>&1 || fail "$(cat $T/terminal)"
}
url() { grep -aoE 'https://[^[:space:]]+' $1 | head -n 1; }
shown() { [ -n "$(urls $1)" ]; } # whole
nobody_waits() { ! pgrep -f '^([^ ]*/)?(warren (openssh proxy|login|ssh)|warren-ssh --connection)'; }
# The page of a login that was given up says so or, where the provider does not know of it, leads nowhere.
given_up() { # STATUS COMMAND…: Ctrl-C behind the prompt; then somebody signs in at its page all the same
	local status=$1
	shift
	note "Ctrl-C: $*"
	rm -f $T/screen
	# What the terminal shows is in a file as well, for its URL.
	terminal expect:'gives up|https://' send:'\x03' status:$status restored -- script -qefc "$*" $T/screen
	within 60 nobody_waits
	[ -n "$(url $T/screen)" ] || fail "no page: $(cat $T/screen)"
	signin_url "$(url $T/screen)" || true
	sleep 1
	expect 4 on first warren ssh-cert --batch --out $T/none deploy@second
}
# script passes Ctrl-C on to a terminal of its own, and says how the program ended: 128 + 2 for the signal.
given_up 130 warren login
given_up 130 warren ssh-cert --out $T/none deploy@second
given_up 130 ssh deploy@$host true
given_up 130 warren ssh --client=system deploy@second true
given_up 130 warren ssh --client=own deploy@second true
given_up 130 ssh $plain deploy@$second true
given_up 130 own-plain deploy@$host true

note "what Ctrl-C ends has ended by the signal, so that a script around it stops as well; so it is with the others"
cat >$T/bin/around <<'EOF'
#!/bin/bash
"$@"
echo "went on with $?"
EOF
chmod 755 $T/bin/around
for command in "ssh $plain deploy@$second true" "own-plain deploy@$host true" "warren-ssh deploy@$host true" "warren ssh deploy@$host true" \
	"warren ssh --client=own deploy@$host true" "warren login" "warren ssh-cert --out $T/none deploy@second"; do
	terminal expect:https:// send:'\x03' status:-2 restored -- around $command
done
ssh-keygen -q -t ed25519 -N 'open sesame' -f $T/locked
terminal expect:'Enter passphrase' send:'open\x03' status:-2 never:'cannot read|https:' restored -- around own-plain -i $T/locked deploy@$host true
terminal expect:https:// kill:TERM status:-15 restored -- own-plain deploy@$host true
within 60 nobody_waits

note "nothing of them waits at the target, and none was logged in"
idle() { [ "$(on second warren --json sessions | jq '.sessions | length')" = 0 ]; }
within 60 idle
! grep -q 'ssh login .*identity=' $T/log/second || fail "somebody got in: $(grep 'ssh login' $T/log/second)"

note "ssh is killed alone: what it started to log in ends, and so does the login"
for sig in KILL TERM HUP; do
	rm -f $T/screen
	: >$T/screen
	# The terminal stays, as it does in front of a shell: its end would end everything.
	on first script -qefc "ssh deploy@$host true; echo ended-\$?; sleep 60" $T/screen </dev/null >/dev/null 2>&1 &
	waiting=$!
	within 60 shown $T/screen
	pid=$(pgrep -xf "ssh deploy@$host true") || fail "where is ssh?"
	kill -$sig $pid
	within 60 grep -aq 'ended-[1-9]' $T/screen
	within 60 nobody_waits
	kill $waiting
	signin_url "$(url $T/screen)" || true
	sleep 1
	expect 4 on first warren ssh-cert --batch --out $T/none deploy@second
done

note "two wait for one login: Ctrl-C ends one, the other is let in"
rm -f $T/screen
: >$T/one
on first warren ssh deploy@second 'echo one is in' >$T/one-out 2>$T/one &
one=$!
within 60 shown $T/one
terminal expect:https:// send:'\x03' status:130 -- script -qefc "ssh deploy@$host true" $T/screen
[ "$(url $T/screen)" = "$(url $T/one)" ] || fail "two logins: $(url $T/screen) $(url $T/one)"
sleep 0.5
kill -0 $one || fail "the other has ended, too: $(cat $T/one)"
signin_url "$(url $T/one)"
wait $one || fail "the other was not let in: $(cat $T/one)"
grep -q 'one is in' $T/one-out || fail "$(cat $T/one-out)"

note "Ctrl-C behind the login is the command's"
terminal expect:started send:'\x03' status:130 restored -- warren ssh --client=own -t deploy@second 'trap "exit 130" INT; echo started; while :; do sleep 0.1; done'
terminal expect:started send:'\x03' status:130 restored -- ssh -t deploy@$host 'trap "exit 130" INT; echo started; while :; do sleep 0.1; done'
echo "all good"
