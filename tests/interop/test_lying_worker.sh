#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A worker that lies (tests/support/lying_worker.c) in `warren sshd` alone: each lie ends that connection, and
# only that, and the audit log names it. Whatever a client asks for of the same kind is only refused.
set -u
bin=${WARREN_BIN:?} src=${WARREN_SRC:?}
for tool in ssh ssh-keygen jq; do
	command -v "$tool" >/dev/null || { echo "skipped: $tool is missing"; exit 77; }
done
dir=$(mktemp -d /run/lying_worker.XXXXXX) # StrictModes: no folder above may be anybody's
chmod 755 "$dir"
failed=0 passed=0 pid=
finish() {
	[[ -n $pid ]] && kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
	umount /etc/passwd 2>/dev/null
	[[ -z ${KEEP:-} ]] && { rm -rf "$dir" 2>/dev/null || { sleep 1; rm -rf "$dir"; }; } # what kept the log may still write
}
trap finish EXIT
ok() { # NAME: the command before it decides
	local rc=$?
	if ((rc == 0)); then passed=$((passed + 1)) && echo "ok   $1"; else failed=$((failed + 1)) && echo "FAIL $1"; fi
}
is() { # NAME EXPECTED GOT
	[[ $2 == "$3" ]]
	ok "$1"
	[[ $2 == "$3" ]] || printf '  expected %q\n  got      %q\n' "$2" "$3"
}
soon() { # COMMAND…: true within a time that is long enough for a busy machine
	local end=$((SECONDS + 60))
	until "$@"; do
		((SECONDS < end)) || return 1
		sleep 0.1
	done
}

mkdir "$dir/bin" "$dir/keys" "$dir/lies"
for program in warren warren-sshd warren-ssh-session; do cp "$bin/$program" "$dir/bin"; done
cp "$bin/warren-ssh-worker" "$dir/bin/warren-ssh-worker.real"
sanitize=$(sed -n 's/^WARREN_SANITIZE:STRING=//p' "$bin/../CMakeCache.txt")
"${CC:-cc}" ${sanitize:+-fsanitize=$sanitize} -std=gnu17 -D_GNU_SOURCE -DLIES_DIR="\"$dir/lies\"" -I"$src" -O1 -w -o "$dir/bin/warren-ssh-worker" \
	"$src/tests/support/lying_worker.c" "$bin/../platform/libwarren_platform.a" -lsodium -lcrypto -ljansson || exit 1
# The shells of the sessions: nobody's .bashrc.
mkdir "$dir/home"
sed -E "s#^(root:([^:]*:){4})[^:]*#\\1$dir/home#" /etc/passwd >"$dir/passwd" && mount --bind "$dir/passwd" /etc/passwd
for key in host id; do ssh-keygen -q -t ed25519 -N '' -f "$dir/$key"; done
cp "$dir/id.pub" "$dir/keys/root"
cat >"$dir/conf" <<-X
	ListenAddress 127.0.0.1:2331
	HostKey $dir/host
	AuthorizedKeysFile $dir/keys/%u
	PidFile none
	AuditLog $dir/audit
	PermitOpen 127.0.0.1:7070
	PermitListen 127.0.0.1:7071
	AllowAgentForwarding no
X
cat >"$dir/ssh" <<-X
	Host t
	  HostName 127.0.0.1
	  Port 2331
	  User root
	  IdentityFile $dir/id
	  IdentitiesOnly yes
	  IdentityAgent none
	  StrictHostKeyChecking no
	  UserKnownHostsFile $dir/known
	  LogLevel ERROR
X
s() { timeout 90 ssh -F "$dir/ssh" "$@"; }
"$dir/bin/warren" sshd -D -f "$dir/conf" 2>"$dir/log" &
pid=$!
soon grep -q "listening on=" "$dir/log" || { cat "$dir/log"; exit 1; }
out=$(s t id -un 2>&1); is "an honest worker" root "$out"
count() { jq -nR "[inputs | fromjson? | select($1)] | length" "$dir/audit/audit.jsonl"; } # the last line may be half there
has() { (($(count "$1") >= ${2:-1})); }

