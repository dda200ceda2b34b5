#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Broker, engine and verifier on two machines (broker_lib.sh), with a main that this script drives:
# CONFIGURE and TEARDOWN, ping through both engines, the filter, SSH taken out of the mesh into the
# namespace of the SSH server (with a session program that only says hello), limits of the listener,
# signed objects, root's socket, restarts of main and engine, and what is left at the end.
. "${WARREN_SRC:?run by ctest}/tests/netns/broker_lib.sh"
start a
start b

soon "switches are told" grep -q 'event switches {"allow_server_ssh":false' "$work/a.log"
soon "host key is told" grep -q 'event hostkey ssh-ed25519 AAAA' "$work/a.log"
check "addresses outside the overlay are refused" \
	says "not inside 100.64.0.0/10" m a configure 10.0.0.1 fd77::1 1420 0 10.0.0.0/8
check "system ports are refused" says "not main's to take" m a configure 100.64.0.1 fd77::1 1420 53
configure_all
check "configure again changes nothing" says "interface=wrn0" m a configure 100.64.0.1 fd77::1 1420 0
check "address" says "100.64.0.1/32" ip -n brk-a addr show wrn0
check "route" says "100.64.0.0/10" ip -n brk-a route
check "IPv6 route" says "fd77::/48" ip -n brk-a -6 route
check "no policy: nothing passes" silent_b
check "policy a" says ok m a policy "$work/open" p_a
check "policy b" says ok m b policy "$work/open" p_b
soon "ping" ping_b
check "ping IPv6" ping_b fd77::2
check "b may not ping a" not ip netns exec brk-b ping -c 1 -W 1 100.64.0.1
check "get" says "last_handshake_time_sec" m a uapi "$work/get.uapi"
check "stats" says "drop_" m a stats

# SSH.
check "pin without a chosen server" says "no control server was chosen" m b pin n_test p_b
check "choose" says '"url":"https://c.example:8443"' root b \
	'{"id":1,"cmd":"control","url":"https://c.example:8443","fingerprint":"'"$(m b fingerprint)"'"}'
soon "control is told" grep -q "event control https://c.example:8443 1" "$work/b.log"
check "pin of another key" says "shows another signing key" m b pin n_test p_b wrong
check "pin" says ok m b pin n_test p_b
check "object without SSH switch" says ok m b object 5 1 3600 p_b
check "forged object" says "signature" m b object 6 1 3600 p_b forged
check "object of another machine" says "another machine" m b object 6 1 3600 p_a
check "older object" says "older than ones already seen" m b object 4 1 3600 p_b
check "ended object" says "ended" m b object 6 1 -3600 p_b
check "switch off: the host answers" says refused hello
check "switch on" says '"allow_server_ssh":true' root b '{"id":2,"cmd":"set","switches":{"allow_server_ssh":true}}'
soon "port 22 is taken" says "SSH-2.0-fake" hello
check "IPv6 too" says "SSH-2.0-fake" hello hi fd77::2
soon "main gets a socket to the monitor" grep -q "event monitor 1 fd=1" "$work/b.log"
check "the host's stack knows nothing" says "" bash -c '! ip netns exec brk-b ss -tln | grep 22022'
check "a login" says "SSH-2.0-fake" hello auth
soon "its state is relayed" grep -q 'event session .*"login":"deploy"' "$work/b.log"
hold() { # N connections that stay unauthenticated, then print what the last one read
	ip netns exec brk-a bash -c 'for ((i = 0; i < '"$1"'; i++)); do exec {f}<>/dev/tcp/100.64.0.2/22 || exit 1; done
		IFS= read -r -t 60 line <&$f; echo "$line"'
}
soon "sixty-four of one source" says "SSH-2.0-fake" hold 64 # when those of before have ended
check "not sixty-five" says "Too many unfinished logins" hold 65
soon "they are over" says "SSH-2.0-fake" hello
soon "no monitor of theirs is left" not pgrep -f "$work/warren-ssh-session"
line_of_session() { IFS= read -r -t 60 line <&$keep && echo "$line"; }
session() { # a connection that stays, on descriptor $keep
	exec {keep}< <(ip netns exec brk-a socat -t 0.2 - TCP:100.64.0.2:22 < <(echo auth; sleep 300))
	IFS= read -r -t 60 line <&$keep
	check "a session that stays: $line" says "got auth" line_of_session
}
session
check "the session stands" says "warren-ssh-session" pgrep -af "$work/warren-ssh-session"
check "object says off: sessions end" says ok m b object 7 0 3600 p_b
soon "no monitor is left" not pgrep -f "$work/warren-ssh-session"
told() { timeout 60 cat <&$keep; } # ends when the connection does
check "the client was told" told
soon "nothing is taken any more" says refused hello
check "object on" says ok m b object 8 1 3600 p_b
soon "taken again" says "SSH-2.0-fake" hello
session
check "teardown with a session" says ok m b teardown
check "the client was told first" told
check "configured again" says "ssh=1" m b configure 100.64.0.2 fd77::2 1420 0
soon "and served again" says "SSH-2.0-fake" hello

