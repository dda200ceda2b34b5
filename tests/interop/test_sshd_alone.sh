#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# `warren sshd` without a mesh, with stock ssh as the client: ways to listen and to start, logins by
# authorized_keys and TrustedUserCAKeys, each limit of sshd_config(5) seen working, a broken file.
set -u
. "${WARREN_SRC:?}/tests/interop/lib_check.sh"
bin=${WARREN_BIN:?}
for tool in ssh ssh-keygen python3 socat jq; do
	command -v "$tool" >/dev/null || { echo "skipped: $tool is missing"; exit 77; }
done
dir=$(mktemp -d /run/sshd_alone.XXXXXX) # StrictModes: no folder above may be anybody's
chmod 755 "$dir"
pid=
finish() {
	[[ -n $pid ]] && kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
	[[ -n ${frozen:-} ]] && kill -KILL "$frozen" 2>/dev/null
	umount /etc/passwd 2>/dev/null
	rm -rf "$dir" 2>/dev/null || { sleep 1; rm -rf "$dir"; } # what kept the log may still write
}
trap finish EXIT

# The shells of the sessions: nobody's .bashrc.
mkdir "$dir/home"
sed -E "s#^(root:([^:]*:){4})[^:]*#\\1$dir/home#" /etc/passwd >"$dir/passwd" && mount --bind "$dir/passwd" /etc/passwd
for key in host id ca; do ssh-keygen -q -t ed25519 -N '' -f "$dir/$key"; done
cp "$dir/id" "$dir/cert" && cp "$dir/id.pub" "$dir/cert.pub"
ssh-keygen -q -s "$dir/ca" -I someone -n root -V +1h "$dir/cert.pub"
mkdir "$dir/keys" && cp "$dir/id.pub" "$dir/keys/root"
cat >"$dir/ssh" <<-EOF
	Host *
	  User root
	  IdentityFile $dir/id
	  IdentitiesOnly yes
	  StrictHostKeyChecking no
	  UserKnownHostsFile $dir/known
	  LogLevel ERROR
	Host t
	  HostName 127.0.0.1
	  Port 2301
	  HostKeyAlias t
EOF
s() { timeout 90 ssh -F "$dir/ssh" "$@"; }
common="HostKey $dir/host
AuthorizedKeysFile $dir/keys/%u
TrustedUserCAKeys $dir/ca.pub
PidFile $dir/pid
AuditLog $dir/audit"
start() { # configuration on stdin
	[[ -n $pid ]] && kill "$pid" && wait "$pid" 2>/dev/null
	{ echo "$common"; cat; } >"$dir/conf"
	grep -q '^ListenAddress' "$dir/conf" || sed -i '1i ListenAddress 127.0.0.1:2301' "$dir/conf"
	: >"$dir/log" # the old server's word about its listener is not this one's
	"$bin/warren" sshd -D -f "$dir/conf" 2>"$dir/log" &
	pid=$!
	soon grep -q "listening on=" "$dir/log" || { echo "the server does not start"; cat "$dir/log"; }
}
logged() { grep -q -- "$1" "$dir/log"; }
listening() { [[ -n $(ss -Hltn "sport = $1") ]]; }

# journald's place.
mkdir -p /run/systemd/journal && mount -t tmpfs t /run/systemd/journal
python3 -c 'import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind("/run/systemd/journal/socket")
with open(sys.argv[1], "ab", 0) as f:
    while True:
        f.write(s.recv(200000) + b"\n")' "$dir/journal" &
catcher=$!
soon test -S /run/systemd/journal/socket

echo "# listening"
start <<-EOF
	Port 2301
	Port 2302
	ListenAddress 127.0.0.1
	ListenAddress [::1]:2303
	ListenAddress 192.0.2.77:2304
	FreeBind yes
