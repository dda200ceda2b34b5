# SPDX-License-Identifier: Apache-2.0
# Sourced by test_openssh_table.sh and test_warren_ssh_table.sh, behind lib.sh, prepare, mesh and login: what
# people do with an SSH client, for each client the same. $CLIENT is the program, given to scp -S, rsync
# -e and git as it is; its only other options are what is asked for.
host=second.warren.internal

listen() { # NAMESPACE PORT TEXT: says the text after an empty line or the end of what it is sent
	printf '#!/bin/sh\nsed -u "/^\r*$/q" >/dev/null\necho %s\n' "$3" >$T/bin/say-$3
	chmod 755 $T/bin/say-$3
	ip netns exec "$1" socat -t 60 TCP-LISTEN:$2,fork,reuseaddr,bind=127.0.0.1 EXEC:$T/bin/say-$3 2>>$T/log/socat &
	within 60 ip netns exec "$1" bash -c "exec 3<>/dev/tcp/127.0.0.1/$2"
}
get() { ip netns exec "$1" socat -t 60 - TCP:127.0.0.1:$2 </dev/null; } # NAMESPACE PORT
closed() { [[ $(ip netns exec "$1" ss -Hltn) != *:"$2 "* ]]; }		    # NAMESPACE PORT
on_terminal() { # STEP… -- ARGUMENTS of the client
	local steps=()
	while [ "$1" != -- ]; do
		steps+=("$1")
		shift
	done
	shift
	on first python3 "$WARREN_SRC/tests/support/terminal.py" "${steps[@]}" -- $CLIENT "$@" >$T/terminal 2>&1 ||
		fail "$CLIENT on a terminal: $(cat $T/terminal)"
}

