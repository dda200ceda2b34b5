#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The SSH worker alone, driven by stock OpenSSH: tests/support/fake_monitor.c plays the monitor on loopback.
# Run it in a box (tests/support/box.sh); WARREN_BIN is the folder of the built programs.
set -u
. "${WARREN_SRC:?}/tests/interop/lib_check.sh"
bin=${WARREN_BIN:?} src=${WARREN_SRC:?}
port=22991
dir=$(mktemp -d)

declare -a pids=() as=()

finish() {
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; done
	[[ -z ${KEEP:-} ]] && rm -rf "$dir"
}
trap finish EXIT

libs=("$bin/../platform/libwarren_platform.a" -lsodium -lcrypto -ljansson -lnl-3 -lnl-route-3 -lseccomp -lutil)
sanitize=$(sed -n 's/^WARREN_SANITIZE:STRING=//p' "$bin/../CMakeCache.txt")
"${CC:-cc}" ${sanitize:+-fsanitize=$sanitize} -std=gnu17 -D_GNU_SOURCE -I"$src" -O1 -w -o "$dir/fake_monitor" \
	"$src/tests/support/fake_monitor.c" "${libs[@]}" || exit 1
cd "$dir" || exit 1
ssh-keygen -q -t ed25519 -N '' -f id
ssh-keygen -q -t ed25519 -N '' -f stranger
ssh-keygen -q -t ecdsa -N '' -f ecdsa
ssh-keygen -q -t rsa -b 2048 -N '' -f rsa

start() { # VARIABLE=VALUE… : a fake monitor on the next port
	port=$((port + 1))
	rm -f hostkey
	# A pipe, because RLIMIT_FSIZE lets the worker write to no file.
	env "$@" "${as[@]}" env WARREN_SANDBOX_DEBUG=1 "$dir/fake_monitor" "$port" "$bin/warren-ssh-worker" \
		"$(cut -d' ' -f2 id.pub)" hostkey > >(cat >>log) 2>&1 &
	monitor=$!
	pids+=("$monitor")
	soon test -s hostkey
	echo "[127.0.0.1]:$port ssh-ed25519 $(cat hostkey)" >known_hosts
	cat >config <<-X
		Host t
		 HostName 127.0.0.1
		 Port $port
		 User ok
		 IdentityFile $dir/id
		 IdentitiesOnly yes
		 IdentityAgent none
		 UserKnownHostsFile $dir/known_hosts
		 StrictHostKeyChecking yes
		 LogLevel error
	X
	sed "s#IdentityFile.*#IdentityFile none#" config >config.nokey
}
n() { timeout 120 ssh -F config.nokey "$@"; }
s() { timeout 120 ssh -F config "$@"; }
newlog() { sleep 0.2; cat log >>all 2>/dev/null; : >log; }
reachable() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
wait_port() { soon reachable "$1"; }
all_good() { # PID…: each of them ends with 0
	local bad=0 p
	for p in "$@"; do wait "$p" || bad=1; done
	return $bad
}
newlog
start FAKE_WAIT_S=2

echo "# sessions"
is "exec" "hello" "$(s t echo hello)"
((failed == 0)) || exit 1 # the refusals below would all "pass"
s t 'exit 7'; is "exit status" 7 $?
is "stderr apart" "o|e" "$(s t 'echo o; echo e >&2' 2>err)|$(cat err)"
s t 'kill -TERM $$' 2>err; is "killed: 255" 255 $?
s -v t 'kill -TERM $$' 2>&1 | grep -q 'rtype exit-signal'; ok "killed: exit-signal"
is "stdin half-close" "x" "$(echo x | s t cat)"
is "half-close, then output" "3|end" "$(printf 'abc' | s t 'wc -c; echo end' | tr -d ' ' | paste -sd'|')"
is "outputs closed, then status" 4 "$(s t 'exec >&- 2>&-; sleep 1; exit 4' </dev/null; echo $?)"
is "stdout closed first" "later" "$(s t 'exec 1>&-; sleep 0.3; echo later >&2' 2>&1)"
is "PTY" "xterm-test" "$(TERM=xterm-test s -tt t 'test -t 0 && echo $TERM' </dev/null | tr -d '\r')"
s -tt t 'exit 3' </dev/null; is "PTY exit status" 3 $?
printf 'stty -echo\nexit 5\n' | s -tt t >/dev/null; is "shell on a PTY" 5 $?
printf 'exit 6\n' | s t; is "shell without PTY" 6 $?
is "SendEnv" "v1" "$(WARREN_T=v1 s -o SendEnv=WARREN_T t 'echo $WARREN_T')"
cat >resize.py <<-'X'
	import fcntl, os, pty, signal, struct, sys, termios, time
	pid, fd = pty.fork()
	if pid == 0:
	    os.execvp("ssh", sys.argv[1:])
	out = b""
	def until(word):
	    global out
	    while word not in out:
	        out += os.read(fd, 4096)
	until(b"ready")
	fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
	os.kill(pid, signal.SIGWINCH)
	until(b"33 77")
