#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What goes on in a session, through our server and through a stock sshd on the same machine: streams and
# their ends, terminals and what is typed at them, surroundings, requests that are refused, many channels.
. "$WARREN_SRC/tests/interop/lib_compare.sh"
servers <<<"AcceptEnv *
MaxSessions 128
PermitUserEnvironment no
X11Forwarding no
AllowStreamLocalForwarding no"
terminal() { # NAME WHICH-FLAGS STEP…: at a terminal, the same steps with both
	local name=$1 flags=$2 which
	shift 2
	for which in ours stock; do
		# shellcheck disable=SC2086
		python3 "$WARREN_SRC/tests/support/terminal.py" "$@" -- ssh -F ssh $flags $which >shown 2>&1
		ok "$name: $which"
		[[ ! -s shown ]] || sed 's/^/  /' shown
	done
}

echo "# ends of a command"
for command in 'kill -SEGV $$' 'ulimit -c 0; kill -SEGV $$' 'kill -USR1 $$' 'kill -RTMIN $$' 'exit 300' 'exec kill -PIPE $$'; do
	same '' "$command"
done
for which in ours stock; do
	ssh -F ssh -v -o LogLevel=DEBUG1 $which 'kill -QUIT $$' 2>&1 </dev/null | grep -o 'rtype exit-[a-z]* reply [0-9]' >$which.out
	echo 0 >$which.status
	: >$which.err
done
compare "the message about a signal"
same '' 'sleep 1 & echo back' '' "a process in the background holds the output: the client waits"
same '' 'nohup sleep 600 >/dev/null 2>&1 & echo back'
same '' 'sleep 600 >/dev/null 2>&1 </dev/null & disown; echo back'
same -tt 'sleep 600 & echo back'
same -tt 'nohup sleep 600 >/dev/null 2>&1 & echo back; exit 4'
same -T '' 'sleep 600 >/dev/null 2>&1 &
echo back
'
same '' 'exec 3>&1 4>&2 >&- 2>&-; echo late >&3; exec 3>&-; echo later >&4; exit 6'
same '' 'head -c 300000 /dev/zero | tr "\0" x; kill -9 $$'
same -tt 'seq 1 20000; kill -9 $$'
same -tt 'printf "last words"; exec 0<&- 1>&- 2>&-; exit 7'
echo "# input"
same '' 'cat; exit 8' ''
same '-n' 'cat; echo end' ignored
same '' 'exec <&-; sleep 0.2; echo out; exit 9' "$(seq 1 3000)"
same '' 'read a; echo "$a"; read b || echo "and no more"' 'one line
'
waits() { # PART FLAGS COMMAND: with both, PART comes, and the end of the input is no end
	local which pid
	for which in ours stock; do
		# shellcheck disable=SC2086
		timeout 300 ssh -F ssh $2 $which ${3:+"$3"} </dev/null >$which.out 2>$which.err & pid=$!
		soon grep -q "$1" $which.out; ok "ssh $2 '$3': $1: $which"
		sleep 2
		kill $pid; ok "  and it waits"
		wait $pid
		echo $? >$which.status
	done
	compare "  the same of both"
}
waits begun -tt 'echo begun; cat'
touch home/deploy/.hushlogin
echo "PS1='ready> '" >home/deploy/.bash_profile
echo 'set enable-bracketed-paste off' >home/deploy/.inputrc
waits ready -tt ''
for which in ours stock; do
	{ echo first; sleep 0.5; echo second; } | run $which '' 'while read l; do echo "got $l"; done; echo eof'
done
compare "a slow writer"
for which in ours stock; do
	{ yes 2>/dev/null || true; } | run $which '' 'true'
done
compare "a command that reads nothing of much"
for which in ours stock; do
	timeout 90 ssh -F ssh $which 'yes; echo $? >&2' 2>$which.err | head -n 1 >$which.out
	echo "${PIPESTATUS[0]}" >$which.status # 124: it hangs
done
compare "a reader that leaves"
for which in ours stock; do
	timeout 90 ssh -F ssh -f -n $which 'sleep 0.3; echo from behind' >$which.out 2>$which.err
	echo $? >$which.status
	soon grep -q behind $which.out