table_statuses() {
	note "status, streams and standard input"
	expect 0 setsid ip netns exec first env WARREN_SOCKET=$T/first.sock $CLIENT deploy@$host 'echo no-tty; tty || true'
	says no-tty
	expect 7 on first $CLIENT -o BatchMode=yes deploy@$host 'exit 7'
	expect 0 on first $CLIENT -T -n deploy@second 'echo short'
	says short
	expect 3 on first $CLIENT -o User=deploy second 'exit 3'
	expect 0 on first $CLIENT -l deploy -p 22 second 'echo "-p 33 $0"' -p 44 -v
	says '^-p 33 .*bash -p 44 -v$'
	expect 0 on first $CLIENT deploy@$host -- echo 'dashes are ours' -p 44
	says '^dashes are ours -p 44$'
	expect 255 on first $CLIENT deploy@$host 'kill -TERM $$'
	on first $CLIENT -v deploy@$host 'echo out' >$T/o 2>$T/e
	[ "$(cat $T/o)" = out ] && grep -q '^debug1: ' $T/e || fail "-v: $(cat $T/o $T/e)"
	setsid ip netns exec first env WARREN_SOCKET=$T/first.sock $CLIENT -t deploy@$host 'echo out' </dev/null >$T/o 2>$T/e
	grep -q '^Pseudo-terminal will not be allocated' $T/e || fail "-t without a terminal: $(cat $T/e)"
	setsid ip netns exec first env WARREN_SOCKET=$T/first.sock $CLIENT -q -t deploy@$host 'echo out' </dev/null >$T/o 2>$T/e
	[ "$(cat $T/o)" = out ] && [ ! -s $T/e ] || fail "-q: $(cat $T/o $T/e)"
	expect 255 on first $CLIENT -o NoSuchOption=1 deploy@$host true
	on first $CLIENT deploy@$host 'echo out; echo err >&2' >$T/o 2>$T/e
	[ "$(cat $T/o)" = out ] && [ "$(cat $T/e)" = err ] || fail "stderr is not apart: $(cat $T/o $T/e)"
	[ "$(printf abc | on first $CLIENT deploy@$host 'cat; echo; echo done')" = 'abc
done' ] || fail "end of file on standard input"
	[ "$(on first $CLIENT -n deploy@$host cat </etc/passwd)" = "" ] || fail "-n reads standard input"
	[ "$(head -c 100 /dev/zero | on first $CLIENT deploy@$host 'exec 0<&-; sleep 0.3; echo deaf')" = deaf ] ||
		fail "a command that closes its input"
}

table_bytes() {
	note "much of everything arrives whole: down, up, both at once, stderr beside it, a slow reader"
	local sum
	[ -f $T/big ] || head -c 30000000 /dev/urandom >$T/big
	sum=$(sha256sum <$T/big)
	[ "$(on first $CLIENT deploy@$host sha256sum <$T/big)" = "$sum" ] || fail "up"
	cp $T/big $T/home/deploy/big
	[ "$(on first $CLIENT deploy@$host cat big </dev/null | sha256sum)" = "$sum" ] || fail "down"
	[ "$(on first $CLIENT deploy@$host cat <$T/big | sha256sum)" = "$sum" ] || fail "both at once"
	on first $CLIENT deploy@$host 'cat big; cat big >&2' </dev/null 2> >(sha256sum >$T/sum2) | sha256sum >$T/sum1
	within 60 test -s $T/sum2
	[ "$(cat $T/sum1)" = "$sum" ] && [ "$(cat $T/sum2)" = "$sum" ] || fail "stderr beside stdout"
	[ "$(on first $CLIENT deploy@$host cat big </dev/null | (sleep 1; sha256sum))" = "$sum" ] || fail "a slow reader"
	[ "$(on first $CLIENT deploy@$host 'cat big; exit 5' </dev/null | head -c 5 | wc -c)" = 5 ] || fail "a reader that leaves"
	on first $CLIENT deploy@$host 'cat big' </dev/null >$T/file
	cmp $T/big $T/file || fail "into a file"
	rm -f $T/home/deploy/big $T/file
}

table_terminal() {
	note "a shell on a terminal: window changes, ^C, escapes, and the terminal given back"
	# OpenSSH sends what was typed before the window's size, where it hears of both at once.
	on_terminal expect:'\$ ' raw send:'stty size; tty\r' expect:'24 80' expect:/dev/pts expect:'\$ ' \
		resize:132x50 send:'\r' expect:'\$ ' send:'stty size\r' expect:'50 132' \
		send:'sh -c "echo st""arted; exec sleep 60"\r' expect:started send:'\x03' expect:'\$ ' \
		send:'exit 4\r' status:4 restored -- deploy@$host
	on_terminal expect:'\$ ' send:'sh -c "echo st""arted; exec sleep 600"\r' expect:started send:'\r~.' status:255 restored -- deploy@$host
	on_terminal expect:'\$ ' send:'echo ~~x~.y | tr x z\r' expect:'~~z~\.y' send:'~~.\r' expect:'~\.: ' \
		send:'exit\r' status:127 restored -- deploy@$host
	on_terminal expect:'\$ ' kill:TERM status:255 restored -- deploy@$host
	on_terminal expect:/dev/pts status:6 restored -- -t deploy@$host 'tty; exit 6'
	on_terminal expect:'not a tty' status:1 restored -- -T deploy@$host tty
	on_terminal expect:'not a tty' status:1 restored -- deploy@$host tty
	expect 0 on first $CLIENT -tt deploy@$host 'tty; stty size' </dev/null
	says /dev/pts
	expect 1 on first $CLIENT -t deploy@$host tty </dev/null
	says 'will not be allocated'
	[ "$(on first $CLIENT -tt deploy@$host 'printf "a\nb\n"' </dev/null 2>/dev/null | od -An -c | tr -d ' \n')" = 'a\r\nb\r\n' ] ||
		fail "line ends of -tt"
}

table_forwards() {
	local pid port
	note "-L, -D, -W and -N"
	[ -n "${listening_7777:-}" ] || listen second 7777 from-second
	[ -n "${listening_7777:-}" ] || listen first 8004 from-first
	listening_7777=1
	on first $CLIENT -N -o ExitOnForwardFailure=yes -L 127.0.0.1:8001:127.0.0.1:7777 -L 8006:localhost:7777 -D 127.0.0.1:8002 \
		-R 127.0.0.1:8005:127.0.0.1:8004 -R 0:localhost:8004 deploy@$host 2>$T/forwards &
	pid=$!
	for port in 8001 8006 8002; do listening first $port; done
	listening second 8005
	[ "$(get first 8001)" = from-second ] || fail "-L"
	[ "$(get first 8006)" = from-second ] || fail "-L without an address"
	[ "$(ip netns exec first socat -t 60 - 'TCP6:[::1]:8006' </dev/null)" = from-second ] || fail "-L on ::1"
	for version in 4 4a 5 5-hostname; do
		[ "$(ip netns exec first curl -s -m 60 --http0.9 --socks$version 127.0.0.1:8002 http://127.0.0.1:7777/ || true)" = from-second ] ||
			fail "-D with SOCKS $version"
	done
	[ "$(on first $CLIENT -W 127.0.0.1:7777 deploy@$host </dev/null)" = from-second ] || fail "-W"
	[ "$(on first $CLIENT -W '[::1]:7777' deploy@$host </dev/null 2>/dev/null || true)" = "" ] || fail "-W to ::1"
	expect 255 on first $CLIENT -W 127.0.0.1:7778 deploy@$host </dev/null
	expect 255 on first $CLIENT -W nothing.example:7778 deploy@$host </dev/null
	expect 255 on first $CLIENT -o ConnectTimeout=9 -W 198.18.0.9:9 deploy@$host </dev/null
	note "-R with a port given and with one of the server's choice"
	[ "$(get second 8005)" = from-first ] || fail "-R"
	within 60 grep -q 'Allocated port' $T/forwards
	port=$(grep -oE 'Allocated port [0-9]+' $T/forwards | grep -oE '[0-9]+$')
	[ "$(get second $port)" = from-first ] || fail "-R 0"
	note "a forward that cannot be made is said, and with ExitOnForwardFailure ends the connection"
	expect 255 on first $CLIENT -o ExitOnForwardFailure=yes -L 127.0.0.1:8001:127.0.0.1:7777 deploy@$host true
	expect 255 on first $CLIENT -o ExitOnForwardFailure=yes -R 127.0.0.1:8005:127.0.0.1:7777 deploy@$host true
	expect 0 on first $CLIENT -L 127.0.0.1:8001:127.0.0.1:7777 deploy@$host true
	[ "$(get first 8001)" = from-second ] || fail "-L afterwards"
	kill $(pgrep -f -- '-L 127.0.0.1:8001:' | tr '\n' ' ') 2>/dev/null || true
	wait $pid || true
	within 60 closed first 8001
	within 60 closed second 8005
	note "-f"
	on first $CLIENT -f -N -L 127.0.0.1:8007:127.0.0.1:7777 deploy@$host </dev/null
	[ "$(get first 8007)" = from-second ] || fail "-f -N -L"
	kill $(pgrep -f -- '-L 127.0.0.1:8007:' | tr '\n' ' ') 2>/dev/null || true
	within 60 closed first 8007
	note "the editor's way: -T with a long-lived -D, a script on stdin"
	rm -f $T/script
	mkfifo $T/script
	on first $CLIENT -T -D 127.0.0.1:8010 -o ConnectTimeout=30 deploy@$host bash <$T/script >$T/editor 2>&1 &
	pid=$!
	exec 9>$T/script
	echo 'echo ready' >&9
	within 60 grep -q ready $T/editor
	for _ in 1 2 3; do
		[ "$(ip netns exec first curl -s -m 60 --http0.9 --socks5 127.0.0.1:8010 http://127.0.0.1:7777/ || true)" = from-second ] ||
			fail "-D of the editor"
	done
	echo 'exit 5' >&9
	exec 9>&-
	got=0
	wait $pid || got=$?
	[ $got = 5 ] || fail "the editor's script left status $got"
}

table_parallel() {
	note "30 connections at once"
	local pids= bad=0 i p
	for i in $(seq 30); do
		on first $CLIENT -o BatchMode=yes deploy@$host "echo $i" </dev/null >$T/par.$i 2>>$T/par-err &
		pids="$pids $!"
	done
	for p in $pids; do wait $p || bad=$((bad + 1)); done
	for i in $(seq 30); do [ "$(cat $T/par.$i)" = "$i" ] || bad=$((bad + 1)); done
	[ $bad = 0 ] || fail "$bad of 30 connections: $(sort $T/par-err | uniq -c)"
}

table_agent() {
	note "-A with the user's own agent: on the target its keys are there, and gone afterwards"
	if [ ! -S $T/agent ]; then
		eval "$(ssh-agent -a $T/agent)" >/dev/null
		echo $SSH_AGENT_PID >$T/pids/agent
		ssh-keygen -q -t ed25519 -N '' -C of-the-user -f $T/agent-key
		ssh-add -q $T/agent-key
	fi
	export SSH_AUTH_SOCK=$T/agent
	expect 0 on first $CLIENT -A deploy@$host 'ssh-add -l; echo "$SSH_AUTH_SOCK" >sock'
	says of-the-user
	within 60 ip netns exec second sh -c "[ ! -S \"\$(cat $T/home/deploy/sock)\" ]"
	expect 1 on first $CLIENT deploy@$host '[ -n "$SSH_AUTH_SOCK" ]'
	unset SSH_AUTH_SOCK
}

table_environment() {
	note "SendEnv LC_*, SetEnv"
	expect 0 env LC_WARREN=seen bash -c '. /dev/stdin; on first $CLIENT -o SendEnv="LC_*" deploy@'$host' "echo got \$LC_WARREN"' \
		<<<"$(declare -f on); T=$T; CLIENT=$CLIENT"
	says '^got seen'
	expect 0 on first $CLIENT -o SetEnv=LC_OTHER=set deploy@$host 'echo got $LC_OTHER'
	says '^got set'
}

table_copies() {
	note "sftp, scp with both protocols and between two remote ends, rsync, git"
	local f
	rm -rf $T/home/deploy/* $T/work $T/clone $T/back
	[ -f $T/blob ] || head -c 3000000 /dev/urandom >$T/blob
	on first scp -S $CLIENT -q $T/blob deploy@$host:one
	on first scp -S $CLIENT -q -O $T/blob deploy@$host:two
	on first scp -S $CLIENT -q -3 deploy@$host:one deploy@second:three
	on first sftp -S $CLIENT -q -b - deploy@$host >/dev/null <<<"put $T/blob four
rename four five
mkdir d
put $T/blob d/six"
	on first rsync -a -e $CLIENT $T/blob deploy@$host:seven
	for f in one two three five d/six seven; do cmp $T/blob $T/home/deploy/$f || fail "$f differs"; done
	on first scp -S $CLIENT -q -r deploy@$host:d $T/back
	cmp $T/blob $T/back/six || fail "scp -r"
	expect 1 on first scp -S $CLIENT -q deploy@$host:missing $T/missing
	export GIT_SSH=$CLIENT
	git -c init.defaultBranch=main init -q $T/work
	cp $T/blob $T/work/
	git -C $T/work add blob
	git -C $T/work -c user.name=t -c user.email=t@t commit -q -m one
	on first $CLIENT deploy@$host 'git init -q --bare -b main repo.git'
	on first git -C $T/work push -q deploy@$host:repo.git HEAD:main
	on first git clone -q deploy@$host:repo.git $T/clone
	cmp $T/blob $T/clone/blob || fail "git clone"
	unset GIT_SSH
}

client_table() { # CLIENT
	CLIENT=$1
	note "== $CLIENT"
	table_statuses
	table_bytes
	table_terminal
	table_forwards
	table_parallel
	table_agent
	table_environment
	table_copies
}
