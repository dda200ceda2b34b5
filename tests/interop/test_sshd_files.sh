#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What a configuration names: `warren sshd -t` looks at it, and says the same as start and reload do. An
# error is status 1 and keeps the configuration from being put in force; a warning is a sentence.
set -u
. "${WARREN_SRC:?}/tests/interop/lib_check.sh"
bin=${WARREN_BIN:?}
dir=$(mktemp -d /run/sshd_files.XXXXXX)
pid=
finish() {
	[[ -n $pid ]] && kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
	rm -rf "$dir"
}
trap finish EXIT
chmod 755 "$dir"
for key in host second ca; do ssh-keygen -q -t ed25519 -N '' -f "$dir/$key"; done
ssh-keygen -q -t ed25519 -N secret -f "$dir/locked"
ssh-keygen -q -t ecdsa -N '' -f "$dir/ecdsa"
ssh-keygen -q -t ed25519 -N '' -f "$dir/open" && chmod 644 "$dir/open"
echo "no key" >"$dir/text" && chmod 600 "$dir/text"
head -c 9000 /dev/zero | tr '\0' x >"$dir/long"

t() { # configuration on stdin: status in $status, sentences in $dir/out
	cat >"$dir/conf"
	"$bin/warren" sshd -t -f "$dir/conf" "$@" >"$dir/out" 2>&1
	status=$?
}
fails() { # NAME LINE SENTENCE: an error there, and nothing but that
	[[ $status == 1 && $(wc -l <"$dir/out") == 1 ]] && grep -qE "^warren-sshd: $dir/conf line $2: $3" "$dir/out"
	ok "$1" || cat "$dir/out"
}
warns() { # NAME LINE SENTENCE
	[[ $status == 0 && $(wc -l <"$dir/out") == 1 ]] && grep -qE "^warren-sshd: warning: $dir/conf line $2: $3" "$dir/out"
	ok "$1" || cat "$dir/out"
}
fine() {
	[[ $status == 0 && ! -s $dir/out ]]
	ok "$1" || cat "$dir/out"
}

echo "# host keys"
t <<<"HostKey $dir/host"; fine "one that is good"
t <<<"HostKey $dir/none"; fails "missing" 1 "HostKey $dir/none cannot be used: No such file or directory"
t <<<"HostKey $dir/open"; fails "others can read it" 1 "HostKey .*nobody else can read; chmod 600"
t <<<"HostKey $dir/locked"; fails "encrypted" 1 "HostKey .*it is encrypted"
t <<<"HostKey $dir/ecdsa"; fails "of another type" 1 "HostKey .*another type than Ed25519"
t <<<"HostKey $dir/text"; fails "no key" 1 "HostKey .*no private key"
t <<<"HostKey $dir"; fails "a folder" 1 "HostKey $dir cannot be used: "
t <<<$'HostKey '"$dir/ecdsa"$'\nHostKey '"$dir/host"; warns "one of two can be used" 1 "HostKey .*another type.*; another one is"
t <<<$'HostKey '"$dir/host"$'\nHostKey '"$dir/second"; warns "two that could be used" 2 "HostKey .*second has no effect"
t <<<$'HostKey '"$dir/none"$'\nHostKey\nHostKey '"$dir/host"; fine "a line that was forgotten"
t -h "$dir/host" <<<"HostKey $dir/none"; fine "-h goes before the file"
t -h "$dir/none" <<<""; [[ $status == 1 ]] && grep -q "HostKey $dir/none cannot be used" "$dir/out"; ok "-h that is missing"

echo "# keys, logs, addresses"
key="HostKey $dir/host"
t <<<"$key"$'\nTrustedUserCAKeys '"$dir/ca.pub"$'\nRevokedKeys '"$dir/second.pub"$'\nAuditLog none\nBanner /etc/issue'; fine "all there"
t <<<"$key"$'\nTrustedUserCAKeys '"$dir/none"; fails "TrustedUserCAKeys" 2 "TrustedUserCAKeys: $dir/none cannot be read: No such file"
t <<<"$key"$'\nTrustedUserCAKeys '"$dir/ecdsa.pub"; fails "TrustedUserCAKeys of another type" 2 "TrustedUserCAKeys: .*only ssh-ed25519"
t <<<"$key"$'\nRevokedKeys '"$dir/none"; fails "RevokedKeys" 2 "RevokedKeys $dir/none cannot be read"
t <<<"$key"$'\nMatch User bob\nRevokedKeys '"$dir/text"; fails "RevokedKeys of a block" 3 "RevokedKeys $dir/text: "
ssh-keygen -q -k -f "$dir/krl" "$dir/second.pub" && truncate -s -3 "$dir/krl"
t <<<"$key"$'\nRevokedKeys '"$dir/krl"; fails "a KRL that is cut off" 2 "RevokedKeys $dir/krl: .*cut off"
t <<<"$key"$'\nAuditLog '"$dir/none/log"; fails "AuditLog" 2 "AuditLog $dir/none/log cannot be made: No such file"
t <<<"$key"$'\nAuditLog '"$dir/audit"; fine "AuditLog that can be made"
[[ ! -e $dir/audit ]]; ok "and -t does not make it"
mkdir -m 777 "$dir/anybody"
t <<<"$key"$'\nAuditLog '"$dir/anybody"; fails "AuditLog that others write to" 2 "AuditLog .*nobody else may write"
t <<<"$key"$'\nListenAddress nowhere.invalid'; fails "ListenAddress" 2 "ListenAddress: nowhere.invalid is not known"
t <<<"$key"$'\nAddressFamily inet\nListenAddress ::1'; fails "ListenAddress of another family" 3 "ListenAddress: ::1 "