done
compare "-f"
for which in ours stock; do
	timeout 90 ssh -F ssh -f -N -o ControlMaster=yes -o ControlPath=$dir/n-$which $which
	timeout 90 ssh -F ssh -o ControlPath=$dir/n-$which $which 'echo over it' >$which.out 2>$which.err
	echo $? >$which.status
	ssh -F ssh -o ControlPath=$dir/n-$which -O exit $which 2>/dev/null
done
compare "-f -N"

echo "# environment and terminals"
for term in '' dumb xterm-256color 'a b;c$(id)' "$(printf 'x%.0s' {1..200})"; do
	export TERM=$term
	same -tt 'printf "[%s]\n" "$TERM"; env | grep -c ^TERM='
done
export TERM=xterm
for i in {1..100}; do export X_$i="$i $(printf 'v%.0s' {1..300})"; done
same '-o SendEnv=X_*' 'env | grep ^X_ | sort | cksum; env | grep -c ^X_'
for i in {1..100}; do unset X_$i; done
export X_ODD=$'two\nlines' X_EMPTY= X_LONG=$(printf 'v%.0s' {1..4000})
same '-o SendEnv=X_*' 'printf "[%s][%s][%s]" "$X_ODD" "${X_EMPTY-unset}" "$X_LONG"'
unset X_ODD X_EMPTY X_LONG
export PATH_SAVED=$PATH
same '-o SetEnv=PATH=/nowhere -o SetEnv=HOME=/ -o SetEnv=SSH_CLIENT=me -o SetEnv=SHELL=/bin/false' 'echo "$PATH $HOME $SHELL $SSH_CLIENT"'
LC_ALL=C.utf8 same '-o SendEnv=LC_*' 'echo "$LC_ALL ${LANG-no}"'
same -tt 'stty -a | grep -o "speed.*columns [0-9]*"; stty -a | grep -oE "[a-z]+ = [^;]*"; stty -a | grep -oE -- "-?(icanon|echo|isig|opost|onlcr|ixon|icrnl|brkint)\b" | sort'
same -T 'tty; echo "[$SSH_TTY][$TERM]"' '' "no terminal"
same -tt 'ps -o tty= -p $$ | grep -c pts; ps -o sid= -p $$ | grep -cw $$; ps -o tpgid= -p $$ | grep -cw $$'
is "keys erase characters, not bytes, unless the locale is no UTF-8" "iutf8 iutf8 -iutf8" "$(for locale in C C.UTF-8 de_DE.ISO-8859-1; do
	LC_ALL=$locale ssh -F ssh -o SendEnv=LC_ALL -tt ours 'stty -a' 2>/dev/null </dev/null | grep -oE -- '-?iutf8'; done | xargs)"
terminal "size and its change" -t expect:'ready> ' send:'stty size\r' expect:'24 80' resize:77x33 \
	send:'until stty size | grep ^33; do sleep 0.1; done\r' expect:'33 77' send:'exit 3\r' status:3 restored
terminal "Ctrl-C and Ctrl-D" -t expect:'ready> ' send:'sh -c "echo on-2; exec sleep 60"\r' expect:'\non-2' send:'\x03' expect:'ready> ' send:'echo re-$((1+1)); cat\r' \
	expect:'re-2' send:'abc\r' expect:'abc\s+abc' send:'\x04' send:'echo st=$?\r' expect:'st=0' expect:'ready> ' send:'\x04' status:0 restored
terminal "Ctrl-Z and the terminal's foreground" -t expect:'ready> ' send:'sh -c "echo on-2; exec sleep 60"\r' expect:'\non-2' send:'\x1a' expect:'Stopped' \
	send:'disown %1; exit 5\r' status:5 restored

echo "# escapes of the client"
socat TCP-LISTEN:2399,reuseaddr,fork,bind=127.0.0.1 SYSTEM:'echo there' & ends+=($!)
soon sh -c 'ss -Hltn "sport = 2399" | grep -q .'
terminal "~B: a break is refused and nothing ends" -t expect:'ready> ' send:'\r~B' send:'echo on-$((40+2))\r' expect:'on-42' \
	send:'exit 0\r' status:0
