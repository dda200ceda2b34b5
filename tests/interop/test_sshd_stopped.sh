#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A client that is stopped (^Z) for longer than the server waits for a machine that is gone: its connection is
# there when it goes on, and no byte is lost. As with stock sshd. Nearly all of the time it sleeps.
set -u
bin=${WARREN_BIN:?}
dir=$(mktemp -d /run/sshd_stopped.XXXXXX)
chmod 755 "$dir"
pid= client=
finish() {
	[[ -n $client ]] && kill -KILL "$client" 2>/dev/null
	[[ -n $pid ]] && kill "$pid" 2>/dev/null
	rm -rf "$dir"
}
trap finish EXIT
fail() {
	echo "FAIL $*"
	cat "$dir/log" "$dir/err"
	exit 1
}
ssh-keygen -q -t ed25519 -N '' -f "$dir/host"
ssh-keygen -q -t ed25519 -N '' -f "$dir/id"
mkdir "$dir/keys" && cp "$dir/id.pub" "$dir/keys/root"
cat >"$dir/conf" <<-EOF
	ListenAddress 127.0.0.1:2301
	HostKey $dir/host
	AuthorizedKeysFile $dir/keys/%u
	PidFile none
	UsePAM no
EOF
"$bin/warren" sshd -D -f "$dir/conf" 2>"$dir/log" &
pid=$!
for _ in {1..600}; do
	grep -q "listening on=" "$dir/log" && break
	sleep 0.1
done
ssh -F none -p 2301 -i "$dir/id" -o StrictHostKeyChecking=no -o UserKnownHostsFile="$dir/known" -o LogLevel=ERROR \
	root@127.0.0.1 'yes | head -c 100000000; sleep 5; echo done' >"$dir/out" 2>"$dir/err" &
client=$!
for _ in {1..600}; do
	[[ -s $dir/out ]] && break
	sleep 0.05
done
kill -STOP "$client"
sleep 66 # startups_expect_an_end: 60
kill -CONT "$client"
wait "$client"
rc=$?
client=
((rc == 0)) || fail "exit status $rc"
(($(stat -c %s "$dir/out") == 100000005)) || fail "$(stat -c %s "$dir/out") bytes"
echo "passed: a stopped client goes on"
