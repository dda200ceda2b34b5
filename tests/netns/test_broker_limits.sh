#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What the broker does where something is missing: a namespace of its own (containers), root, TUN; and
# a second daemon. Two machines as in broker_lib.sh.
. "${WARREN_SRC:?run by ctest}/tests/netns/broker_lib.sh"

# b has no CAP_SYS_ADMIN, as in a container: the SSH server listens in the host's stack.
start a
start b setpriv --bounding-set -sys_admin --inh-caps -sys_admin
configure_all
check "policy a" says ok m a policy "$work/open" p_a
check "policy b" says ok m b policy "$work/open" p_b
soon "ping" ping_b
root b '{"id":1,"cmd":"control","url":"https://c.example:8443","fingerprint":null}' > "$work/out"
check "the first key is pinned" says ok m b pin n_test p_b
check "another is not" says "another signing key than before" m b pin n_test p_b wrong
root b '{"id":2,"cmd":"set","switches":{"allow_server_ssh":true}}' > "$work/out"
soon "the note says so" grep -q "^the SSH server listens in the host's own network" "$work/b.log"
soon "host stack" says "100.64.0.2:22022" ip netns exec brk-b ss -tln
check "nothing yet" not says "SSH-2.0-fake" hello
check "object" says ok m b object 1 1 3600 p_b
check "configure tells the mode" says "ssh=2" m b configure 100.64.0.2 fd77::2 1420 0
soon "port 22 leads to 22022" says "SSH-2.0-fake" hello
check "switch off" says '"allow_server_ssh":false' \
	root b '{"id":3,"cmd":"set","switches":{"allow_server_ssh":false}}'
soon "no listener" not says 22022 ip netns exec brk-b ss -tln
check "forget" says ok m b forget
check "forgot" says "no control server is pinned" m b object 2 1 3600 p_b

second() {
	ip netns exec brk-a "$fake" --state-dir "$work/state-2" --socket "$work/a.sock"
	[[ $? == 1 ]]
}
check "a second daemon" says "another program already listens" second
check "it touched nothing" not test -e "$work/state-2"
check "the first is well" says ok m a user-dir 1
kill "${pids[b]}"
wait "${pids[b]}"

# The next free port, and then none of a foreign folder's business.
ip netns exec brk-b socat -u UDP-RECV:51820 /dev/null &
blocker=$!
soon "the port is taken" says ":51820 " ip netns exec brk-b ss -Hlun
start b
soon "the next free port" says "port=51821" m b configure 100.64.0.2 fd77::2 1420 0
kill "$blocker" "${pids[b]}"
wait "${pids[b]}"
mkdir "$work/foreign"
touch "$work/foreign/mail"
foreign() {
	ip netns exec brk-b "$fake" --state-dir "$work/foreign" --socket "$work/b.sock"
	[[ $? == 1 ]]
}
check "a foreign folder" says "holds something else" foreign
check "keeps its mode" says 755 stat -c %a "$work/foreign"

# No CAP_NET_ADMIN: starts, and CONFIGURE says why not.
start b setpriv --bounding-set -net_admin --inh-caps -net_admin
soon "no CAP_NET_ADMIN" says "CAP_NET_ADMIN" m b configure 100.64.0.2 fd77::2 1420 0
check "and can be asked again" says "CAP_NET_ADMIN" m b configure 100.64.0.2 fd77::2 1420 0
kill "${pids[b]}"
wait "${pids[b]}"

# No root.
chmod 755 "$work"
mkdir -m 700 "$work/home"
chown 65534:65534 "$work/home"
ip netns exec brk-b setpriv --reuid 65534 --regid 65534 --clear-groups "$fake" \
	--state-dir "$work/home/state" --socket "$work/home/b.sock" 2> "$work/b.log" &
pids[b]=$!
ln -s home/b.sock "$work/b.sock"
soon "no root: main runs" says "runs without root" m b configure 100.64.0.2 fd77::2 1420 0
soon "the warning is told" grep -q "event warnings warrend runs without root" "$work/b.log"
kill "${pids[b]}"
wait "${pids[b]}"
check "exit status" test $? = 0
nowhere() {
	setpriv --reuid 65534 --regid 65534 --clear-groups "$fake" --socket "$work/home/c.sock"
	[[ $? == 1 ]]
}
check "no root and no folder" says "cannot make the state directory /var/lib/warren" nowhere

# A tty's worth of wrong options.
usage() {
	"$fake" "$@"
	[[ $? == 2 ]]
}
check "unknown option" says "there is no option" usage --nonsense
check "bad port" says "must be 1 to 65535" usage --wireguard-port 0
printf '{\n  "socket": "/tmp/x",\n  "sockets": 1\n}\n' > "$work/warren.json"
config() {
	"$fake" --config "$work/warren.json"
	[[ $? != 0 ]]
}
check "unknown key in the configuration" says "warren.json:3:3: unknown key \"sockets\"" config

# Expired files of people.
m a user-dir 4711 > /dev/null
touch -d '1 minute ago' /run/warren/u/4711/old
touch -d '1 hour' /run/warren/u/4711/new
ln -s /etc/passwd /run/warren/u/4711/link
sleep 6 # what was touched a moment ago may be being written
kill "${pids[a]}"
wait "${pids[a]}"
start a # sweeps at once, then every 30 s
soon "expired files go" not test -e /run/warren/u/4711/old
check "others stay" test -e /run/warren/u/4711/new -a -L /run/warren/u/4711/link -a -e /etc/passwd

# kill -9 of the broker leaves nothing.
soon "configure a" says "interface=wrn0" m a configure 100.64.0.1 fd77::1 1420 0
kill -9 "${pids[a]}"
wait "${pids[a]}" 2> /dev/null
soon "no process" not pgrep -f -- "--role (engine|main|verifier)"
soon "no interface" not ip -n brk-a link show wrn0
start a
soon "starts again on stale sockets" says "interface=wrn0" m a configure 100.64.0.1 fd77::1 1420 0
finish