EOF
is "first port" root "$(s t id -un)"
is "second port" root "$(s -p 2302 t id -un)"
is "IPv6" root "$(s -p 2303 ::1 id -un)"
logged "192.0.2.77:2304"; ok "FreeBind: an address that is not there yet"
is "SSH_CONNECTION" "127.0.0.1 2301" "$(s t 'echo ${SSH_CONNECTION#* * }')"
mv "$dir/keys/root" "$dir/keys/gone"
s t true 2>/dev/null; [[ $? == 255 ]]; ok "no key, no login"
is "certificate" root "$(s -i "$dir/cert" -o "CertificateFile=$dir/cert-cert.pub" t id -un)"
soon grep -q 'MESSAGE={"seq":.*"event":"ssh.session",.*"login":"root".*"command":"id -un"' "$dir/journal"; ok "audit events in the journal"
kill "$catcher"
cp "$dir/cert-cert.pub" "$dir/right" && ssh-keygen -q -s "$dir/id" -I forged -n root -V +1h "$dir/cert.pub"
s -i "$dir/cert" -o "CertificateFile=$dir/cert-cert.pub" t true 2>/dev/null; [[ $? == 255 ]]; ok "another authority"
mv "$dir/right" "$dir/cert-cert.pub" && mv "$dir/keys/gone" "$dir/keys/root"
is "pid file" "$pid" "$(cat "$dir/pid")"
(($(cat "/proc/$pid/oom_score_adj") == -1000)) || ! (echo -1000 >/proc/self/oom_score_adj) 2>/dev/null
ok "the listener is not killed for memory"
is "its sessions may be" 0 "$(s t 'cat /proc/self/oom_score_adj')"

echo "# ways to start"
is "inetd" inetd "$(s -o ProxyCommand="$bin/warren sshd -i -f $dir/conf" x echo inetd)"
socat TCP-LISTEN:2310,reuseaddr,bind=127.0.0.1 EXEC:"$bin/warren sshd -i -f $dir/conf",nofork 2>/dev/null &
soon listening 2310
is "inetd on a socket" "127.0.0.1 2310" "$(s -p 2310 t 'echo ${SSH_CONNECTION#* * }')"
cat >"$dir/activate.py" <<-'EOF'
	import os, socket, sys
	socks = []
	for name, port in (("other", 2311), ("warren-sshd", 2312)):
	    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
	    s.bind(("127.0.0.1", port)); s.listen(8); socks.append((name, s))
	fds = [os.dup(s.fileno()) for _, s in socks]; high = [os.dup2(f, 50 + i) for i, f in enumerate(fds)]
	for i, f in enumerate(high): os.dup2(f, 3 + i)
	for i in (3, 4): os.set_inheritable(i, True)
	os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2", LISTEN_FDNAMES="other:warren-sshd")
	os.execv(sys.argv[1], sys.argv[1:])
EOF
python3 "$dir/activate.py" "$bin/warren-sshd" -D -f "$dir/conf" -o PidFile=none 2>"$dir/activated" &
activated=$!
soon grep -q "listening on=127.0.0.1:2312" "$dir/activated"; ok "activated by name"
is "on the handed socket" root "$(s -p 2312 t id -un)"
grep -q "another name.*name=other" "$dir/activated" && ! grep -q "on=127.0.0.1:2311" "$dir/activated"; ok "other sockets are left alone"
kill "$activated" && wait "$activated"; ok "SIGTERM ends it in order"
"$bin/warren" sshd -f "$dir/conf" -o ListenAddress=127.0.0.1:2313 -o "PidFile=$dir/background" </dev/null >/dev/null 2>&1
is "background: exit status" 0 $?
soon test -s "$dir/background"; ok "background: pid file"
is "background: login" root "$(s -p 2313 t id -un)"
kill "$(cat "$dir/background")"
soon test ! -e "$dir/background"; ok "background: ends"
"$bin/warren" sshd -D -f "$dir/conf" -o ListenAddress=127.0.0.1:2301 2>"$dir/out"; [[ $? == 1 ]] && grep -q "cannot listen on 127.0.0.1:2301: Address already in use" "$dir/out"
ok "taken port: a sentence and status 1"