echo "# what a client may ask for is only refused"
s -M -S "$dir/mux" -fN t; ok "a connection"
out=$(s -o LogLevel=INFO -W 127.0.0.1:1 t </dev/null 2>&1); [[ $? != 0 && $out == *"administratively prohibited"* ]]; ok "-L that is denied: said so"
s -S "$dir/mux" -O forward -R 7072:127.0.0.1:1 t 2>/dev/null; [[ $? != 0 ]]; ok "-R that is denied"
is "-A that is denied" "" "$(timeout 90 ssh -F "$dir/ssh" -A -o IdentityAgent="$dir/none" t 'echo $SSH_AUTH_SOCK')"
long=$(head -c 300 /dev/zero | tr '\0' h)
s -S "$dir/mux" -W "$long:22" t </dev/null >/dev/null 2>&1; [[ $? != 0 ]]; ok "a name that is too long"
is "the connection goes on" on "$(s -S "$dir/mux" t echo on)"
soon has '.event == "ssh.forward.refused" and .to == "127.0.0.1:1"'; ok "audit: a refused forward"
is "no violation" 0 "$(count '.event == "ssh.violation"')"

echo "# lies"
coproc CAT { timeout 900 ssh -F "$dir/ssh" t cat; }
cat=$CAT_PID
alive() { # the other connections: one from before, and a new one
	local line
	echo "$1" >&"${CAT[1]}"
	read -r -t 60 line <&"${CAT[0]}"
	[[ $line == "$1" && $(s -S "$dir/mux" t echo "$1") == "$1" && $(s t echo "$1") == "$1" ]]
}
alive before; ok "connections before the lies" # or one that is late would take the first with it
lie() { # NAME CODE
	rm -f "$dir/lies/"*
	local violations
	violations=$(count '.event == "ssh.violation" and .code == "'$2'"')
	echo "$1" >"$dir/lies/LIE"
	s t 'sleep 600; echo the end' >"$dir/out" 2>/dev/null
	[[ $? == 255 && ! -s $dir/out ]]; ok "$1: the connection is ended"
	[[ -e $dir/lies/told && ! -e $dir/lies/ran ]] && ! grep -q 'answer 0 to 8' "$dir/lies/said" 2>/dev/null
	ok "$1: nothing comes of it"
	soon has '.event == "ssh.violation" and .code == "'$2'"' $((violations + 1)); ok "$1: audit: $2"
	number=$(jq -nR '[inputs | fromjson? | select(.event == "ssh.violation")][-1].connection' "$dir/audit/audit.jsonl")
	soon has '.event == "ssh.end" and .connection == '"$number"' and .reason == "protocol violation"'; ok "$1: audit: the end"
	alive "$1"; ok "$1: others go on"
}
lie session-before-key-exchange before-login
lie session-before-login before-login
lie forward-before-login before-login
lie other-login another-login
lie hello-twice twice
lie user-twice twice
lie limits-twice twice
lie login-twice login-twice
lie channel-twice channel-twice
lie session-after-no-more no-more-sessions
lie no-more-twice twice
lie connect-denied forward-denied
lie connect-after-no forward-denied
lie connect-twice forward-denied
lie listen-denied forward-denied
lie agent-denied forward-denied
lie unknown unknown-request
lie cut-off malformed
lie left-over malformed
lie descriptor descriptor
lie not-reading not-reading

echo "# no lie: a worker that stands still for some seconds, with the monitor's answers unread"
rm -f "$dir/lies/"*
echo reads-late >"$dir/lies/LIE"
is "it goes on" "still here" "$(s t echo still here)"
grep -q late "$dir/lies/said"; ok "  and was late"
is "  and did not lie" 1 "$(count '.event == "ssh.violation" and .code == "not-reading"')"
soon has '.event == "ssh.session.end" and (.code == "connection-over" or .signal == "HUP")'; ok "what a lying worker had started has an end"
soon eval "! pgrep -f 'sleep 600; echo the end' >/dev/null"; ok "and is gone"
s -S "$dir/mux" -O exit t 2>/dev/null
eval "exec ${CAT[1]}>&-"
wait "$cat" 2>/dev/null

echo "# the log"
soon eval '"$dir/bin/warren" audit verify --dir "$dir/audit" >"$dir/out" 2>&1'; ok "the chain holds"
cat "$dir/out"
kill "$pid"; wait "$pid"; pid=
soon "$dir/bin/warren" audit verify --dir "$dir/audit" >/dev/null; ok "after the end, too"
soon has '.event == "audit.stop"'; ok "which is in it"
echo "$passed passed, $failed failed"
((failed == 0))