X
timeout 120 python3 resize.py ssh -F config -tt t 'trap "stty size; exit" WINCH; echo ready; while :; do sleep 0.1; done'
ok "window change"
is "no more than max_sessions, rest refused" 255 "$(s nosession@t true 2>err; echo $?)"
grep -q 'warren: sessions are not allowed here' err; ok "refused session says why"
s t "true $(head -c 60000 /dev/zero | tr '\0' x)"; ok "long command"

echo "# no byte lost"
seq 1 100000 >expect
lost=0
for _ in {1..50}; do s t 'seq 1 100000' | cmp -s - expect || lost=$((lost + 1)); done
is "50 × seq, pipes" 0 $lost
lost=0
for _ in {1..50}; do s -tt t 'seq 1 100000' </dev/null | tr -d '\r' | cmp -s - expect || lost=$((lost + 1)); done
is "50 × seq, PTY" 0 $lost
head -c 50000000 /dev/urandom >big
s t cat <big | cmp -s - big; ok "50 MB both ways"
s t 'sleep 1; cat' <big | cmp -s - big; ok "50 MB to a slow reader"
s t 'cat; sleep 0' <big | (sleep 1; cmp -s - big); ok "50 MB to a slow client"
s t "cat $dir/big >&2" 2>&1 >/dev/null | cmp -s - big; ok "50 MB on stderr"
s t 'head -c 10 >/dev/null; exit 4' <big; is "process that stops reading" 4 $?
s t 'cat >/dev/null; exit 9' <big; is "all read, then exit" 9 $?
s t '(sleep 0.5; echo late) & echo early' | paste -sd'|' >out; is "background process holds the pipe" "early|late" "$(cat out)"
s -tt t 'setsid sleep 600 & echo x' </dev/null >/dev/null; is "background process holds the PTY: no reason to wait" 0 $?

echo "# files"
timeout 120 scp -q -F config -O big t:"$dir/copy1" && cmp -s big copy1; ok "scp -O to"
timeout 120 scp -q -F config -O t:"$dir/big" copy2 && cmp -s big copy2; ok "scp -O from"
timeout 120 scp -q -F config -s big t:"$dir/copy3" && cmp -s big copy3; ok "scp over sftp to"
echo "get $dir/big copy4" | timeout 120 sftp -q -F config -b - t >/dev/null && cmp -s big copy4; ok "sftp get"
rm -f copy?

echo "# ciphers and key exchange"
for cipher in chacha20-poly1305@openssh.com aes256-gcm@openssh.com aes128-gcm@openssh.com aes256-ctr aes128-ctr; do
	s -c $cipher t true; ok "$cipher"
done
for cipher in aes256-cbc 3des-cbc; do ! s -c $cipher t true 2>/dev/null; ok "no $cipher"; done
for kex in curve25519-sha256 ecdh-sha2-nistp256 ecdh-sha2-nistp384 ecdh-sha2-nistp521 diffie-hellman-group14-sha256 \
	diffie-hellman-group16-sha512 diffie-hellman-group18-sha512; do
	s -o KexAlgorithms=$kex t true; ok "$kex"
