#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The same commands through our server and through a stock sshd on the same machine, for the same account:
# statuses, streams, terminals, environment, forwards. What differs on purpose: the words
# for a subsystem that is not there. And the algorithms that we offer. RUNS: how often a long output is compared (20; 1,000 once).
. "$WARREN_SRC/tests/netns/lib.sh"
command -v sshd >/dev/null || [ -x /usr/sbin/sshd ] || skip "no sshd"
prepare
mesh
login
on first warren openssh install
host=second.warren.internal

ssh-keygen -q -t ed25519 -N '' -f $T/id
ssh-keygen -q -t ed25519 -N '' -f $T/hostkey
mkdir -p /run/sshd $T/home/deploy/.ssh
cp $T/id.pub $T/home/deploy/.ssh/authorized_keys
chown -R deploy:deploy $T/home/deploy/.ssh
chmod 700 $T/home/deploy/.ssh
cat >$T/sshd.conf <<X
Port 2222
HostKey $T/hostkey
PidFile none
UsePAM yes
AcceptEnv LANG LC_*
Subsystem sftp internal-sftp
X
spawn sshd second /usr/sbin/sshd -D -e -f $T/sshd.conf
listening second 2222
ours="-o BatchMode=yes -o LogLevel=ERROR deploy@$host"
stock="-F none -p 2222 -i $T/id -o IdentitiesOnly=yes -o BatchMode=yes -o LogLevel=ERROR -o StrictHostKeyChecking=no
 -o UserKnownHostsFile=/dev/null -o SendEnv=LC_* deploy@203.0.113.2"

# Both give the same bytes on stdout and stderr and the same status.
differ=0
run() { # WHICH FLAGS COMMAND
	local got=0
	# shellcheck disable=SC2086
	LC_TEST=value on first timeout 120 ssh $2 ${!1} "$3" <"$T/stdin" >"$T/$1.out" 2>"$T/$1.err" || got=$?
	echo $got >"$T/$1.status"
	sed -i 's#/dev/pts/[0-9]*#/dev/pts/N#g; s/\r$/<CR>/' "$T/$1.out"
	# Who is connected with whom is of the network.
	sed -i -E 's/(^|<)([0-9.]+) [0-9]+ [0-9.]+ (22|2222)$/CONNECTION/; s/^([0-9.]+) [0-9]+ (22|2222)$/CLIENT/' "$T/$1.out"
}
same() { # FLAGS COMMAND [STDIN]
	printf '%s' "${3:-}" >$T/stdin
	run ours "$1" "$2"
	run stock "$1" "$2"
	for what in status out err; do
		cmp -s "$T/ours.$what" "$T/stock.$what" && continue
		echo "   differs ($what): ssh $1 '$2'"
		diff "$T/stock.$what" "$T/ours.$what" | head -n 6 || true
		differ=$((differ + 1))
	done
}

note "statuses"
for command in true false 'exit 0' 'exit 42' 'exit 255' 'exit 256' no-such-command /etc/passwd 'kill -TERM $$' \
	'kill -KILL $$' 'kill -ABRT $$' 'exec /nonexistent'; do
	same '' "$command"
done
note "streams"
same '' 'echo out; echo err >&2; exit 3'
same '' cat 'some text'
same '' 'cat; echo after' 'half-closed'
same '' 'exec >&- 2>&-; sleep 0.2; exit 5'
same '-n' 'cat; echo end' ignored
same '' 'head -c 3; exit 4' "$(seq 1 20000)"
same '' 'printf "no newline"'
same '' 'sleep 0.3 & echo back'
same '' 'trap "" PIPE; yes | head -n 2'
same '' "echo $(printf 'x%.0s' $(seq 1 20000)) | wc -c"
note "long commands, over one connection that goes on"
# A word has at most 131,071 bytes, and ssh joins words.
long() { printf "%${1}s" | tr ' ' x; }
printf '' >$T/stdin
for which in ours stock; do
	# shellcheck disable=SC2086
	on first ssh -M -S $T/mux-$which -fN ${!which}
	for size in 32000 33000 60000 65400 65600 100000 131050 131060 140000 150000 200000 250000; do
		got=0
		# shellcheck disable=SC2046,SC2086
		on first timeout 120 ssh -S $T/mux-$which ${!which} 'echo ' $(long $((size / 2))) $(long $((size / 2))) '| wc -c' \
			<$T/stdin >$T/long.out 2>$T/long.err || got=$?
		echo "$size $got $(cat $T/long.out)"
		[ $size -lt 147000 ] || [ $which = stock ] || { [ $got = 255 ] && grep -q 'too long' $T/long.err; } ||
			fail "$size bytes: status $got, $(cat $T/long.err)"
	done >$T/long-$which
	# shellcheck disable=SC2086
	on first ssh -O check -S $T/mux-$which ${!which} 2>/dev/null || fail "$which: the connection is gone"
	# shellcheck disable=SC2086
	on first ssh -O exit -S $T/mux-$which ${!which} 2>/dev/null
done
# Those that fit into our packets: the same. Longer ones no system executes.
diff <(head -n 9 $T/long-stock) <(head -n 9 $T/long-ours) || differ=$((differ + 1))
for size in 511 512 4095 4096 9000; do # of a variable: from 4096 on only sshd takes it
	got=$(LC_LONG=$(long $size) on first timeout 120 ssh -o SendEnv=LC_LONG $ours 'echo "$LC_LONG" | wc -c') ||
		fail "a variable of $size bytes ends the session"
	[ "$got" = $((size < 4096 ? size + 1 : 1)) ] || fail "a variable of $size bytes: $got"
