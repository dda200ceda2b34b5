#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The whole SSH server (monitor, verifier, worker) with stock OpenSSH as the client. session_launcher plays
# broker and main on loopback, so no mesh is needed. Accounts live in copies of /etc/passwd, group and shadow
# that are mounted in this box only (tests/support/box.sh).
set -u
. "${WARREN_SRC:?}/tests/interop/lib_check.sh"
bin=${WARREN_BIN:?} tests=$WARREN_BIN/../tests
for tool in ssh sftp scp ssh-keygen ssh-agent python3; do
	command -v "$tool" >/dev/null || { echo "skipped: $tool is missing"; exit 77; }
done
dir=$(mktemp -d /tmp/ssh_session.XXXXXX)
chmod 755 "$dir"
port=22800
declare -a pids=()

finish() {
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; done
	umount /etc/passwd /etc/group /etc/shadow 2>/dev/null
	[[ -z ${KEEP:-} ]] && rm -rf "$dir"
}
trap finish EXIT

cd "$dir" || exit 1
mkdir etc home
cp -p /etc/passwd /etc/group /etc/shadow etc
account() { # NAME UID SHELL PASSWORD EXPIRES
	echo "$1:x:$2:2001::$dir/home:$3" >>etc/passwd
	echo "$1:$4:19000:0:99999:7::$5:" >>etc/shadow
}
echo "deploy:x:2001:" >>etc/group
echo "extra:x:2002:deploy" >>etc/group
account deploy 2001 /bin/bash '*' ''
account locked 2003 /bin/bash '!$y$x' ''
account expired 2004 /bin/bash '*' 100
account closed 2005 /usr/sbin/nologin '*' ''
chown 2001:2001 home
for f in passwd group shadow; do mount --bind "etc/$f" "/etc/$f" || exit 1; done
ssh-keygen -q -t ed25519 -N '' -f id

start() { # LOGIN [no-auth] [deny] …
	port=$((port + 1))
	rm -f orders
	mkfifo orders
	WARREN_SANDBOX_DEBUG=1 "$tests/session_launcher" "$dir" "$port" "$@" <orders >state 2>log &
	launcher=$!
	pids+=("$launcher")
	exec 9>orders
	cat >config <<-X
		Host t
		 HostName 127.0.0.1
		 Port $port
		 User $1
		 IdentityFile $dir/id
		 CertificateFile $dir/id-cert.pub
		 IdentitiesOnly yes
		 UserKnownHostsFile $dir/known_hosts
		 StrictHostKeyChecking yes
		 LogLevel error
	X
	soon reachable "$port"
}
stop() {
	exec 9>&-
	kill "$launcher"
	wait "$launcher" 2>/dev/null
}
reachable() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
s() { timeout 90 ssh -F config -o IdentityAgent=none "$@"; }
told() { s -o LogLevel=info "$@" 2>&1; } # with what the server tells the person

echo "# sessions"
start deploy
is "exec" hello "$(s t echo hello)"
s t 'exit 7'; is "exit status" 7 $?
s t 'kill -TERM $$' 2>/dev/null; is "exit signal" 255 $?
is "stderr apart" "o|e" "$(s t 'echo o; echo e >&2' 2>err)|$(cat err)"
is "half-close" "input" "$(echo input | s t cat)"
is "user and groups" "2001 2001 2001 2002" "$(s t 'echo $(id -u) $(id -g) $(id -G)')"
is "home and umask" "$dir/home 0022" "$(s t 'echo $PWD $(umask)')"
env=$(s t env)
for name in USER=deploy LOGNAME=deploy "HOME=$dir/home" SHELL=/bin/bash MAIL=/var/mail/deploy \
	PATH=/usr/local/bin:/usr/bin:/bin:/usr/games "SSH_CONNECTION=127.0.0.1 " SSH_CLIENT=127.0.0.1; do
	has "environment ${name%%=*}" "$name" "$env"
done
is "no terminal variables" "" "$(grep -E '^(SSH_TTY|SSH_AUTH_SOCK)=' <<<"$env")"
is "SendEnv" "C.UTF-8|" "$(LC_TIME=C.UTF-8 FOO=bar s -o SendEnv=LC_TIME -o SendEnv=FOO t 'echo "$LC_TIME|$FOO"')"
is "no descriptor of ours" "0 1 2" "$(s t 'cd /proc/self/fd; echo *' | sed 's/ [3-9]$//')"
is "signals are default" "0000000000000000 0000000000000000" \
	"$(s t 'echo $(grep -E "^Sig(Blk|Ign)" /proc/self/status | cut -f2)')"
is "not the monitor's limits" "$(ulimit -c)" "$(s t 'ulimit -c')"
s t seq 1 100000 >out; seq 1 100000 | cmp -s - out; ok "no byte is lost"
is "binary both ways" "$(head -c 3000000 /bin/bash | sha256sum)" "$(head -c 3000000 /bin/bash | s t cat | sha256sum)"

stop
for type in ecdsa rsa; do
	mkdir -p keep
	mv id id.pub keep
	ssh-keygen -q -t "$type" -N '' -f id
	start deploy
	is "$type certificate" in "$(s -o PreferredAuthentications=publickey t echo in)"
	stop
	rm -f id id.pub
	mv keep/id keep/id.pub .
