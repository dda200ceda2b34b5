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

refused() { # LOGIN
	local times log=$dir/audit/audit.jsonl
	timeout 60 ssh -F none -p 2341 -o IdentitiesOnly=yes -o IdentityAgent=none -o BatchMode=yes -o StrictHostKeyChecking=no \
		-o UserKnownHostsFile="$dir/known" -o LogLevel=ERROR "${offer[@]}" "$1@127.0.0.1" true 2>/dev/null
	[[ $? == 255 ]]; ok "$1: refused"
	ended() { jq -se --arg login "$1" 'any(.event == "ssh.end" and .login == $login)' "$log" >/dev/null; }
	soon ended "$1"; ok "$1: the log has its end"
	# Milliseconds of each refusal, in their order.
	mapfile -t times < <(jq -r --arg login "$1" 'select(.event == "ssh.login.refused" and .login == $login) | .time
		| capture("^(?<s>.*)\\.(?<ms>[0-9]{3})Z$") | (.s + "Z" | fromdate) * 1000 + (.ms | tonumber)' "$log")
	is "$1: refusals" $count ${#times[@]}
	((${times[-1]:-0} - ${times[0]:-0} >= (count - 2) * 5 - 1)); ok "$1: at least $(((count - 2) * 5)) ms ($((${times[-1]:-0} - ${times[0]:-0})))"
}
refused root
refused nobody-of-this-name # what is not there takes no less

summary
