#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The same table as the drop-in's (client_table.sh) through `warren ssh`, once with the system's ssh and once
# with warren-ssh; then what is warren-ssh's own: refusals with a sentence, the pinned host key, keepalives.
. "$WARREN_SRC/tests/netns/lib.sh"
. "$WARREN_SRC/tests/netns/client_table.sh"
prepare
mesh
login
# scp -S and git want one program.
printf '#!/bin/sh\nexec warren ssh --client=system "$@"\n' >$T/bin/warren-ssh-system
chmod 755 $T/bin/warren-ssh-system
client_table $T/bin/warren-ssh-system
client_table $T/bin/warren-ssh

note "what follows the host is the command, also when it looks like a flag"
for client in system own; do
	# sshd's shells take it for a flag of theirs, as ours do.
	expect 2 on first warren ssh --client=$client deploy@second -V </dev/null
	! grep -q OpenSSH $T/out || fail "$client took the command for a flag"
	expect 255 on first warren ssh --client=$client -o RemoteCommand='echo one' deploy@second 'echo two' </dev/null
done

note "which client: the option, the variable, and what there is"
expect 255 on first warren ssh --client=other deploy@second true
says 'auto, system or own'
mkdir -p $T/no-ssh
for f in bash cat true; do ln -sf "$(command -v $f)" $T/no-ssh/$f; done
expect 0 on first env PATH=$T/no-ssh $T/bin/warren ssh -v deploy@second 'echo here'
says "network's"
expect 0 on first env WARREN_SSH_CLIENT=own warren ssh -v deploy@second true
says "network's"
expect 255 on first warren ssh --client=own -J one deploy@second true
one_sentence
says 'no -J'
expect 255 on first warren ssh --client=own -o ProxyJump=one deploy@second true
one_sentence
expect 255 on first warren ssh --client=own -L 1:2 deploy@second true
says 'bind:'

note "the host key is the map's, and nothing else will do"
cp $T/bin/warren-ssh $T/bin/real-client
cat >$T/bin/warren-ssh <<'EOF2'
#!/bin/bash
# Between the two: the file with another key.
for a in "$@"; do
	case $a in --host-keys=*)
		f=${a#--host-keys=}
		sed -i 's/ssh-ed25519 .*/ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA/' "$f"
		;;
	esac
done
exec "${0%/*}/real-client" "$@"
EOF2
expect 255 on first warren ssh --client=own -o StrictHostKeyChecking=no deploy@second 'echo in'
says 'another host key'
! grep -q '^in' $T/out || fail "a wrong host key was accepted"
cp $T/bin/real-client $T/bin/warren-ssh

note "a server that is gone: ServerAliveInterval ends it, with 255"
on first warren ssh --client=own -o ServerAliveInterval=3 -o ServerAliveCountMax=3 deploy@second 'echo up; sleep 500' >$T/gone 2>&1 &
pid=$!
within 60 grep -q up $T/gone
worker=$(pgrep -n -f -- 'warren-ssh-worker --worker') # the youngest: those of before may be ending
kill -STOP $worker
got=0
wait $pid || got=$?
[ $got = 255 ] || fail "status $got"
grep -q 'not responding' $T/gone || fail "no reason: $(cat $T/gone)"
kill -CONT $worker
echo "all good"