done
start deploy

echo "# a machine that stands still"
cat >stopping <<-X
	#!/bin/bash
	# After the key exchange: the process that judges logins is held up for longer than two seconds.
	for monitor in \$(pgrep -P $launcher); do
		for judge in \$(pgrep -P \$monitor -x warren-ssh-sess); do
			kill -STOP \$judge && echo \$judge >>$dir/stopped
			(sleep 4; kill -CONT \$judge) >/dev/null 2>&1 </dev/null &
		done
	done
X
chmod +x stopping
is "a login waits for its judge" in "$(s -o KnownHostsCommand="$dir/stopping" t echo in)"
[[ -s stopped ]]; ok "  which was stopped"

echo "# terminals"
has "terminal of the user" "crw--w---- 1 deploy tty" "$(s -tt t 'ls -l $(tty)' </dev/null)"
has "SSH_TTY and TERM" "/dev/pts/" "$(TERM=xterm s -tt t 'echo $SSH_TTY $TERM' </dev/null)"
s -tt t 'exit 3' </dev/null >/dev/null 2>&1; is "exit status" 3 $?
if [[ -e /etc/pam.d/sshd ]] && motd=$(grep -m1 . /etc/motd); then
	has "message of the day" "$motd" "$(printf 'exit\n' | s -tt t 2>/dev/null)"
fi
has "login shell" "-bash" "$(printf 'echo $0\nexit\n' | s -tt t 2>/dev/null)"
has "size" "33 77" "$(python3 - <<-'X' "$dir" "$port"
	import os, pty, sys, fcntl, termios, struct
	pid, fd = pty.fork()
	if pid == 0:
	    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
	    os.execvp("ssh", ["ssh", "-F", "config", "-t", "t", "stty size"])
	out = b""
	try:
	    while True:
	        d = os.read(fd, 1000)
	        if not d: break
	        out += d
	except OSError: pass
	print(out.decode())
X
)"
if [[ -w /var/run/utmp || -w /var/log/wtmp ]]; then
	s -tt t 'sleep 1' </dev/null >/dev/null 2>&1 &
	held=$!
	soon grep -qsa deploy /var/run/utmp /var/log/wtmp; ok "recorded"
	wait "$held"
fi

echo "# files"
printf 'put /etc/hostname x\nls\n' >batch
has "sftp" "x" "$(timeout 90 sftp -F config -o IdentityAgent=none -b batch t 2>&1)"
timeout 90 scp -q -F config -o IdentityAgent=none /etc/hostname t:y && cmp -s /etc/hostname home/y; ok "scp"
timeout 90 scp -q -O -F config -o IdentityAgent=none /etc/hostname t:z && cmp -s /etc/hostname home/z; ok "scp -O"
is "owner" deploy "$(stat -c %U home/x)"
s -s t nosuch 2>err; [[ $? != 0 ]]; ok "unknown subsystem"

