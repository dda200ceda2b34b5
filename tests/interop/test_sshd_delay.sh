#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A minimum delay after failed authentication: 40 refusals on one connection, by the times of the audit
# log. Only lower bounds are compared: the answer to an attempt comes 5 ms after it at the earliest, and the
# next attempt after that answer, so from the first to the last of n are at least (n - 2) * 5 ms.
set -u
. "${WARREN_SRC:?}/tests/interop/lib_check.sh"
bin=${WARREN_BIN:?}
for tool in ssh ssh-keygen jq; do
	command -v "$tool" >/dev/null || { echo "skipped: $tool is missing"; exit 77; }
done
dir=$(mktemp -d /run/sshd_delay.XXXXXX)
pid=
finish() {
	[[ -n $pid ]] && kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
	rm -rf "$dir" 2>/dev/null || { sleep 1; rm -rf "$dir"; }
}
trap finish EXIT
chmod 755 "$dir"
count=40
ssh-keygen -q -t ed25519 -N '' -f "$dir/host"
offer=()
for ((i = 0; i < count; i++)); do
	ssh-keygen -q -t ed25519 -N '' -f "$dir/key$i"
	offer+=(-i "$dir/key$i")
done
cat >"$dir/conf" <<-EOF
	ListenAddress 127.0.0.1:2341
	HostKey $dir/host
	AuthorizedKeysFile $dir/none/%u
	PidFile none
	AuditLog $dir/audit
	MaxAuthTries 100
	KbdInteractiveAuthentication no
EOF
"$bin/warren" sshd -D -f "$dir/conf" 2>"$dir/log" &
pid=$!
soon grep -q "listening on=" "$dir/log" || cat "$dir/log"

once() { # LOGIN NUMBER: its refusals, in milliseconds and in their order, into times, by its connection of that number
	local log=$dir/audit/audit.jsonl id
	timeout 90 ssh -F none -p 2341 -o IdentitiesOnly=yes -o IdentityAgent=none -o BatchMode=yes -o StrictHostKeyChecking=no \
		-o UserKnownHostsFile="$dir/known" -o LogLevel=ERROR "${offer[@]}" "$1@127.0.0.1" true 2>/dev/null
	[[ $? == 255 ]]; ok "$1: refused"
	ended() { (($(jq -s --arg login "$1" '[.[] | select(.event == "ssh.end" and .login == $login)] | length' "$log" 2>/dev/null) >= $2)); }
	soon ended "$1" "$2"; ok "$1: the log has its end"
	id=$(jq -s --arg login "$1" 'map(select(.event == "ssh.end" and .login == $login))[-1].connection' "$log")
	mapfile -t times < <(jq -r --argjson id "${id:-0}" 'select(.event == "ssh.login.refused" and .connection == $id) | .time
		| capture("^(?<s>.*)\\.(?<ms>[0-9]{3})Z$") | (.s + "Z" | fromdate) * 1000 + (.ms | tonumber)' "$log")
	is "$1: refusals" $count ${#times[@]}
}
refused() { # LOGIN
	local times number least=$(((count - 2) * 5))
	for number in 1 2 3 4 5; do # another process writes the log: where that is late with the first, the rest is too short
		once "$1" $number
		((${times[-1]:-0} - ${times[0]:-0} >= least - 1)) && break
	done
	((${times[-1]:-0} - ${times[0]:-0} >= least - 1)); ok "$1: at least $least ms ($((${times[-1]:-0} - ${times[0]:-0})))"
}
refused root
refused nobody-of-this-name # what is not there takes no less

summary