echo "# reload"
is "before" 6 "$("$bin/warren" sshd -T -f "$dir/conf" | awk '/^maxauthtries/ {print $2}')"
cp "$dir/conf" "$dir/good"
echo "X11Forwarding yes" >>"$dir/conf"
is "a broken file: logins go on" root "$(s t id -un)"
soon logged "line .*: X11Forwarding yes: X11 forwarding is not offered.*"; ok "a broken file: said with its line"
{ cat "$dir/good"; echo "SetEnv FRESH=1"; } >"$dir/conf"
is "a good one is in force with the next connection" 1 "$(s t 'echo $FRESH')"
sed -i 's/^ListenAddress 127.0.0.1$/ListenAddress 127.0.0.1:2320/' "$dir/conf"
kill -HUP "$pid"
soon logged "listening on=127.0.0.1:2320"; ok "SIGHUP: new addresses"
is "login there" root "$(s -p 2320 t id -un)"
socat TCP-LISTEN:2321,reuseaddr,bind=127.0.0.1 /dev/null & taken=$!
soon listening 2321
cp "$dir/conf" "$dir/good"
{ grep -v '^ListenAddress' "$dir/good"; echo "ListenAddress 127.0.0.1:2321"; } >"$dir/conf"
kill -HUP "$pid"
soon logged "the old ones stay.*127.0.0.1:2321: Address already in use"; ok "no new address can be had: said"
is "and the old ones stay" root "$(s -p 2320 t id -un)"
kill "$taken"; wait "$taken" 2>/dev/null
{ grep -v '^ListenAddress' "$dir/good"; echo "ListenAddress 0.0.0.0:2320"; } >"$dir/conf"
kill -HUP "$pid"
soon logged "listening on=0.0.0.0:2320"; ok "an old address gives way to a new one that covers it"
is "login there, too" root "$(s -p 2320 t id -un)"
start <<-EOF
	Include $dir/more/*.inc
EOF
mkdir "$dir/more"
is "nothing is included yet" "" "$(s t 'echo $MORE')"
echo "SetEnv MORE=1" >"$dir/more/10.inc"
is "a file that appears" 1 "$(s t 'echo $MORE')"
echo "SetEnv MORE=2" >"$dir/more/10.inc"
is "a file that changes" 2 "$(s t 'echo $MORE')"
echo "SetEnv MORE" >"$dir/more/10.inc"
is "a file that breaks" 2 "$(s t 'echo $MORE')"
soon logged "$dir/more/10.inc line 1: SetEnv"; ok "is named with its line"
is "and once" 1 "$(s t true; s t true; grep -c "10.inc line 1" "$dir/log")"
echo "SetEnv MORE=3" >"$dir/more/10.inc"
is "a file that is mended" 3 "$(s t 'echo $MORE')"
rm "$dir/more/10.inc"
is "a file that goes" "" "$(s t 'echo $MORE')"
ulimit -Sn 600
start <<<"UsePAM no" # which may set limits
is "the listener takes as many descriptors as it may" "$(ulimit -Hn)" "$(awk '/open files/ {print $4}' "/proc/$pid/limits")"
is "sessions have as many as it started with" 600 "$(s t 'ulimit -Sn')"

echo "# limits"
start <<<"LoginGraceTime 2"
begin=$SECONDS
exec 5<>/dev/tcp/127.0.0.1/2301
timeout 90 cat <&5 >/dev/null && ((SECONDS - begin >= 1)); ok "LoginGraceTime: a silent client is cut off"
exec 5>&-
start <<<"MaxAuthTries 2"
for i in 1 2 3 4; do ssh-keygen -q -t ed25519 -N '' -f "$dir/wrong$i"; done
out=$(s -o IdentitiesOnly=yes -o IdentityFile=none -i "$dir/wrong1" -i "$dir/wrong2" -i "$dir/wrong3" -i "$dir/id" t true 2>&1)
[[ $? == 255 && $out == *"Too many authentication failures"* ]]; ok "MaxAuthTries"
start <<<"MaxSessions 2"
s -M -S "$dir/mux" -fN t; ok "a master"
s -S "$dir/mux" t "touch $dir/in1; sleep 300" & one=$!
s -S "$dir/mux" t "touch $dir/in2; sleep 300" & two=$!
soon test -e "$dir/in1" && soon test -e "$dir/in2"
out=$(s -S "$dir/mux" t true 2>&1); [[ $? != 0 ]] || [[ $out == *refused* ]]; ok "MaxSessions: the third session is refused"
s -S "$dir/mux" -O exit t 2>/dev/null
kill "$one" "$two" 2>/dev/null; wait "$one" "$two" 2>/dev/null
start <<-EOF
	ClientAliveInterval 1
	ClientAliveCountMax 7
EOF
ssh -F "$dir/ssh" t "touch $dir/runs; sleep 300" </dev/null & frozen=$!
soon test -e "$dir/runs"; ok "a client"
sleep 9
! logged "connection over"; ok "ClientAlive: one that answers stays"
kill -STOP "$frozen"
soon logged "ssh connection over"; ok "ClientAlive: a frozen one is ended"
kill -KILL "$frozen"; wait "$frozen" 2>/dev/null; frozen=
start <<<"ChannelTimeout session:command=7 session:shell=none"
is "ChannelTimeout: an idle command is closed" "" "$(s t 'sleep 80; echo late' </dev/null 2>/dev/null)"
is "ChannelTimeout: one that speaks goes on" 18 "$(s t 'for i in {1..18}; do sleep 0.5; echo $i; done' | wc -l)"
start <<<"UnusedConnectionTimeout 5"
s -N t 2>/dev/null; is "UnusedConnectionTimeout" 255 $?
is "UnusedConnectionTimeout: one in use stays" done "$(s t 'sleep 7; echo done')"
start <<<"MaxSessions 0"
socat TCP-LISTEN:2399,reuseaddr,fork,bind=127.0.0.1 EXEC:cat 2>/dev/null & there=$!
soon listening 2399
s t true 2>/dev/null; [[ $? == 255 ]]; ok "MaxSessions 0: no session"
is "MaxSessions 0: forwards" through "$(echo through | s -W 127.0.0.1:2399 t)"
start <<<"ChannelTimeout direct-tcpip=5 forwarded-tcpip=6"
s -fN -M -S "$dir/mux" -o ExitOnForwardFailure=yes -L 2398:127.0.0.1:2399 -R 2397:127.0.0.1:2399 t
for forward in 2398 2397; do
	exec 5<>/dev/tcp/127.0.0.1/$forward
	echo x >&5
	timeout 90 cat <&5 >"$dir/out"; is "ChannelTimeout: $forward is closed when idle" 0 $?
	exec 5>&-
	is "ChannelTimeout: $forward carries" x "$(cat "$dir/out")"
done
is "ChannelTimeout: a command of the same connection is not" done "$(s -S "$dir/mux" t 'sleep 8; echo done')"
s -S "$dir/mux" -O exit t 2>/dev/null
start <<<"AllowTcpForwarding local"
is "AllowTcpForwarding local: -W" through "$(echo through | s -W 127.0.0.1:2399 t)"
s -R 2397:127.0.0.1:2399 -N -o ExitOnForwardFailure=yes t 2>/dev/null; [[ $? == 255 ]]; ok "AllowTcpForwarding local: no -R"
start <<<"AllowTcpForwarding remote
GatewayPorts yes"
s -W 127.0.0.1:2399 t </dev/null >/dev/null 2>&1; [[ $? != 0 ]]; ok "AllowTcpForwarding remote: no -W"
s -fN -M -S "$dir/mux" -o ExitOnForwardFailure=yes -R 127.0.0.1:2397:127.0.0.1:2399 t; ok "AllowTcpForwarding remote: -R"
is "GatewayPorts yes: everywhere, whatever was asked for" "0.0.0.0:2397" "$(ss -Hltn4 'sport = 2397' | awk '{print $4}')"
s -S "$dir/mux" -O exit t 2>/dev/null
kill "$there"; wait "$there" 2>/dev/null
start <<<"RekeyLimit 1M"
head -c 5000000 /dev/urandom >"$dir/data"
s -v -o LogLevel=DEBUG1 t "cat $dir/data" 2>"$dir/verbose" | cmp - "$dir/data"; ok "RekeyLimit: every byte arrives"
(($(grep -c "SSH2_MSG_KEXINIT received" "$dir/verbose") >= 3)); ok "RekeyLimit: keys are changed on the way"
start <<<"RekeyLimit default 1"
s -v -o LogLevel=DEBUG1 t 'for i in 1 2 3 4 5 6; do sleep 0.7; echo $i; done' >"$dir/out" 2>"$dir/verbose"
is "RekeyLimit by time: what was said" "1 2 3 4 5 6" "$(paste -sd' ' "$dir/out")"
(($(grep -c "SSH2_MSG_KEXINIT received" "$dir/verbose") >= 3)); ok "RekeyLimit by time: keys are changed"
# Clients that have exchanged keys and wait for a person, for the passphrase of a key.
ssh-keygen -q -t ed25519 -N secret -f "$dir/locked"
cat "$dir/locked.pub" >>"$dir/keys/root"
printf '#!/bin/sh\necho >>%s\nexec sleep 600\n' "$dir/asked" >"$dir/askpass" && chmod 755 "$dir/askpass"
hold() { # COUNT
	: >"$dir/asked"
	for _ in $(seq "$1"); do
		SSH_ASKPASS=$dir/askpass SSH_ASKPASS_REQUIRE=force setsid ssh -F "$dir/ssh.locked" t true \
			</dev/null >/dev/null 2>&1 &
		held+=($!)
	done
	soon eval '(($(wc -l <"$dir/asked") >= '"$1"'))'
}
release() {
	pkill -P "$(IFS=,; echo "${held[*]}")" 2>/dev/null # the askpass
	kill "${held[@]}" 2>/dev/null
	wait "${held[@]}" 2>/dev/null
	held=()
}
held=()
sed "s#IdentityFile .*#IdentityFile $dir/locked#" "$dir/ssh" >"$dir/ssh.locked"
start <<<"MaxStartups 3:100:3"
hold 3; ok "three clients wait for their users"
sleep 2.2
s t true 2>"$dir/out"; [[ $? == 255 ]] && soon logged "Exceeded MaxStartups"; ok "MaxStartups"
release
start <<<"PerSourceMaxStartups 2"
hold 2
s t true 2>/dev/null; [[ $? == 255 ]]; ok "PerSourceMaxStartups"
soon logged "unfinished logins from your address"; ok "PerSourceMaxStartups: said"
is "PerSourceMaxStartups: another source gets in" root "$(s -b 127.0.0.2 t id -un)"
release
soon eval '! pgrep -P "$pid" -f warren-ssh-session >/dev/null' # their places are free
exec 5<>/dev/tcp/127.0.0.1/2301 6<>/dev/tcp/127.0.0.1/2301
sleep 2.5
is "who sends nothing makes room" "root root" "$(s t id -un) $(s t id -un)"
timeout 90 cat <&5 >/dev/null; ok "and is hung up on"
soon logged "another took the place"; ok "which is said"
exec 5>&- 6>&-
start <<<"MaxStartups 200:30:400
PerSourceMaxStartups 20"
python3 - "$bin" "$dir" <<-'EOF' &
	import socket, sys, time
	held = []
	for i in range(300):
	    s = socket.socket(); s.bind(("127.0.1.%d" % (i % 6 + 1), 0))
	    try: s.connect(("127.0.0.1", 2301))
	    except OSError: continue
	    held.append(s)
	    if i % 3 == 0: s.sendall(b"GET / HTTP/1.0\r\n\r\n")
	open(sys.argv[2] + "/scanned", "w")
	time.sleep(600)
EOF
scanner=$!
soon test -e "$dir/scanned"
sleep 3
enters() { [[ $(s -b "$1" t id -un 2>/dev/null) == root ]]; } # its connections make room when they are two seconds old
is "300 half-open connections: logins work" root "$(s t id -un)"
soon enters 127.0.1.1 && soon enters 127.0.1.2; ok "also from where they come"
kill "$scanner"; wait "$scanner" 2>/dev/null
kill -0 "$pid"; ok "and the server lives"

echo "# what sessions may"
start <<-EOF
	Banner $dir/banner
	AcceptEnv
	AcceptEnv ONLY_*
	SetEnv SET=1
	PermitOpen 127.0.0.1:2399
	PermitListen 2398
	GatewayPorts clientspecified
	Subsystem echo /bin/cat
	Match User root LocalPort 2301
	  PermitTTY no
	  AllowAgentForwarding no
EOF
echo "a banner" >"$dir/banner"
is "Banner" "a banner" "$(s -o LogLevel=INFO t true 2>&1 >/dev/null | tr -d '\r')"
is "AcceptEnv, SetEnv" "yes--1" "$(ONLY_THIS=yes LC_ALL=C s -o SendEnv=ONLY_THIS -o SendEnv=LC_ALL t 'echo $ONLY_THIS-$LC_ALL-$SET')"
[[ $(s -tt t tty </dev/null 2>&1) == *"not allowed"* || $(s -tt t tty </dev/null 2>&1) == *"failed"* ]]; ok "PermitTTY"
is "Subsystem" hello "$(echo hello | s -s t echo)"
socat TCP-LISTEN:2399,reuseaddr,fork,bind=127.0.0.1 SYSTEM:'echo open' 2>/dev/null & there=$!
soon listening 2399
is "PermitOpen" open "$(s -W 127.0.0.1:2399 t </dev/null)"
s -W 127.0.0.1:2301 t </dev/null >/dev/null 2>&1; [[ $? != 0 ]]; ok "PermitOpen: no other"
s -R 0.0.0.0:2398:127.0.0.1:2399 -fN -o ExitOnForwardFailure=yes t; ok "PermitListen"
is "GatewayPorts: on the address that was asked for" "0.0.0.0:2398" "$(ss -Hltn 'sport = 2398' | awk '{print $4}')"
s -R 2397:127.0.0.1:2399 -N -o ExitOnForwardFailure=yes t 2>/dev/null; [[ $? == 255 ]]; ok "PermitListen: no other"
kill "$there"; wait "$there" 2>/dev/null
start <<-EOF
	AllowUsers nobody
EOF
s -o LogLevel=INFO t true 2>"$dir/out"; [[ $? == 255 ]] && grep -q "AllowUsers" "$dir/out"; ok "AllowUsers"
start <<<"PermitRootLogin no"
s -o LogLevel=INFO t true 2>"$dir/out"; [[ $? == 255 ]] && grep -q "PermitRootLogin" "$dir/out"; ok "PermitRootLogin no"
start <<<"ForceCommand echo forced; echo \$SSH_ORIGINAL_COMMAND"
is "ForceCommand" "forced id" "$(s t id | paste -sd' ')"
start <<<"PubkeyAuthentication no"
s t true 2>/dev/null; [[ $? == 255 ]]; ok "PubkeyAuthentication no"
start <<<"PubkeyAcceptedAlgorithms rsa-sha2-512"
s t true 2>/dev/null; [[ $? == 255 ]]; ok "PubkeyAcceptedAlgorithms"
start <<<"RevokedKeys $dir/id.pub"
s t true 2>/dev/null; [[ $? == 255 ]]; ok "RevokedKeys: a list"
by_cert() { timeout 90 ssh -F "$dir/ssh.cert" "$@"; }
sed "s#IdentityFile .*#IdentityFile $dir/cert\n  CertificateFile $dir/cert-cert.pub#" "$dir/ssh" >"$dir/ssh.cert"
ssh-keygen -q -t ed25519 -N '' -f "$dir/cert2" && mv "$dir/cert2" "$dir/cert" && mv "$dir/cert2.pub" "$dir/cert.pub" # no key of authorized_keys
ssh-keygen -q -s "$dir/ca" -I someone -n root -z 77 -V +1h "$dir/cert.pub"
krl() { # SPECIFICATION… : the KRL has these lines
	printf '%s\n' "$@" >"$dir/spec"
	rm -f "$dir/krl"
	ssh-keygen -q -k -s "$dir/ca.pub" -f "$dir/krl" "$dir/spec"
}
krl "serial: 76"
start <<<"RevokedKeys $dir/krl"
is "KRL: another serial" "root root" "$(s t id -un) $(by_cert t id -un)"
krl "serial: 70-80" && by_cert t true 2>/dev/null; [[ $? == 255 ]]; ok "KRL: a serial, with the next login"
krl "id: someone" && by_cert t true 2>/dev/null; [[ $? == 255 ]]; ok "KRL: a key id"
is "KRL: a key is no certificate" root "$(s t id -un)"
krl "sha256: $(cat "$dir/id.pub")" && s t true 2>/dev/null; [[ $? == 255 ]]; ok "KRL: a fingerprint"
is "KRL: the certificate is another's" root "$(by_cert t id -un)"
rm -f "$dir/krl" && ssh-keygen -q -k -f "$dir/krl" "$dir/ca.pub" && by_cert t true 2>/dev/null; [[ $? == 255 ]]; ok "KRL: the authority"
truncate -s -3 "$dir/krl"; s t true 2>/dev/null; [[ $? == 255 ]]; ok "KRL: a broken one revokes all"
soon logged "RevokedKeys cannot be used.*cut off"; ok "KRL: and says so"
krl "sha1: $(cat "$dir/id.pub")"
"$bin/warren" sshd -D -f "$dir/conf" -o ListenAddress=127.0.0.1:2313 2>"$dir/out"; [[ $? == 1 ]] && grep -q "RevokedKeys.*SHA-1.*sha256" "$dir/out"; ok "KRL: SHA-1 is refused with what to do"
start <<-EOF
	Ciphers aes256-gcm@openssh.com
	KexAlgorithms ecdh-sha2-nistp256
EOF
is "Ciphers, KexAlgorithms" root "$(s t id -un)"
s -o Ciphers=aes128-ctr t true 2>/dev/null; [[ $? == 255 ]]; ok "no other cipher"

echo "# the audit log"
audit() { "$bin/warren" audit "$@" --dir "$dir/audit"; }
event() { jq -e -s "any(.[]; $1)" "$dir/audit/audit.jsonl" >/dev/null; }
is "its mode" "700 600" "$(stat -c %a "$dir/audit" "$dir/audit/audit.jsonl" | paste -sd' ')"
start </dev/null
is "one writer more" root "$(s t id -un)"
mkfifo "$dir/typed"
ssh -F "$dir/ssh" t 'read x; exit 9' <"$dir/typed" & outlives=$!
exec 5>"$dir/typed"
soon event '.event == "ssh.session" and .command == "read x; exit 9"'
kill "$pid" && wait "$pid" 2>/dev/null; pid=
kill -HUP "$(pgrep -f "sshd -D -f $dir/conf" | head -n 1)"; ok "what is left of the listener"
sleep 0.5; ! (exec 3<>/dev/tcp/127.0.0.1/2301) 2>/dev/null; ok "listens no more, whatever it is told"
exec 5>&-
wait "$outlives"; is "a session outlives the listener" 9 $?
soon event '.event == "ssh.session.end" and .status == 9'; ok "and its end is in the log"
is "inetd" inetd "$(s -o ProxyCommand="$bin/warren sshd -i -f $dir/conf" x 'echo inetd; exit 0')"
soon event '.event == "ssh.session" and .command == "echo inetd; exit 0"'; ok "so is inetd's"
for i in 1 2 3 4 5 6; do s -o ProxyCommand="$bin/warren sshd -i -f $dir/conf" x "echo many $i" >/dev/null & done
wait
soon audit verify >/dev/null; ok "many writers, one chain"
many() { jq -s '[.[] | select(.event == "ssh.session" and (.command // "" | startswith("echo many")))] | length' "$dir/audit/audit.jsonl" 2>/dev/null; }
soon eval '(($(many) == 6))'; ok "nothing was lost"
event '.event == "ssh.refused" and .code == "max-startups"' && event '.event == "ssh.refused" and .code == "limit"'; ok "who was turned away"
event '.event == "ssh.login.refused" and .code == "key" and (.reason | contains("revoked"))'; ok "who was refused, and why"
(($(audit show --event audit.start | wc -l) >= 20)); ok "warren audit show"
is "warren audit tail" 3 "$(audit tail -n 3 | wc -l)"
sed -i '20s/"event":"[^"]*"/"event":"nothing"/' "$dir/audit/audit.jsonl"
audit verify >"$dir/out" 2>&1; [[ $? == 1 ]] && grep -q "audit.jsonl:20: record 20 was edited" "$dir/out"; ok "an edited record is named"
mkdir -m 777 "$dir/open"; "$bin/warren" sshd -D -f "$dir/conf" -o "AuditLog=$dir/open" 2>"$dir/out"
[[ $? == 1 ]] && grep -q "AuditLog $dir/open is not good enough" "$dir/out"; ok "a folder that others may write to is refused"
"$bin/warren" sshd -T -f "$dir/conf" -o AuditLog=none | grep -q '^auditlog none'; ok "none"
if command -v ssh-audit >/dev/null; then
	echo "# algorithms, as ssh-audit judges them"
	start </dev/null
	ssh-audit -t 60 -n -p 2301 127.0.0.1 >"$dir/algorithms" 2>&1
	grep -q "kex-strict-s-v00@openssh.com" "$dir/algorithms"; ok "strict key exchange"
	grep -q "compression: disabled" "$dir/algorithms"; ok "no compression"
	# It fails NIST's curves, which older clients need, and which stock sshd offers, too.
	is "no other is failed" "" "$(grep '\[fail\]' "$dir/algorithms" | grep -v ecdh-sha2-nistp)"
	is "no other is warned of" "" "$(grep '\[warn\]' "$dir/algorithms" | grep -v kex-strict)"
	"$bin/warren" ssh harden --user root --print | start
	ssh-audit -t 60 -n -p 2301 127.0.0.1 >"$dir/algorithms" 2>&1
	is "hardened: none is failed" "" "$(grep '\[fail\]' "$dir/algorithms")"
fi

summary