echo "# forwards"
python3 -m http.server 22799 --bind 127.0.0.1 >/dev/null 2>&1 &
pids+=($!)
soon reachable 22799
get() { timeout 90 python3 -c 'import sys,urllib.request as u; print(u.urlopen(sys.argv[1]).status)' "$1" 2>/dev/null; }
has "-W" "HTTP/1.0 200" "$(printf 'GET / HTTP/1.0\r\n\r\n' | s -W 127.0.0.1:22799 t)"
ssh -F config -o IdentityAgent=none -N -L 22798:127.0.0.1:22799 -R 22797:127.0.0.1:22799 -D 22796 t &
pids+=($!)
soon reachable 22798 && soon reachable 22797
is "-L" 200 "$(get http://127.0.0.1:22798/)"
is "-R" 200 "$(get http://127.0.0.1:22797/)"
is "-R binds loopback only" "127.0.0.1:22797 [::1]:22797" "$(ss -Hltn 'sport = :22797' | awk '{print $4}' | sort | xargs)"
kill "${pids[-1]}"; wait "${pids[-1]}" 2>/dev/null
soon eval '[[ -z $(ss -Hltn "sport = :22797") ]]'; ok "-R ends with the connection"
has "-R port 0" "Allocated port" "$(told -R 0:127.0.0.1:1 t true)"
s -o ExitOnForwardFailure=yes -R 80:127.0.0.1:1 t true 2>/dev/null; is "-R privileged port" 255 $?
timeout 90 ssh -F config -o IdentityAgent=none -W 127.0.0.1:9 t 2>err </dev/null
[[ $? != 124 ]]; ok "an unreachable destination ends" # the channel is open already: no message
agent=$(ssh-agent -s) && eval "$agent" >/dev/null && pids+=("$SSH_AGENT_PID")
ssh-add -q id
has "agent" "ED25519" "$(timeout 90 ssh -F config -A t 'ssh-add -l')"
sock=$(timeout 90 ssh -F config -A t 'stat -c %a-%U "$(dirname $SSH_AUTH_SOCK)"; echo $SSH_AUTH_SOCK')
has "agent's folder" "700-deploy" "$sock"
sock=${sock##*$'\n'}
soon test ! -e "${sock%/*}"; ok "agent's folder is removed"

echo "# many on one connection"
s -M -S "$dir/mux" -f -N t
running=()
for i in {1..20}; do
	s -S "$dir/mux" t "echo $i; touch $dir/home/in.$i; while [ ! -e $dir/home/go ]; do sleep 0.1; done" >"mux.$i" &
	running+=($!)
done
soon eval '(($(find home -name "in.*" | wc -l) == 20))'
touch home/go
wait "${running[@]}"
is "20 sessions at once" "$(seq 1 20)" "$(cat mux.? mux.?? | sort -n)"
s -S "$dir/mux" -O exit t 2>/dev/null

echo "# keyboard-interactive"
out=$(told -o PubkeyAuthentication=no t 'echo in')
has "URL" "To log in as deploy on second, open" "$out" # its name in the mesh
has "URL" "https://control.example/ssh/abc" "$out"
has "login goes on" "in" "${out##*$'\n'}"
s -o PubkeyAuthentication=no -o BatchMode=yes t true 2>/dev/null; is "BatchMode refuses" 255 $?

echo "# withdrawal"
s -tt t 'trap "" HUP; (trap "" HUP; set -m; sleep 771) & echo started; sleep 772' </dev/null >withdrawn 2>&1 &
held=$!
soon grep -q started withdrawn
begin=$SECONDS
echo withdraw >&9
wait "$held"; is "ends without a status" 255 $?
((SECONDS - begin < 60)); ok "long before its command does"
has "with the reason" "warren: access was withdrawn: no ssh rule lets alice@example.com" "$(cat withdrawn)"
soon eval '! pgrep -x sleep -u 2001 >/dev/null'; ok "nothing of it runs on"
out=$(told t true); is "refused" 255 $?
has "with the reason" "no ssh rule lets alice@example.com log in on second as deploy" "$out"
soon grep -q "ssh login refused" log; ok "audit"
stop

live() { # TAG [SSH OPTIONS…]: a session that lives, and its monitor
	local tag=$1
	shift
	: >"$tag"
	ssh -F config -o IdentityAgent=none -tt "$@" t 'echo started; sleep 400' </dev/null >"$tag" 2>&1 &
	held=$!
	pids+=("$held")
	soon grep -q started "$tag"
	monitor=$(pgrep -n -P "$launcher" -f warren-ssh-session)
}
ended() { # TAG NAME PART: ended long before its command, without a status, with a text
	local begin=$SECONDS
	wait "$held"
	is "$2: no status" 255 $?
	((SECONDS - begin < 60)); ok "$2: soon"
	has "$2: says so" "$3" "$(cat "$1")"
}
start deploy
live a
echo end >&9
ended a "ended by an administrator" "warren: an administrator ended it"
live b
kill -TERM "$monitor"
ended b "monitor stopped" "SSH server is stopping"
live c
kill -KILL "$(pgrep -o -P "$monitor")" # the first child: the verifier
ended c "verifier gone" "nobody is left to judge"
live d -L 22795:127.0.0.1:22799
live e
echo narrow >&9
no_shell() { printf 'exit\n' | s -tt t 2>&1 | grep -q 'policy does not allow a shell'; }
soon no_shell; ok "narrowed: no more shells"
sleep 1
kill -0 "$held"; ok "narrowed: what is still allowed goes on"
kill "${pids[@]: -2}" 2>/dev/null
wait "${pids[@]: -2}" 2>/dev/null
stop
start deploy
live f -L 22795:127.0.0.1:22799
is "forward in use" 200 "$(get http://127.0.0.1:22795/)"
python3 -c 'import socket,time; s=socket.create_connection(("127.0.0.1",22795)); time.sleep(400)' &
pids+=($!)
soon eval '[[ -n $(ss -Htn state established "dport = :22799") ]]'
sleep 0.5
echo narrow >&9
ended f "narrowed with a forward open" "access was narrowed"
live g
kill -KILL "$launcher" # the broker
ended g "broker gone" "SSH server is stopping"
wait "$launcher" 2>/dev/null
start deploy brief
live h
ended h "the rule's time is over" "access was withdrawn"
stop

echo "# the machine's own word"
for name in locked expired closed; do
	start "$name"
	out=$(told t true); is "$name: exec" 255 $?
	has "$name: reason" "the account $name" "$out"
	s -W 127.0.0.1:22799 t </dev/null >/dev/null 2>&1; [[ $? != 0 ]]; ok "$name: forward"
	printf 'ls\n' | timeout 90 sftp -q -F config -b - t >/dev/null 2>&1; [[ $? != 0 ]]; ok "$name: sftp"
	stop
done
start nobodyhere
has "unknown user" "there is no account nobodyhere" "$(told t true)"
stop
start root
is "root, when it is allowed" 0 "$(s t id -u)"
echo end >&9
stop
start deploy no-auth
is "none" 2001 "$(timeout 90 ssh -F config -o PubkeyAuthentication=no -o KbdInteractiveAuthentication=no t id -u)"
stop

summary