echo "# what users meet"
t <<<"$key"$'\nBanner '"$dir/none"; warns "Banner" 2 "Banner $dir/none cannot be shown, and logins go on without it: No such file"
t <<<"$key"$'\nMatch User bob\nBanner '"$dir/long"; warns "Banner that is too long" 3 "Banner .*8192 bytes"
t <<<"$key"$'\nForceCommand '"$dir/none -x"; warns "ForceCommand" 2 "ForceCommand $dir/none cannot be run: No such file"
t <<<"$key"$'\nForceCommand /bin/echo hello'; fine "ForceCommand that is there"
t <<<"$key"$'\nForceCommand cd /tmp && ls'; fine "ForceCommand of the shell's"
t <<<"$key"$'\nForceCommand internal-sftp'; fine "ForceCommand internal-sftp"
t <<<"$key"$'\nSubsystem logs '"$dir/text --all"; warns "Subsystem" 2 "Subsystem $dir/text cannot be run: it is no program"
t <<<"$key"$'\nSubsystem sftp /usr/lib/openssh/sftp-server'; fine "Subsystem sftp"
t <<<"$key"$'\nAuthorizedKeysFile '"$dir/keys/%u .ssh/authorized_keys"; warns "AuthorizedKeysFile" 2 "AuthorizedKeysFile .*No such file"
t <<<"$key"$'\nPidFile '"$dir/none/pid"; warns "PidFile" 2 "PidFile .*No such file"
t <<<"$key"$'\nBanner '"$dir/none"$'\nTrustedUserCAKeys '"$dir/none"$'\nRevokedKeys '"$dir/none"
[[ $status == 1 && $(wc -l <"$dir/out") == 3 && $(grep -c "warning: " "$dir/out") == 1 ]]; ok "each finding is told"
t -o PermitTTY=maybe <<<"$key"; [[ $status == 1 ]] && grep -q "^warren-sshd: -o line 1: " "$dir/out"; ok "-o"

echo "# start and reload"
common="ListenAddress 127.0.0.1:2331
HostKey $dir/host
PidFile none
AuditLog none"
printf '%s\nTrustedUserCAKeys %s\nRevokedKeys %s\n' "$common" "$dir/none" "$dir/none" >"$dir/conf"
"$bin/warren" sshd -D -f "$dir/conf" 2>"$dir/out"
[[ $? == 1 ]] && grep -q "$dir/conf line 5: TrustedUserCAKeys: .*(and 1 more: warren sshd -t)" "$dir/out"; ok "start: status 1 and the sentence"
printf '%s\nBanner %s\n' "$common" "$dir/none" >"$dir/conf"
"$bin/warren" sshd -D -f "$dir/conf" 2>"$dir/log" &
pid=$!
soon grep -q "listening on=" "$dir/log"; ok "start: a warning keeps nobody out"
soon grep -q "warn.*$dir/conf line 5: Banner" "$dir/log"; ok "and is in the log"
answers() { ssh-keyscan -T 60 -p "$1" -t ed25519 127.0.0.1 2>/dev/null | grep -q ssh-ed25519; }
soon answers 2331; ok "it answers"
{ sed s/2331/2332/ <<<"$common"; echo "RevokedKeys $dir/none"; } >"$dir/conf"
kill -HUP "$pid"
soon grep -q "what was in force stays.*$dir/conf line 5: RevokedKeys $dir/none cannot be read" "$dir/log"; ok "reload: what is wrong is told"
answers 2331 && ! answers 2332; ok "and what was in force stays"
{ sed s/2331/2332/ <<<"$common"; echo "RevokedKeys $dir/second.pub"; } >"$dir/conf"
kill -HUP "$pid"
soon answers 2332; ok "reload: mended"

summary