done
! s -o KexAlgorithms=diffie-hellman-group14-sha1 t true 2>/dev/null; ok "no SHA-1 key exchange"
! s -c aes128-ctr -o MACs=hmac-sha1 t true 2>/dev/null; ok "no SHA-1 MAC"
s -v -o Compression=yes t true 2>&1 | grep -q 'compression: none'; ok "no compression"
head -c 200000000 /dev/zero | timeout 400 ssh -F config -o RekeyLimit=1M t 'cat' | cmp -s - <(head -c 200000000 /dev/zero); ok "200 MB both ways, rekey each MB"
soon eval '(($(grep -c rekey log) > 100))'; ok "it did rekey"

echo "# forwards"
python3 -c 'import socket,threading
l=socket.create_server(("127.0.0.1",23100))
def echo(c):
    while True:
        d=c.recv(65536)
        if not d: break
        c.sendall(d)
    c.shutdown(1); c.close()
while True:
    threading.Thread(target=echo,args=(l.accept()[0],),daemon=True).start()' &
pids+=($!)
cat >talk.py <<-'X'
	import socket, sys, threading
	c = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
	data = open("big", "rb").read()[:8000000]
	def send():
	    c.sendall(data)
	    c.shutdown(1)
	threading.Thread(target=send).start()
	got = bytearray()
	while len(got) <= len(data):
	    part = c.recv(1 << 20)
	    if not part:
	        break
	    got += part
	sys.exit(bytes(got) != data)
X
wait_port 23100
ssh -F config -N -L 23101:127.0.0.1:23100 -R 23102:127.0.0.1:23100 -D 23103 -L 23104:127.0.0.1:1 -L 23105:forbidden:1 t &
pids+=($!)
wait_port 23101 && wait_port 23102
timeout 120 python3 talk.py 23101; ok "-L, 8 MB and half-close"
timeout 120 python3 talk.py 23102; ok "-R, 8 MB and half-close"
running=()
for _ in {1..10}; do timeout 120 python3 talk.py 23101 & running+=($!); done
all_good "${running[@]}"; ok "10 forwards at once"
timeout 120 bash -c 'exec 3<>/dev/tcp/127.0.0.1/23104; cat <&3'; ok "-L to a closed port ends"
timeout 120 bash -c 'exec 3<>/dev/tcp/127.0.0.1/23105; cat <&3'; ok "-L that is forbidden ends"
python3 - <<-'X'
	import socket
	c = socket.create_connection(("127.0.0.1", 23103))
	c.sendall(b"\5\1\0"); assert c.recv(2) == b"\5\0"
	c.sendall(b"\5\1\0\1" + bytes([127, 0, 0, 1]) + (23100).to_bytes(2, "big"))
	assert c.recv(10)[1] == 0
	c.sendall(b"socks"); assert c.recv(5) == b"socks"
X
ok "-D"
is "-W" "w" "$(echo w | s -W 127.0.0.1:23100 t)"
s -v -R 0:127.0.0.1:23100 t true 2>&1 | grep -q 'Allocated port [1-9]'; ok "-R with port 0"
s -o ExitOnForwardFailure=yes -R "$dir/unix:127.0.0.1:23100" t true 2>/dev/null; is "streamlocal refused at once" 255 $?
eval "$(ssh-agent -s)" >/dev/null; pids+=("$SSH_AGENT_PID")
ssh-add -q id
is "-A" "$(ssh-add -l)" "$(s -A -o IdentityAgent="$SSH_AUTH_SOCK" t 'ssh-add -l')"
s t 'test -z "$SSH_AUTH_SOCK"' || [[ -n $SSH_AUTH_SOCK ]]; ok "no agent without -A"

echo "# one connection, many sessions"
ssh -F config -M -S mux -N t &
pids+=($!)
soon test -S mux
here() { (($(find "$dir" -maxdepth 1 -name 'in.*' | wc -l) == $1)); } # so many sessions have begun
running=()
for i in {1..20}; do
	(s -S mux t "touch $dir/in.$i; while [ ! -e $dir/go ]; do sleep 0.1; done; seq $i 20000" | cmp -s - <(seq $i 20000) && touch "mux.$i") &
	running+=($!)
