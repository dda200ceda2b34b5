#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Joining, status, ping, why, explain; restarts of main, of the daemon and without control; down and up.
. "$WARREN_SRC/tests/netns/lib.sh"
prepare
mesh
second=$(overlay second)

note "SSH is served before a peer can ask for it, and when up returns"
sed -n '/SSH from the mesh is served/p;/configuring peers/p' $T/log/second | head -n 1 | grep -q served ||
	fail "peers came first"

note "status in its forms"
expect 0 on first warren status
says 'second.warren.internal'
expect 0 on first warren status -d
says 'last handshake'
on first warren --json status | jq -e '.daemonStatus == "Connected" and .management.connected and
	(.overlayIp | startswith("100.")) and .peers.total == 1 and .peers.connected == 1 and
	(.peers.details[0] | .fqdn == "second.warren.internal" and .connectionType == "direct" and
	(.endpoint | startswith("203.0.113.2:")))' >/dev/null || fail "status --json"
expect 0 on first warren status --check ready
expect 0 on first warren peers
expect 0 on first warren ping -c 2 second
says 'by 203.0.113.2'
expect 0 on first warren why second
says '203.0.113.2'
expect 0 on first warren policy explain first second:22
expect 1 on first warren ping nobody

note "a restart of main leaves tunnel and flows up"
ip netns exec second socat -t 60 TCP-LISTEN:7001,fork,reuseaddr EXEC:cat &
listening second 7001
mkfifo $T/in
ip netns exec first socat -t 1 - TCP:$second:7001 <$T/in >$T/flow &
exec 9>$T/in
echo one >&9
within 60 grep -q one $T/flow
main=$(pgrep -P "$(cat $T/pids/first)" -f -- '--role main')
kill -9 "$main"
echo two >&9
within 60 grep -q two $T/flow
within 60 on first warren status --check ready
echo three >&9
within 60 grep -q three $T/flow
exec 9>&-

note "without control: the daemon starts from its saved map"
stop first
stop control
peer_start first
within 60 on first warren status --check ready
within 60 sh -c "echo hi | ip netns exec first socat -t 30 - TCP:$second:7001,connect-timeout=10 | grep -q hi"
on first warren --json status | jq -e '.management.connected == false' >/dev/null || fail "control is down, status says otherwise"
control_start
within 60 sh -c "WARREN_SOCKET=$T/first.sock ip netns exec first warren --json status | jq -e .management.connected"

note "the cable is pulled and put back"
ip -n router link set v-second down
sleep 3
ip -n router link set v-second up
within 60 on first warren ping -c 1 second
within 60 sh -c "echo hi | ip netns exec first socat -t 30 - TCP:$second:7001,connect-timeout=10 | grep -q hi"

note "down and up again"
on first warren down
expect 1 on first warren status --check ready
no_interface() { [ -z "$(ip -n first -o link show wrn0 2>/dev/null)" ]; }
within 60 no_interface
on first warren up
within 60 direct first

note "leaving: nothing is left in the namespace"
stop first
within 60 no_interface
[ ! -e $T/first.sock ] || fail "the socket outlives the daemon"
echo "all good"