terminal "~. ends it" -t expect:'ready> ' send:'\r~.' status:255 restored
terminal "~C: a forward is added" "-t -o LogLevel=INFO -o EnableEscapeCommandline=yes" expect:'ready> ' send:'\r~C' expect:'ssh>' \
	send:'-L 2390:127.0.0.1:2399\r' expect:'Forwarding' send:'\rsocat -u TCP:127.0.0.1:2390 -\r' expect:'there' \
	send:'\r~C' expect:'ssh>' send:'-R 2391:127.0.0.1:2399\r' expect:'Forwarding' \
	send:'\rsocat -u TCP:127.0.0.1:2391,retry=600,interval=0.1 -\r' expect:'there' expect:'ready> ' \
	send:'\r~C' expect:'ssh>' send:'-KR 2391\r' expect:'Cancel' \
	send:'\rwhile socat -u TCP:127.0.0.1:2391 -; do sleep 0.1; done\r' expect:'refused' send:'exit 0\r' status:0
echo "# refused: X11, Unix sockets, tunnels"
for flags in "-X" "-Y"; do
	DISPLAY=127.0.0.1:9.0 same "$flags -o LogLevel=INFO" 'echo "[${DISPLAY-none}]"; exit 4'
done
for which in ours stock; do
	run $which '-w any:any -o LogLevel=INFO' 'echo goes on' </dev/null
	sed -i -E 's/open failed: .*/open failed: WORDS/' $which.err # those of libssh
done
compare "a tunnel device"
for which in ours stock; do
	ssh -F ssh -o ControlMaster=yes -o ControlPath=$dir/x-$which -o LogLevel=INFO -o ExitOnForwardFailure=no -fN \
		-L 2392:$dir/none.sock -R $dir/back.sock:127.0.0.1:2399 $which 2>$which.err
	timeout 90 socat -u TCP:127.0.0.1:2392 - >$which.out 2>&1
	ssh -F ssh -o ControlPath=$dir/x-$which $which 'echo usable' >>$which.out 2>>$which.err
	timeout 90 ssh -F ssh -o ControlPath=$dir/x-$which -O forward -R $dir/other.sock:127.0.0.1:2399 $which >>$which.out 2>&1
	echo $? >$which.status
	ssh -F ssh -o ControlPath=$dir/x-$which -O exit $which 2>/dev/null
	cp $which.err $which.words
	sed -i -E 's/^channel ([0-9]+): open failed: .*/channel \1: open failed: WORDS/' $which.err # those of libssh
done
compare "forwards of Unix sockets: refused at once, the connection goes on"
is "the same from the one for a socket's path" 255 "$(timeout 90 ssh -F ssh -N -o ExitOnForwardFailure=yes -R $dir/back.sock:127.0.0.1:1 ours 2>/dev/null; echo $?)"

echo "# a hundred channels on one connection"
cat >many.py <<'X'
import socket, sys, threading
port, count, socks = int(sys.argv[1]), int(sys.argv[2]), len(sys.argv) > 3
def recv(s, n):
    data = b""
    while len(data) < n:
        part = s.recv(n - len(data))
        if not part: raise SystemExit("closed after %d of %d" % (len(data), n))
        data += part
    return data
def connect(i):
    s = socket.create_connection(("127.0.0.1", port)); s.settimeout(120)
    if socks:
        s.sendall(b"\x05\x01\x00"); assert recv(s, 2) == b"\x05\x00"
        s.sendall(b"\x05\x01\x00\x01\x7f\x00\x00\x01" + (2398).to_bytes(2, "big"))
        assert recv(s, 10)[1] == 0
    return s
# All are open before the first sends, each sends its own, in both directions at once.
all = [connect(i) for i in range(count)]
good = [0] * count
def talk(i):
    mine = (b"%d|" % i) * 20000
    threading.Thread(target=lambda: (all[i].sendall(mine), all[i].shutdown(socket.SHUT_WR))).start()
    good[i] = recv(all[i], len(mine)) == mine and all[i].recv(1) == b""
