#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Sourced by test_broker_*.sh: two machines with the real broker, engine and verifier and a main that
# the script drives (broker_fake.c).
#
#   ns "brk-a" 192.0.2.1/24 veth ---- veth 192.0.2.2/24 ns "brk-b"
#   overlay 100.64.0.1, fd77::1            overlay 100.64.0.2, fd77::2
#
set -u
umask 022
: "${WARREN_BIN:?run by ctest}"
work=$(mktemp -d)
fake=$work/warrend-fake
failures=0
cp "$WARREN_BIN/../tests/warrend-fake" "$fake" || exit 1

cat > "$work/warren-ssh-session" <<'SESSION'
#!/bin/bash
# Stands in for the real one: state to the broker, a greeting, then the client's first line back.
printf 'SSH-2.0-fake\r\n' >&3
IFS= read -r -t 300 line <&3
case $line in
auth*)
	json='{"id":1,"login":"deploy"}'
	printf '\x02\0\0\0\0' >&6
	printf "\\x01\0\0\0\0\0\0\0\\x$(printf %x ${#json})%s" "$json" >&6
	;;
esac
printf 'got %s\r\n' "$line" >&3
IFS= read -r -t 300 line <&3
exit 0
SESSION
chmod +x "$work/warren-ssh-session"

check() { # NAME COMMAND…
	local name=$1
	shift
	if "$@" > "$work/out" 2>&1; then
		echo "ok   $name"
	else
		echo "FAIL $name: $*"
		sed 's/^/     /' "$work/out"
		failures=$((failures + 1))
	fi
}
# The same, with time for what happens behind the scenes, on the slowest of machines.
soon() {
	local name=$1 limit=$((SECONDS + 60))
	shift
	until "$@" > "$work/out" 2>&1; do
		if ((SECONDS >= limit)); then
			check "$name" "$@"
			return
		fi
		sleep 0.1
	done
	echo "ok   $name"
}
says() { # TEXT COMMAND…: the command's output has TEXT
	local text=$1 out
	shift
	out=$("$@" 2>&1)
	echo "$out"
	[[ $out == *"$text"* ]]
}
not() { ! "$@"; }
m() { # a|b COMMAND…: one command to main
	local who=$1
	shift
	echo "$*" | timeout 120 socat -t 100 - "UNIX-CONNECT:$work/$who.sock"
}
root() { # a|b JSON
	echo "$2" | timeout 60 socat -t 50 - "UNIX-CONNECT:$work/$1.sock.root"
}
start() { # a|b [COMMAND…]: COMMAND runs warrend
	local x=$1
	shift
	ip netns exec "brk-$x" "$@" "$fake" --state-dir "$work/state-$x" --socket "$work/$x.sock" \
		--log-level debug 2>> "$work/$x.log" &
	pids[$x]=$!
	for ((i = 0; i < 1200; i++)); do
		socat -u OPEN:/dev/null "UNIX-CONNECT:$work/$x.sock.root" 2> /dev/null && break
		sleep 0.05
	done
}
role_pid() { # a|b ROLE
	pgrep -P "${pids[$1]}" -f -- "--role $2"
}
declare -A pids
trap 'kill ${pids[@]} 2> /dev/null; wait; ip netns del brk-a 2> /dev/null; ip netns del brk-b 2> /dev/null; rm -rf "$work"' EXIT

ip netns add brk-a
ip netns add brk-b
ip -n brk-a link add veth type veth peer name veth netns brk-b
for x in a b; do
	[[ $x == a ]] && n=1 || n=2
	ip -n brk-$x addr add 192.0.2.$n/24 dev veth
	ip -n brk-$x link set veth up
	ip -n brk-$x link set lo up
	(umask 077 && wg genkey > "$work/$x.key")
done
hex() { base64 -d | od -An -v -tx1 | tr -d ' \n'; }
for x in a b; do
	[[ $x == a ]] && other=b n=2 || other=a n=1
	cat > "$work/$x.uapi" <<-UAPI
		set=1
		private_key=$(hex < "$work/$x.key")
		replace_peers=true
		public_key=$(wg pubkey < "$work/$other.key" | hex)
		endpoint=192.0.2.$n:51820
		replace_allowed_ips=true
		allowed_ip=100.64.0.$n/32
		allowed_ip=fd77::$n/128
	UAPI
done
printf 'get=1\n' > "$work/get.uapi"
printf '{"rules":[{"from":["peer:a"],"to":["peer:b"],"proto":"icmp"},{"from":["peer:a"],"to":["peer:b"],"proto":"tcp","ports":"22"}]}' > "$work/open"
printf '{"rules":[]}' > "$work/shut"

configure_all() {
	local x
	soon "configure a" says "interface=wrn0 port=51820" m a configure 100.64.0.1 fd77::1 1420 0
	soon "configure b" says "interface=wrn0 port=51820" m b configure 100.64.0.2 fd77::2 1420 0
	for x in a b; do
		check "keys of $x" says "errno=0" m $x uapi "$work/$x.uapi"
		m $x up 1 > /dev/null
	done
}
ping_b() { ip netns exec brk-a ping -c 1 -w 30 "${1:-100.64.0.2}"; } # until an answer comes
silent_b() { ! ip netns exec brk-a ping -c 1 -W 1 100.64.0.2; }
# What a client of port 22 reads after it has said $1.
hello() { # [WORD] [ADDRESS]
	ip netns exec brk-a timeout 60 bash -c 'exec 3<> "/dev/tcp/${2:-100.64.0.2}/22" && echo "${1:-hi}" >&3 &&
		IFS= read -r line <&3 && echo "$line"' - "$@"
}
finish() {
	if ((failures > 0)); then
		for x in a b; do
			echo "--- $x"
			tail -80 "$work/$x.log"
		done
	fi
	exit $((failures > 0))
}