done
soon here 20; touch go
wait "${running[@]}"
rm in.* go
is "20 sessions at once" 20 "$(ls mux.* | wc -l)"
for _ in {1..30}; do s -S mux t true; done; ok "30 more, one after the other"
s -S mux -O forward -R 23110:127.0.0.1:23100 t && wait_port 23110; ok "-O forward"
s -S mux -O cancel -R 23110:127.0.0.1:23100 t; soon eval '! reachable 23110'; ok "-O cancel"
running=()
for i in {1..24}; do s -S mux t "touch $dir/in.$i; while [ ! -e $dir/go ]; do sleep 0.1; done" & running+=($!); done
soon here 24; ok "24 sessions"
timeout 90 ssh -F config -S mux -o Port=1 t true 2>/dev/null </dev/null; is "session 25 of 24 refused" 255 $?
touch go
all_good "${running[@]}"; ok "and the 24 go on"
s -S mux -O exit t 2>/dev/null

echo "# logins"
n -i stranger t true 2>err; is "stranger's key refused" 255 $?
s -o LogLevel=info nokey@t true 2>err; grep -q 'this key is not for you' err; ok "refused login shows why"
is "keyboard-interactive, yes after a while" "in" "$(s -o PreferredAuthentications=keyboard-interactive wait@t echo in)"
script -qec "ssh -F config -o LogLevel=info -o PreferredAuthentications=keyboard-interactive wait@t true" /dev/null </dev/null |
	grep -q 'https://example.com/login'
ok "shows the URL"
s -o LogLevel=info -o PreferredAuthentications=keyboard-interactive waitno@t true 2>err; grep -q 'you are not allowed to log in here' err; ok "keyboard-interactive, no: says why"
n -o BatchMode=yes wait@t true 2>/dev/null; is "BatchMode ends at once" 255 $?
s none@t true; ok "none"
for type in ecdsa rsa; do
	start FAKE_GRACE_S=300; sed -i "s#IdentityFile.*#IdentityFile $dir/$type#" config
	s t true 2>/dev/null; is "$type key, not ours: refused, no hang" 255 $?
done
start FAKE_GRACE_S=300
sed "s#IdentityFile.*#IdentityFile $dir/dss#" config >config.dss
ssh-keygen -q -t dsa -N '' -f dss 2>/dev/null
timeout 120 ssh -F config.dss -o PubkeyAcceptedAlgorithms=+ssh-dss -o PreferredAuthentications=publickey t true 2>/dev/null
is "key type that libssh doesn't know: refused, no hang" 255 $?
start FAKE_GRACE_S=300
ssh-keygen -q -t ed25519 -N '' -f ca
cp id certkey; cp id.pub certkey.pub
ssh-keygen -q -s ca -I test -n cert certkey.pub
sed "s#IdentityFile.*#IdentityFile $dir/certkey#" config >config.cert
newlog
timeout 120 ssh -F config.cert cert@t true; ok "certificate"
soon grep -q 'key ssh-ed25519-cert-v01@openssh.com signature 64 good' log; ok "the whole certificate reached the monitor"
# An agent that signs badly: libssh would leave such a client without an answer.
cat >agent.py <<-'X'
	import base64, os, socket, struct, sys
	blob = base64.b64decode(open("id.pub").read().split()[1])
	string = lambda b: struct.pack(">I", len(b)) + b
	kind = sys.argv[2]
	body = {"wrong": os.urandom(64), "short": b"short", "empty": b""}.get(kind, os.urandom(64))
	name = b"ssh-foo" if kind == "type" else b"ssh-ed25519"
	l = socket.socket(socket.AF_UNIX); l.bind(sys.argv[1] + ".new"); l.listen(5); os.rename(sys.argv[1] + ".new", sys.argv[1])
	while True:
	    c = l.accept()[0]
	    while True:
	        head = c.recv(4, socket.MSG_WAITALL)
	        if len(head) < 4:
	            break
	        request = c.recv(struct.unpack(">I", head)[0], socket.MSG_WAITALL)
	        if request[0] == 11:
	            reply = bytes([12]) + struct.pack(">I", 1) + string(blob) + string(b"bad")
	        elif request[0] == 13:
	            reply = bytes([14]) + string(string(name) + string(body))
	        else:
	            reply = bytes([5])
	        c.sendall(string(reply))
