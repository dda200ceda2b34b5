#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# warren-ssh under a shell with job control: ~^Z and a SIGTSTP from outside stop it with the terminal as the shell wants it,
# `fg` sets raw mode and tells the far side a window that was changed meanwhile; in the background it stays stopped;
# a question for a passphrase comes again. ssh with the drop-in does the same where OpenSSH can.
. "$WARREN_SRC/tests/netns/lib.sh"
command -v python3 >/dev/null || skip "no python3"
prepare
mesh
host=second.warren.internal
second=$(overlay second)
login
on first warren openssh install
cat >$T/bin/job-shell <<'EOP'
#!/bin/bash
exec env PS1='local> ' bash --norc --noprofile --noediting -i
EOP
chmod 755 $T/bin/job-shell
terminal() { # STEP…: in front of a shell
	on first env HOME=$T TERM=xterm python3 "$WARREN_SRC/tests/support/terminal.py" expect:'local> ' cooked "$@" -- job-shell >$T/terminal 2>&1 ||
		fail "$(cat $T/terminal)"
}
start() { echo "send:sh -c 'echo \$\$ >$T/client; exec $*'\\r"; }
stopped="run:for i in \$(seq 1200); do grep -q '^State:.T' /proc/\$(cat $T/client)/status && exit 0; sleep 0.05; done; exit 1"
remote='PS1="re""mote> "\r' # its own echo does not look like the prompt

for client in "warren ssh --client=own" ssh; do
	note "$client: ~^Z, the window is changed, fg"
	terminal "$(start $client -tt deploy@$host bash --norc --noprofile)" raw send:"$remote" expect:'remote> ' send:'stty size\r' expect:'24 80' \
		send:'\r~\x1a' cooked "$stopped" expect:'local> ' send:'stty size; stty -a | grep -c " echo "\r' expect:'24 80' \
		resize:132x50 send:'fg\r' raw send:'\r' expect:'remote> ' send:'stty size\r' expect:'50 132' \
		send:'sh -c "echo st""arted; exec sleep 60"\r' expect:started send:'\x03' expect:'remote> ' \
		send:'exit 5\r' cooked expect:'local> ' send:'echo status-$?\r' expect:'status-5' send:'exit\r' status:0 restored

	note "$client: output of meanwhile comes with fg, nothing typed at the shell goes over"
	terminal "$(start $client -tt deploy@$host bash --norc --noprofile)" raw send:"$remote" expect:'remote> ' \
		send:'(sleep 1; echo of-mean""while) &\r' expect:'remote> ' send:'\r~\x1a' cooked "$stopped" expect:'local> ' \
		send:'echo lo""cally\r' expect:'locally' run:'sleep 1.5' send:'fg\r' raw expect:'of-meanwhile' send:'\rexit\r' cooked \
		expect:'local> ' send:'exit\r' status:0 restored
done

note "SIGTSTP from outside, twice; SIGCONT in the background leaves the shell its terminal"
own="warren ssh --client=own"
terminal "$(start $own -tt deploy@$host bash --norc --noprofile)" raw send:"$remote" expect:'remote> ' \
	run:"kill -TSTP \$(cat $T/client)" cooked "$stopped" expect:'local> ' resize:100x30 send:'fg\r' raw send:'stty size\r' expect:'30 100' \
	run:"kill -TSTP \$(cat $T/client)" cooked "$stopped" expect:'local> ' send:'bg\r' expect:'local> ' "$stopped" cooked \
	send:'echo the-""shell\r' expect:'the-shell' send:'fg\r' raw send:'\rexit 3\r' cooked expect:'local> ' send:'echo status-$?\r' \
	expect:'status-3' send:'exit\r' status:0 restored

note "without a shell that could have it go on (no job control) it is not stopped for ever"
on first python3 "$WARREN_SRC/tests/support/terminal.py" expect:'\$ ' raw send:'\r~\x1a' raw send:'echo go""es-on\r' expect:goes-on \
	send:'exit 4\r' status:4 restored -- $own deploy@$host >$T/terminal 2>&1 || fail "$(cat $T/terminal)"

note "stopped and resized at a passphrase: asked again, and nothing typed is shown"
ssh-keygen -q -t ed25519 -N 'open sesame' -f $T/locked
on first warren openssh hostkey $host >$T/known
printf '#!/bin/bash\nexec 3<>/dev/tcp/%s/22 && exec warren-ssh --connection=3 --name=%s --host-keys=%s "$@"\n' $second $host $T/known >$T/bin/own-plain
chmod 755 $T/bin/own-plain
terminal "$(start own-plain -i $T/locked deploy@$host true)" expect:'Enter passphrase' run:'sleep 0.3' resize:90x40 run:"sleep 0.3" send:'open ' \
	send:'\x1a' "$stopped" expect:'local> ' cooked send:'fg\r' expect:'Enter passphrase' run:'sleep 0.3' send:'open sesame\r' \
	expect:'https://' send:'\x03' expect:'local> ' cooked send:'exit\r' status:130 never:sesame restored
echo "all good"
