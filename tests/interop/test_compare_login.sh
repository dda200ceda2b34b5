#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Logging in, through our server and through a stock sshd on the same machine: who may not, what a login
# shows, leaves in the records, inherits, and runs before its shell.
. "$WARREN_SRC/tests/interop/lib_compare.sh"
account locked 2003 /bin/bash '!$y$x' ''
account expired 2004 /bin/bash '*' 100
account closed 2005 /usr/sbin/nologin '*' ''
account falsehood 2006 /bin/false '*' ''
account gone 2007 /bin/nosuchshell '*' ''
account odd 2008 /mnt/compare/oddshell '*' ''
account overdue 2009 /bin/bash '*' ''
sed -i 's/^overdue:.*/overdue:*:0:0:99999:7:::/' /etc/shadow # must change a password
account nowhere 2010 /bin/bash '*' ''
rmdir home/nowhere
account first 2011 /bin/bash '*' ''
printf '#!/bin/sh\necho "odd: $0 $*"\n' >oddshell && chmod 755 oddshell
echo "extra:x:2100:deploy" >>/etc/group
echo 'the message of the day' >/etc/motd
servers <<<'MaxSessions 10'

echo "# who may not: shell, command, files and forwards alike"
socat TCP-LISTEN:2399,reuseaddr,fork,bind=127.0.0.1 SYSTEM:'echo there' & ends+=($!)
socat TCP-LISTEN:2398,reuseaddr,bind=127.0.0.1 SYSTEM:'echo there' & ends+=($!)
soon sh -c 'ss -Hltn "sport = 2399" | grep -q .'
refused() { # WHICH LOGIN PART: by every way, and ours says why
	local how all=0 got
	for how in "-T" "-tt" "cmd" "-s" "-W 127.0.0.1:2399" "-N -o ExitOnForwardFailure=yes -R 2396:127.0.0.1:1"; do
		case $how in
		cmd) ssh -F ssh -l "$2" "$1" true ;;
		-s) ssh -F ssh -l "$2" -s "$1" sftp ;;
		# shellcheck disable=SC2086
		*) timeout 90 ssh -F ssh $how -l "$2" "$1" ;;
		esac </dev/null >out 2>&1
		got=$?
		[[ $got == 255 ]] && ! grep -q there out || { all=1; echo "  $how: status $got: $(head -c 300 out)"; }
	done
	ssh -F ssh -o LogLevel=INFO -l "$2" "$1" true </dev/null >out 2>&1
	grep -q -- "$3" out || { all=1; echo "  says $(cat out)"; }
	((all == 0))
	ok "$1 refuses $2"
}
refused ours locked 'is locked on this machine'
refused ours expired 'has expired on this machine'
refused stock expired 'account has expired'
refused ours closed 'its shell is /usr/sbin/nologin'
refused ours falsehood 'its shell is /bin/false'
refused ours gone 'no usable shell'
refused stock gone 'Permission denied'
refused ours odd 'is not in /etc/shells'
refused ours overdue 'may not be used on this machine'
refused ours nobodyhere 'there is no account nobodyhere\|Permission denied'
is "none of these opened a session" 0 "$(who | wc -l)"
echo "$dir/oddshell" >>/etc/shells
same '-l odd' 'some words' '' "a shell that is listed, and no common one"
same '-T -l odd' '' ''
mv /etc/shells shells
same '-l odd' 'some words' '' "a machine without a list of shells"
mv shells /etc/shells

echo "# /etc/nologin"
echo 'closed until noon' >/etc/nologin
refused ours deploy 'closed until noon'
refused stock deploy 'closed until noon'
same '-l root' 'echo root is in'
ssh -F ssh -tt -l root stock true </dev/null >/dev/null 2>&1
same '-tt -l root' '' 'exit
' "root reads it"
rm /etc/nologin

echo "# what a login shows"
greeting() { # NAME: prompts are of the shell, so it has none
	ssh -F ssh -tt stock true </dev/null >/dev/null 2>&1 # a login before
	same '-tt' '' 'exit 3
' "$1"
	both_end 3
}
echo 'PS1=' >home/deploy/.bash_profile
for motd in no yes; do
	servers <<<"PrintMotd $motd"
	greeting "a shell on a terminal, PrintMotd $motd"
	grep -q 'Last login: ' ours.out; ok "  the last login"
	is "  the message" $([[ $motd == yes ]] && echo 2 || echo 1) "$(grep -c 'message of the day' ours.out)"
	same -T '' 'exit 4' "a shell without a terminal"
	same -tt 'echo only this'
	touch home/deploy/.hushlogin
	greeting "hushed"
	! grep -q 'message\|Last' ours.out; ok "  nothing"
	same -T '' 'exit 4' "hushed, without a terminal"
	rm home/deploy/.hushlogin
done
servers <<<"PrintLastLog no"
greeting "PrintLastLog no"
! grep -q 'Last login' ours.out; ok "  no last login"
servers <<<'MaxSessions 10'
for which in ours stock; do
	: >/var/log/lastlog
	printf 'exit\n' >stdin
	run $which '-tt -l first' '' <stdin
done
compare "the first login of all"
same -T 'echo in' '' "no home folder" '-l nowhere'
same '-l nowhere' 'pwd'
same '-l nowhere -T' '' 'pwd'