talkers = [threading.Thread(target=talk, args=(i,)) for i in range(count)]
for t in talkers: t.start()
for t in talkers: t.join(200)
print(sum(good))
X
socat TCP-LISTEN:2398,reuseaddr,fork,bind=127.0.0.1,backlog=256 EXEC:/bin/cat 2>/dev/null & ends+=($!)
soon sh -c 'ss -Hltn "sport = 2398" | grep -q .'
for which in ours stock; do
	ssh -F ssh -o ControlMaster=yes -o ControlPath=$dir/m-$which -fN -L 2393:127.0.0.1:2398 -D 2394 -R 2395:127.0.0.1:2398 $which || ok "$which: forwards"
	rm -f home/deploy/go
	waiting=()
	for i in {1..100}; do
		ssh -F ssh -o ControlPath=$dir/m-$which $which "echo here-$i; while [ ! -e go ]; do sleep 0.3; done; seq $i 2000 | cksum; exit $i" \
			>many.$i 2>&1 </dev/null &
		waiting+=($!)
	done
	# As one: no second connection serves any of them.
	soon sh -c '[ "$(cat many.* | grep -c here-)" = 100 ]'
	is "$which: sessions at once" 100 "$(cat many.* | grep -c here-)"
	is "$which: -L at once" 100 "$(python3 many.py 2393 100)"
	is "$which: -D at once" 100 "$(python3 many.py 2394 100 socks)"
	is "$which: -R at once" 100 "$(python3 many.py 2395 100)"
	touch home/deploy/go
	good=0
	for i in {1..100}; do
		wait ${waiting[i - 1]}
		[[ $? == "$i" && $(cat many.$i) == "here-$i"$'\n'"$(seq $i 2000 | cksum)" ]] && good=$((good + 1))
	done
	is "$which: each with its output and status" 100 $good
	ssh -F ssh -o ControlPath=$dir/m-$which -O exit $which 2>/dev/null
done
echo "# a hundred connections that are slow to come about"
if ip link add slow0 type veth peer name slow1 && ip link set slow1 up && ip link set slow0 up && ip addr add 192.0.2.1/24 dev slow0 &&
	ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev slow0; then
	cat >slow.py <<'X'
import os, socket, sys, time
asked = []
for i in range(100):
    s = socket.create_connection(("127.0.0.1", 2394)); s.settimeout(120)
    s.sendall(b"\x05\x01\x00"); s.recv(2); s.sendall(b"\x05\x01\x00\x01\xc0\x00\x02\x09\x00\x50")
    asked.append(s)
open("asked", "w")
time.sleep(3)
for _ in range(1200):
    if os.path.exists("over"): break
    time.sleep(0.1)
def ended(s):
    s.setblocking(False)
    try: return s.recv(2)[1:2] != b"\x00" or s.recv(100) == b""
    except BlockingIOError: return False
    except OSError: return True
print(sum(map(ended, asked)))
X
	for which in ours stock; do
		rm -f asked over
		ssh -F ssh -o ControlMaster=yes -o ControlPath=$dir/s-$which -fN -D 2394 $which
		python3 slow.py >slow.out & slow=$!
		soon test -e asked
		is "$which: a session meanwhile" yes "$(timeout 90 ssh -F ssh -o ControlPath=$dir/s-$which $which echo yes)"
		touch over
		wait $slow
		is "$which: none is refused" 0 "$(cat slow.out)"
		ssh -F ssh -o ControlPath=$dir/s-$which -O exit $which 2>/dev/null
	done
else
	echo "   skipped: no virtual network device"
fi
servers <<<'MaxSessions 2'
for which in ours stock; do
	ssh -F ssh -o ControlMaster=yes -o ControlPath=$dir/f-$which -fN $which
	waiting=()
	rm -f home/deploy/{in-1,in-2,go}
	for i in 1 2; do
		ssh -F ssh -o ControlPath=$dir/f-$which $which "touch in-$i; while [ ! -e go ]; do sleep 0.1; done" &
		waiting+=($!)
	done
	soon test -e home/deploy/in-1 && soon test -e home/deploy/in-2
	run $which "-o ControlPath=$dir/f-$which -o LogLevel=INFO" 'echo one too many'
	touch home/deploy/go
	wait "${waiting[@]}"
	sed -i -E 's/open failed: .*/open failed: WORDS/' $which.err
	ssh -F ssh -o ControlPath=$dir/f-$which -O exit $which 2>/dev/null
done
compare "one more than MaxSessions"
finished