# 22 belong to the broker at rest; the 64 sessions above would leave twice as many.
few_descriptors() { (($(ls "/proc/${pids[b]}/fd" | wc -l) < 40)); }
soon "no descriptor of an ended session is left" few_descriptors
# Restarts.
before=$(role_pid a engine)
m a die
soon "a new main" says ok m a user-dir 1234
check "the same engine" test "$before" = "$(role_pid a engine)"
check "tunnels stayed" ping_b
check "user folder" says "700 1234" stat -c "%a %u" /run/warren/u/1234
check "peers stayed" says "last_handshake_time_sec" m a uapi "$work/get.uapi"
check "the engine keeps the interface over configure" says "port=51820" m a configure 100.64.0.1 fd77::1 1420 0
check "still pings" ping_b
check "a message that does not parse" says sent m a raw 01000000050102
soon "the broker says so" grep -q "a message of main does not parse: it is started anew" "$work/a.log"
soon "main is started anew" says ok m a user-dir 1234
kill -9 "$before"
engine_new() { local p; p=$(role_pid a engine) && [[ $p != "$before" ]]; }
soon "a new engine" engine_new
soon "main behind it" says ok m a user-dir 1234
check "a new engine lets nothing pass" silent_b
soon "keys again" says "errno=0" m a uapi "$work/a.uapi"
m a up 1 > /dev/null
soon "policy again" says ok m a policy "$work/open" p_a
soon "ping again" ping_b
ip -n brk-a link set wrn0 down
soon "link down is told" grep -q "event link 0" "$work/a.log"
ip -n brk-a route del 100.64.0.0/10 2> /dev/null
soon "configure puts it right" says "interface=wrn0" m a configure 100.64.0.1 fd77::1 1420 0
soon "link up is told" grep -q "event link 1" "$work/a.log"
soon "pings again" ping_b
ip -n brk-a link del wrn0
soon "interface deleted: main starts anew" says ok m a user-dir 1234
soon "and can configure" says "interface=wrn0" m a configure 100.64.0.1 fd77::1 1420 0

# Root's socket, sweep, end.
check "unknown key" says "is not known" root a '{"id":3,"cmd":"set","switches":{"x":true}}'
check "not JSON" says "error" root a 'nonsense'
check "teardown" says ok m b teardown
check "interface is gone" not ip -n brk-b link show wrn0
check "host answers nothing" silent_b
for x in a b; do
	kill "${pids[$x]}"
	wait "${pids[$x]}"
	check "exit status of $x" test $? = 0
	check "no socket of $x" not test -e "$work/$x.sock" -o -e "$work/$x.sock.root"
	check "no interface of $x" not ip -n brk-$x link show wrn0
done
soon "no process" not pgrep -f "$fake|--role (engine|main|verifier)"
start b
check "the pin survived" says ok m b pin n_test p_b
check "so did the sequence" says "older than ones already seen" m b object 7 1 3600 p_b
kill "${pids[b]}"
wait "${pids[b]}"
printf '{"v":1,"swi' > "$work/state-b/root/switches.json"
truncated() {
	ip netns exec brk-b "$fake" --state-dir "$work/state-b" --socket "$work/b.sock"
	[[ $? == 1 ]]
}
check "truncated state" says "cannot use the state file $work/state-b/root/switches.json" truncated
check "it was left as it is" says '{"v":1,"swi' cat "$work/state-b/root/switches.json"
finish
