# SPDX-License-Identifier: Apache-2.0
# Sourced by the WireGuard interop tests: two hosts on a wire.
#
#   a (192.0.2.1, 2001:db8::1) ---- veth ---- b (192.0.2.2, 2001:db8::2)
#   inside: 10.9.0.1, fd09::1                 10.9.0.2, fd09::2
#
# Runs as root in a box of its own. WARREN_BIN has our programs.
set -euo pipefail
export LC_ALL=C.UTF-8 PATH="$WARREN_BIN:$PATH:/usr/sbin:/sbin"
WORK=$(mktemp -d)
PIDS=()

skip() { echo "SKIP: $*"; exit 77; }
fail() { echo "FAIL: $*" >&2; exit 1; }
note() { echo "--- $*"; }
need() { for c in "$@"; do command -v "$c" >/dev/null || skip "$c is missing"; done; }

[ -c /dev/net/tun ] || skip "no /dev/net/tun"
need ip wg ping python3

in_a() { ip netns exec a "$@"; }
in_b() { ip netns exec b "$@"; }

clean_up() {
	local pid
	for pid in "${PIDS[@]:-}"; do [ -n "$pid" ] && kill "$pid" 2>/dev/null; done
	ip netns del a 2>/dev/null
	ip netns del b 2>/dev/null
	rm -rf "$WORK"
} || true
trap 'code=$?; set +e; clean_up; exit $code' EXIT

make_hosts() {
	ip netns add a
	ip netns add b
	ip link add wire netns a type veth peer name wire netns b
	in_a ip link set lo up
	in_b ip link set lo up
	in_a sysctl -qw net.ipv6.conf.wire.accept_dad=0
	in_b sysctl -qw net.ipv6.conf.wire.accept_dad=0
	in_a ip addr add 192.0.2.1/24 dev wire
	in_b ip addr add 192.0.2.2/24 dev wire
	in_a ip addr add 2001:db8::1/64 dev wire nodad
	in_b ip addr add 2001:db8::2/64 dev wire nodad
	in_a ip link set wire up
	in_b ip link set wire up
}

# start HOST PROGRAM IFNAME: in the foreground of a background job, so that its pid is known
start() {
	local host=$1 program=$2 name=$3 i
	case $program in
	warren-wg-lab) LOG_LEVEL=${LEVEL:-error} ip netns exec "$host" "$WARREN_BIN/../tests/warren-wg-lab" -f "$name" 2>"$WORK/$name.log" & ;;
	warren-wg) LOG_LEVEL=${LEVEL:-info} ip netns exec "$host" "$WARREN_BIN/warren-wg" -f "$name" 2>"$WORK/$name.log" & ;;
	*) LOG_LEVEL=verbose ip netns exec "$host" "$program" -f "$name" >"$WORK/$name.log" 2>&1 & ;;
	esac
	LAST_PID=$!
	PIDS+=("$LAST_PID")
	for ((i = 0; i < 1200; i++)); do
		[ -S "/var/run/wireguard/$name.sock" ] && ip netns exec "$host" ip link show "$name" >/dev/null 2>&1 && return
		sleep 0.05
	done
	cat "$WORK/$name.log" >&2
	fail "$program $name did not start"
}

address() { # HOST IFNAME NUMBER
	ip netns exec "$1" ip addr replace "10.9.0.$3/24" dev "$2"
	ip netns exec "$1" ip addr replace "fd09::$3/64" dev "$2" nodad
	ip netns exec "$1" ip link set "$2" up
}

make_keys() {
	umask 077
	local h
	for h in a b; do
		wg genkey >"$WORK/$h.key"
		wg pubkey <"$WORK/$h.key" >"$WORK/$h.pub"
	done
	wg genpsk >"$WORK/psk"
}

wait_for() { # SECONDS COMMAND...
	local until=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$until" ] || return 1
		sleep 0.1
	done
}

# Every one of COUNT packets is answered.
all_answered() { # HOST COUNT INTERVAL ADDRESS [CLOCK SPEED]
	local host=$1 count=$2 interval=$3 address=$4
	shift 4
	ip netns exec "$host" python3 "$WARREN_SRC/tests/support/pings.py" "$address" "$count" "$interval" "$@"
}
# One answer, in whatever time.
answers() { wait_for 90 ip netns exec "$1" ping -q -c 1 -W 2 "$2"; } # HOST ADDRESS
listens() { [ -n "$(ip netns exec "$1" ss -Hltn "sport = :$2")" ]; } # HOST PORT
serve_iperf3() { # HOST [ARGUMENTS]: for one client; its pid is in IPERF3
	[ -z "${IPERF3:-}" ] || wait "$IPERF3" || true
	ip netns exec "$1" iperf3 -s -1 "${@:2}" >/dev/null &
	IPERF3=$!
	PIDS+=("$IPERF3")
	wait_for 90 listens "$1" 5201 || fail "iperf3 does not listen"
}