done
note "terminals"
same -tt 'echo one; echo two; exit 6'
same -tt 'stty -a | tr ";" "\n" | grep -c .; tty; stat -c "%U %G %a" $(tty)'
same -tt 'test -t 0 && test -t 1 && test -t 2 && echo all'
same -tt 'kill -INT $$'
same -T 'tty; test -t 0 || echo none'
note "the process's surroundings"
same '' 'echo "$LC_TEST $USER $LOGNAME $HOME $SHELL $PATH $PWD"'
same '' 'umask; id; ulimit -a'
same '' 'echo "$SSH_CONNECTION"; echo "$SSH_CLIENT"; echo "[$SSH_TTY]"'
same -tt 'echo "[$SSH_TTY]"'
same '' 'echo $0; shopt -q login_shell && echo login; echo $-'
same '' 'cat /proc/self/loginuid; echo; ps -o nice= -p $$'
same '' 'readlink /proc/self/fd/* | grep -vc "pipe\|socket\|/proc/\|/dev/null" || true'
echo 'echo from bashrc' >$T/home/deploy/.bashrc
echo 'echo from profile; FROM=profile' >$T/home/deploy/.bash_profile
chown deploy:deploy $T/home/deploy/.bashrc $T/home/deploy/.bash_profile
same '' 'echo command'
rm $T/home/deploy/.bashrc $T/home/deploy/.bash_profile
echo 'echo "rc as $(id -un)"' >$T/home/deploy/.ssh/rc
chmod 644 $T/home/deploy/.ssh/rc
same '' 'echo command'
grep -q 'rc as deploy' $T/ours.out || fail "~/.ssh/rc did not run: $(cat $T/ours.out)"
rm $T/home/deploy/.ssh/rc
note "subsystems and files"
printf '' >$T/stdin
for which in ours stock; do
	run $which -s no-such-subsystem
	[ "$(cat $T/$which.status)" = 255 ] || fail "$which: an unknown subsystem gives $(cat $T/$which.status)"
done
for which in ours stock; do
	# shellcheck disable=SC2086
	echo 'ls /etc/hostname' | on first sftp -q -b - $(sed 's/-p 2222/-P 2222/' <<<"${!which}") >$T/$which.sftp 2>&1 || true
done
cmp $T/ours.sftp $T/stock.sftp || differ=$((differ + 1))

note "not a byte is lost at the end, ${RUNS:=20} runs without and with a terminal, over one connection"
seq 1 100000 >$T/seq
for which in ours stock; do
	# shellcheck disable=SC2086
	on first ssh -M -S $T/mux-$which -fN ${!which}
	for i in $(seq "$RUNS"); do
		# shellcheck disable=SC2086
		on first ssh -S $T/mux-$which ${!which} 'seq 1 100000' </dev/null | cmp - $T/seq || fail "$which: run $i"
		# shellcheck disable=SC2086
		on first ssh -tt -S $T/mux-$which ${!which} 'seq 1 100000' </dev/null | tr -d '\r' | cmp - $T/seq ||
			fail "$which: run $i with a terminal"
	done
	# shellcheck disable=SC2086
	on first ssh -O exit -S $T/mux-$which ${!which} 2>/dev/null
done

note "a remote forward belongs to its connection; one to a socket's path is refused at once"
on first ssh -M -S $T/mux-a -fN -o ExitOnForwardFailure=yes -R 7960:127.0.0.1:22 $ours
expect 255 on first timeout 60 ssh -N -o ExitOnForwardFailure=yes -R 7960:127.0.0.1:22 $ours
says 'remote port forwarding failed'
listening second 7960
expect 255 on first timeout 60 ssh -N -o ExitOnForwardFailure=yes -R $T/forward.sock:127.0.0.1:22 $ours
says 'remote port forwarding failed'
on first ssh -O exit -S $T/mux-a $ours 2>/dev/null

note "accounts that may not log in: shell, exec, sftp and forwards alike"
add_account gone 61821 /bin/bash '*'
# In place: the file is mounted over the machine's.
sed 's/^gone:.*/gone:*:10000:0:99999:7::10001:/' $T/etc/shadow >$T/shadow
cat $T/shadow >$T/etc/shadow
policy <<X
{ "rules": [ { "from": ["peer:first"], "to": ["peer:second"], "ports": "22,2222" } ],
  "ssh": [ { "from": ["$USER_MAIL"], "to": ["peer:second"], "logins": ["deploy", "gone"],
             "allow": ["shell", "exec", "sftp", "forward"] } ] }
X
within 60 on first ssh -o BatchMode=yes deploy@$host true
for how in "gone@$host true" "-tt gone@$host" "-N -L 7901:127.0.0.1:22 gone@$host" "-s gone@$host sftp"; do
	# shellcheck disable=SC2086
	expect 255 on first timeout 120 ssh -o BatchMode=yes $how </dev/null
done

note "algorithms: strict key exchange; no CBC, no 3DES, no SHA-1, no MD5, nothing without encryption"
on first ssh -vv -o BatchMode=yes deploy@$host true 2>&1 | sed -n '/peer server KEXINIT/,/reserved/p' >$T/offer
grep -q 'KEX algorithms: .*kex-strict-s-v00@openssh.com' $T/offer || fail "no strict key exchange: $(cat $T/offer)"
for list in 'KEX algorithms' 'host key algorithms' 'ciphers ctos' 'ciphers stoc' 'MACs ctos' 'MACs stoc'; do
	grep -q "$list: ." $T/offer || fail "no $list in: $(cat $T/offer)"
done
if grep -E 'algorithms|ciphers|MACs' $T/offer | grep -E -- '-cbc|3des|arcfour|blowfish|cast128|sha1([^0-9]|$)|md5|ssh-rsa|ssh-dss|[ ,]none(,|$)|umac-64'; then
	fail "a weak algorithm is offered"
fi
[ $differ = 0 ] || fail "$differ differences"
echo "all good"