X
for kind in wrong short empty; do
	python3 agent.py "$dir/agent.$kind" $kind & pids+=($!)
	soon test -S agent.$kind
	sed "s#IdentityFile.*#IdentityFile $dir/id.pub#; s#IdentityAgent.*#IdentityAgent $dir/agent.$kind#" config >config.agent
	timeout 120 ssh -F config.agent t true 2>err; is "$kind signature: refused, no hang" 255 $?
done
for i in 1 2 3 4 5 6; do ssh-keygen -q -t ed25519 -N '' -f "many$i"; done
grep -v IdentityFile config >config.many
for i in 1 2 3 4 5 6; do echo " IdentityFile $dir/many$i" >>config.many; done
timeout 120 ssh -F config.many t true 2>err
grep -q 'Too many authentication failures' err; ok "MaxAuthTries"
start FAKE_GRACE_S=2
timeout 120 bash -c "exec 3<>/dev/tcp/127.0.0.1/$port; cat <&3" >/dev/null; is "grace time" 0 $?

echo "# other clients"
start FAKE=1
if command -v dbclient >/dev/null && command -v dropbearconvert >/dev/null; then
	dropbearconvert openssh dropbear id id.dropbear 2>/dev/null || ssh-keygen -p -q -m PEM -N '' -f id
	is "dbclient" "db 3" "$(timeout 120 dbclient -y -y -i id.dropbear -p $port ok@127.0.0.1 'echo db; exit 3' 2>/dev/null) $?"
fi
if command -v plink >/dev/null && command -v puttygen >/dev/null; then
	puttygen id -o id.ppk 2>/dev/null
	is "plink" "pl 3" "$(timeout 120 plink -batch -hostkey "$(ssh-keygen -lf <(echo "ssh-ed25519 $(cat hostkey)") | cut -d' ' -f2)" \
		-i id.ppk -P $port ok@127.0.0.1 'echo pl; exit 3' 2>/dev/null) $?"
fi

echo "# the end"
start FAKE_WAIT_S=14
is "14 s of waiting, client wants signs of life" "in" "$(s -o ServerAliveInterval=2 -o ServerAliveCountMax=4 \
	-o PreferredAuthentications=keyboard-interactive wait@t echo in)"
start FAKE_WAIT_S=60
newlog
ssh -F config -o PreferredAuthentications=keyboard-interactive wait@t true 2>/dev/null &
client=$!
soon grep -q waiting log
kill $client; wait $client 2>/dev/null
soon grep -q cancel log; ok "client that gives up: AUTH_CANCEL"
soon grep -q 'worker ended 0' log; ok "and its worker ends"
ssh -F config t 'echo ready; sleep 300' >out &
client=$!
soon grep -q ready out
before=$(grep -c 'worker ended 0' log)
kill -9 $client; wait $client 2>/dev/null
soon eval '(($(grep -c "worker ended 0" log) > before))'; ok "client that disappears: worker ends"
rm -f out err
ssh -F config -tt t 'echo ready; sleep 300' </dev/null >out 2>&1 &
client=$!
soon grep -qs ready out
kill -USR1 $(ps -o pid= --ppid "$monitor")
wait $client; is "END: 255" 255 $?
grep -q 'warren: access was withdrawn' out; ok "END: the terminal says why"
rm -f out err
ssh -F config t 'echo ready; sleep 300' </dev/null >out 2>err &
client=$!
soon grep -qs ready out
kill -USR1 $(ps -o pid= --ppid "$monitor")
wait $client; is "END without a terminal: 255" 255 $?
grep -q 'warren: access was withdrawn' err; ok "END: stderr says why"

echo "# without root"
chmod 777 "$dir"
as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
start FAKE=1
is "exec without root" "65534" "$(s t id -u)"
is "PTY without root" "65534" "$(s -tt t id -u </dev/null | tr -d '\r')"

newlog
! grep -E 'refused system call|worker died|worker ended [1-9]|AddressSanitizer|runtime error' all; ok "no worker failed"

summary
