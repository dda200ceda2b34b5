#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Clients that mean harm: floods of each kind from one that never reads its answers, windows that are ignored or
# never opened, keys changed all the time, packets of one byte, key exchanges at a byte a time. Each costs the
# processes of its own connection a bounded amount of memory, and others log in meanwhile.
set -u
. "${WARREN_SRC:?}/tests/interop/lib_check.sh"
bin=${WARREN_BIN:?} src=${WARREN_SRC:?}
/usr/bin/python3 -c 'import paramiko' 2>/dev/null || { echo "skipped: python3-paramiko is missing"; exit 77; }
dir=$(mktemp -d /run/sshd_hostile.XXXXXX)
chmod 755 "$dir"
pid= attacker=
finish() {
	[[ -n $attacker ]] && kill -KILL "$attacker" 2>/dev/null
	[[ -n $pid ]] && kill "$pid" 2>/dev/null
	rm -rf "$dir"
}
trap finish EXIT
# What the kernel holds of a connection that is not read is no part of this.
echo 4096 16384 32768 >/proc/sys/net/ipv4/tcp_wmem
echo 4096 16384 32768 >/proc/sys/net/ipv4/tcp_rmem
ssh-keygen -q -t ed25519 -N '' -f "$dir/host"
ssh-keygen -q -t ed25519 -N '' -f "$dir/id"
mkdir "$dir/keys" && cp "$dir/id.pub" "$dir/keys/root"
cat >"$dir/conf" <<-EOF
	ListenAddress 127.0.0.1:2301
	HostKey $dir/host
	AuthorizedKeysFile $dir/keys/%u
	PidFile none
	MaxSessions 100
	MaxStartups 200
	LoginGraceTime 30
	UsePAM no
EOF
"$bin/warren" sshd -D -f "$dir/conf" 2>"$dir/log" &
pid=$!
soon grep -q "listening on=" "$dir/log"
login() {
	timeout 90 ssh -F none -p 2301 -i "$dir/id" -o StrictHostKeyChecking=no -o UserKnownHostsFile="$dir/known" \
		-o LogLevel=ERROR root@127.0.0.1 echo in
}
# The most that one of the server's processes had, in KiB; 8 MiB of it are programs and libraries.
largest() {
	local most=0 p kib
	for p in $(pgrep -f 'warren-ssh-(session|worker)'); do
		kib=$(awk '/^VmHWM/ {print $2}' "/proc/$p/status" 2>/dev/null)
		((${kib:-0} > most)) && most=$kib
	done
	echo "$most"
}
# Hundredths of a second that the server's processes computed.
ticks() {
	local sum=0 p n
	for p in $(pgrep -f 'warren-ssh-(session|worker)'); do
		n=$(awk '{print $14 + $15}' "/proc/$p/stat" 2>/dev/null)
		sum=$((sum + ${n:-0}))
	done
	echo "$sum"
}
idle() { # for a second
	local before
	before=$(ticks)
	sleep 1
	(($(ticks) - before < 10))
}
quiet() { ! pgrep -f 'warren-ssh-(session|worker)' >/dev/null; }
attack() { # NAME MOST-KIB [EXPECTED-LINE]
	local kib
	mkfifo "$dir/hold"
	/usr/bin/python3 "$src/tests/support/hostile_client.py" 127.0.0.1 2301 "$dir/id" "$1" <"$dir/hold" \
		>"$dir/out" 2>"$dir/err" &
	attacker=$!
	exec 7>"$dir/hold"
	soon grep -q ready "$dir/out" || soon grep -q ready "$dir/out" || cat "$dir/err"
	grep -q ready "$dir/out"
	ok "$1: $(grep -E '^(sent|stopped|over|counted|echoed)' "$dir/out" | paste -sd' ')"
	kib=$(largest)
	((kib <= $2)) && { ((kib > 0)) || grep -qE '^(over|answered)' "$dir/out"; }
	ok "$1: $kib KiB at most"
	if [[ ${3:-} == stopped* ]]; then
		soon idle # what it had taken before may be worked on for a while
		ok "$1: and it waits without computing"
	fi
	[[ $(login) == in ]]
	ok "$1: others log in"
	[[ -z ${3:-} ]] || { soon grep -q "$3" "$dir/out"; ok "$1: $3"; }
	exec 7>&-
	rm "$dir/hold"
	wait "$attacker" 2>/dev/null
	attacker=
	soon quiet
	ok "$1: nothing is left"
}
for a in unknown_before_login services_before_login global_requests listens opens channel_requests; do
	attack $a 24000 "stopped reading"
done
attack ignores 16000 "sent 20000"
attack window_changes 24000 "sent 20000"
attack one_byte_packets 24000 "counted 20000"
attack rekeys 24000 "echoed still there"
attack ignores_window 48000 ^over
attack never_reads 48000
attack never_opens_windows 48000
attack garbage_keys 16000 "answered all"
attack slow_loris 16000 "left 0"
kill -0 "$pid"; ok "the listener lives"
summary
