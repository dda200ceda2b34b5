#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# sshd_config(5) through the mesh: drop-ins tighten what policy allows, for a peer and for an identity; a
# broken one is shown and changes nothing; 300 half-open connections and a port scanner leave logins working.
. "$WARREN_SRC/tests/netns/lib.sh"
prepare
mkdir -p $T/sshd
mesh
login
stop second
peer_start second --sshd-config $T/sshd
within 60 direct first
within 60 served second
second=$(overlay second)
enter() { # STATUS COMMAND
	expect $1 on first timeout 120 warren ssh deploy@second "$2"
}
config() { # NAME, text on standard input: whole when its name is there
	cat >$T/sshd/tmp
	mv $T/sshd/tmp $T/sshd/$1
}

note "without a drop-in"
enter 0 'id -un'
says '^deploy$'

note "the first value wins, in lexical order, without a restart"
printf 'SetEnv WHICH=ten\n' | config 10.conf
printf 'SetEnv WHICH=twenty\n' | config 20.conf
enter 0 'echo $WHICH'
says '^ten$'
rm $T/sshd/20.conf

note "Match Peer and Match Identity"
printf 'Match Peer first\nSetEnv WHICH=peer\nMatch Identity *@example.com\nSetEnv WHICH=identity\nForceCommand echo forced by identity, $WHICH\n' | config 10.conf
enter 0 'id -un'
says '^forced by identity, peer$'
printf 'Match Peer other\nForceCommand echo wrong\n' | config 10.conf
enter 0 'id -un'
says '^deploy$'

note "it only tightens"
printf 'DenyUsers deploy\n' | config 10.conf
enter 255 'id -un'
says 'DenyUsers'
printf 'AllowUsers deploy@%s\n' "$(overlay first)" | config 10.conf
enter 0 'id -un'
printf 'PermitRootLogin yes\nAllowTcpForwarding yes\n' | config 10.conf
expect 255 on first timeout 120 warren ssh root@second id -un
printf 'Match Peer first\nPubkeyAuthentication no\n' | config 10.conf
enter 255 'id -un'

note "a broken drop-in is shown, and what was in force stays"
printf 'SetEnv WHICH=good\n' | config 10.conf
enter 0 'echo $WHICH'
says '^good$'
printf 'PermitTTY maybe\n' | config 20.conf
enter 0 'echo $WHICH'
says '^good$'
within 60 grep -q '20.conf line 1: PermitTTY' $T/log/second
warned() { on second warren --json status | jq -e '.warnings[] | select(contains("20.conf line 1: PermitTTY"))' >/dev/null; }
within 60 warned
printf 'RevokedKeys /nothing\n' | config 20.conf
enter 0 'echo $WHICH'
says '^good$'
within 60 grep -q '20.conf line 1: RevokedKeys /nothing cannot be read' $T/log/second
rm $T/sshd/20.conf
enter 0 true
calm() { ! warned; }
within 60 calm
printf 'Port 2222\nBanner /nothing\n' | config 20.conf
enter 0 true
within 60 grep -q '20.conf line 1: Port has no effect in a mesh' $T/log/second
within 60 grep -q '20.conf line 2: Banner /nothing cannot be shown' $T/log/second
rm $T/sshd/20.conf

note "300 half-open connections and a port scanner"
printf 'PerSourceMaxStartups 30\nMaxStartups 60:30:90\nLoginGraceTime 20\n' | config 10.conf
cat >$T/scan.py <<'EOF'
import socket, sys, time
held = []
for i in range(300):
    s = socket.socket(); s.settimeout(5)
    try:
        s.connect((sys.argv[1], 22))
        if i % 3 == 0: s.sendall(b"GET / HTTP/1.0\r\n\r\n")
        if i % 3 == 1: s.sendall(b"SSH-2.0-scan\r\n" + bytes(range(256)))
        if i % 7 == 0: s.close()
        else: held.append(s)
    except OSError:
        pass
print("held", flush=True)
time.sleep(550)
EOF
spawn scanner first python3 $T/scan.py "$second"
within 60 grep -q held $T/log/scanner
within 60 grep -q 'unfinished logins from your address' $T/log/second
on second warren --json status >$T/out || fail "the daemon does not answer"
sleep 2
within 60 on first timeout 120 warren ssh deploy@second true # from the scanner's own machine
enter 0 'id -un'
says '^deploy$'
stop scanner KILL
enter 0 'id -un'
says '^deploy$'
echo passed