echo "# records"
records() { # WHICH: of a session while it lasts and after it
	: >/run/utmp; : >/var/log/wtmp; : >/var/log/lastlog
	ssh -F ssh -tt "$1" 'touch began; while [ ! -e end ]; do sleep 0.1; done' </dev/null >/dev/null 2>&1 &
	soon test -e home/deploy/began
	who | sed -E 's/20[0-9-]+ [0-9:]+/DATE/; s/\r//'
	utmpdump /run/utmp 2>/dev/null | sed -E 's/\[[0-9]{5,}\]/[PID]/; s/\[20[^]]*\]/[DATE]/'
	touch home/deploy/end
	wait $!
	rm home/deploy/began home/deploy/end
	soon sh -c '[ -z "$(who)" ]' || echo "who: $(who)"
	soon sh -c '[ "$(utmpdump /var/log/wtmp 2>/dev/null | wc -l)" -ge 2 ]' # the end comes there last
	for f in /run/utmp /var/log/wtmp; do
		utmpdump $f 2>/dev/null | sed -E 's/\[[0-9]{5,}\]/[PID]/; s/\[20[^]]*\]/[DATE]/'
	done
	last -w -f /var/log/wtmp | sed -E 's/[A-Z][a-z]{2} [A-Z][a-z]{2} .*(\([0-9:]*\)|still.*|gone.*)/DATE/; /^wtmp begins/d; /^[^ ]*wtmp/d'
	lastlog -u deploy | sed -E 's/[A-Z][a-z]{2} [A-Z][a-z]{2} .*/DATE/'
	ssh -F ssh "$1" true
	utmpdump /var/log/wtmp 2>/dev/null | wc -l
}
records ours >ours.out 2>ours.err
records stock >stock.out 2>stock.err
echo 0 | tee ours.status >stock.status
LINES_SHOWN=40 compare "who, last, lastlog, and the files themselves"
grep -q '^deploy *pts' ours.out; ok "  it is there"

echo "# what a session inherits"
same '' 'umask; id -a; cat /proc/self/loginuid; echo; nice; cat /proc/self/oom_score_adj'
same '' 'ulimit -aS; ulimit -aH'
if [[ -e /etc/security/limits.conf ]]; then
	printf 'deploy hard nofile 123\ndeploy soft nofile 45\n@extra hard core 7\n* hard nproc 999\n' >/etc/security/limits.conf
	same '' 'ulimit -n -Hn -Hc -Hu' '' "limits of pam_limits"
	ulimits=$(cat ours.out)
	[[ $ulimits == *123* && $ulimits == *999* ]]; ok "  which are in force"
	same -tt 'ulimit -Hn'
	: >/etc/security/limits.conf
fi
echo 'session optional pam_umask.so umask=0027' >>/etc/pam.d/sshd
same '' umask '' "umask of pam_umask"
is "  which is in force" 0027 "$(cat ours.out)"
sed -i '$d' /etc/pam.d/sshd
same -tt 'stat -c "%U %G %a" "$(tty)"; mesg; ps -o stat= -p $$ | tr -d "+sRS"'
same '' 'grep -E "^(Sig(Blk|Ign)|NoNewPrivs|CapEff|CapBnd|CapInh|Seccomp|Groups)" /proc/self/status'
same '' 'echo $0; echo "$-"'
same -T '' 'echo $0; shopt -q login_shell && echo login' "a login shell without a terminal"
same '-l root' 'umask; id; echo $PATH; pwd; cat /proc/self/loginuid'
same '' 'cat /proc/self/cgroup; readlink /proc/self/ns/*'
same '' 'keyctl show 2>/dev/null | head -n 1; env | grep -vE "^(SSH_|_=|MAIL=|MOTD_SHOWN=)" | sort'

echo "# ~/.ssh/rc, /etc/ssh/sshrc, ~/.ssh/environment"
mkdir home/deploy/.ssh
cat >home/deploy/.ssh/rc <<'X'
echo "user rc: $0 $# $(pwd) ${SSH_CONNECTION:+connected} [$(cat)] $(test -t 0 || echo no terminal)"; echo "to stderr" >&2; exit 9
X
echo 'FROM_FILE=1' >home/deploy/.ssh/environment
chown -R deploy: home/deploy
for way in '' -tt; do
	same "$way" 'echo "[$FROM_FILE]"; exit 2' 'not for rc'
	grep -q 'user rc' ours.out; ok "  it ran"
done
for which in ours stock; do # sshd's own words wait in a buffer there
	echo 'echo after; exit 5' | run $which -T ''
	sort -o $which.out $which.out
done
compare "a shell without a terminal"
same '-s' sftp ''
same '' 'cat' 'the input is the command'"'"'s'
servers <<<'PermitUserRC no'
same '' 'echo without'
! grep -q 'user rc' ours.out; ok "  it did not run"
servers <<<"ForceCommand echo forced; echo \$SSH_ORIGINAL_COMMAND"
same '' 'echo other'
same -T '' ''
servers <<<'MaxSessions 10'
sed -i 's/^/no-user-rc /' keys
same '' 'echo without'
sed -i 's/^no-user-rc /restrict,user-rc,command="echo mine" /' keys
same '' 'echo with'
same '-s' sftp ''
cp id.pub keys
rm -r home/deploy/.ssh
echo 'echo "system rc: $0 $(id -un)"' >/etc/ssh/sshrc
same '' 'echo after'
grep -q '^system rc' ours.out; ok "  it ran"
same -tt 'echo after'
rm /etc/ssh/sshrc
finished
