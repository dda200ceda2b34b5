#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# `warren sshd` started by an ordinary user: it serves that account and says so, everything that needs no
# root works, and what parses SSH is confined as far as one can be without root.
. "$WARREN_SRC/tests/interop/lib_compare.sh"
account other 2002 /bin/bash '*' ''
user=(setpriv --reuid 2001 --regid 2001 --init-groups env HOME=$deploy PATH="$PATH")
as() { "${user[@]}" "$@"; }
own=$deploy/own
as mkdir -p $own/files && as ssh-keygen -q -t ed25519 -N '' -f $own/host
cp id.pub $own/keys && chown deploy: $own/keys
serve() { # configuration on stdin, and arguments of warren sshd
	local pid
	for pid in "${ends[@]}"; do kill $pid; wait $pid; done 2>/dev/null
	{ cat; echo "AuthorizedKeysFile $own/keys"; } >$own/conf
	chown deploy: $own/conf
	: >$own/log
	"${user[@]}" "$bin/warren" sshd -D -f $own/conf -h $own/host "$@" 2>$own/log &
	ends=($!)
	soon grep -q 'listening on=' $own/log || { cat $own/log; exit 1; }
}

echo "# it says what is wrong, and who it is for"
as "$bin/warren" sshd -D -f /dev/null >out 2>&1; is "no host key: status" 1 $?
grep -q 'HostKey .*ssh-keygen -t ed25519' out; ok "no host key: what to do"
as "$bin/warren" sshd -D -f /dev/null -h $own/host -p 22 >out 2>&1; is "port 22: status" 1 $?
grep -q 'cannot listen on .*:22: Permission denied.*-p 2222' out; ok "port 22: what to do"
serve -o ListenAddress=127.0.0.1 -p 2301 -o LogLevel=DEBUG <<<'MaxSessions 120'
grep -q 'runs without root: only its own account can log in.* account=deploy' $own/log; ok "its log says so"
! grep -q 'pid file' $own/log; ok "no pid file that it may not write"

echo "# its own account"
s() { timeout 90 ssh -F ssh ours "$@"; }
is "who" "deploy 2001" "$(s 'echo $(id -un) $(id -u)')"
s 'exit 7'; is "status" 7 $?
is "streams" "out|err" "$(s 'cat; echo err >&2' 2>err <<<out)|$(cat err)"
is "surroundings" "$deploy deploy /bin/bash $deploy" "$(s 'echo $HOME $USER $SHELL $PWD')"
is "groups stay" "$(as id -G)" "$(s 'id -G')"
is "its sessions may gain privileges as elsewhere" "0" "$(s 'grep NoNewPrivs /proc/self/status | cut -f2')"
[[ $(timeout 90 ssh -F ssh -tt ours 'stat -c "%U" $(tty); tty' </dev/null | tr -d '\r' | xargs) == "deploy /dev/pts/"* ]]; ok "a terminal of the user"
is "a shell" "-bash 4" "$({ printf 'echo $0; exit 4\n' | timeout 90 ssh -F ssh -T ours; echo ${PIPESTATUS[1]}; } | xargs)"
seq 1 50000 >expect; s seq 1 50000 | cmp -s - expect; ok "no byte is lost"
printf 'put /etc/hostname %s/files/a\nget %s/files/a b\n' $own $own | timeout 90 sftp -q -F ssh -b - ours >/dev/null && cmp -s b /etc/hostname; ok "sftp"
timeout 90 scp -q -F ssh /etc/hostname ours:own/files/c && cmp -s $own/files/c /etc/hostname; ok "scp"
timeout 90 scp -q -O -F ssh ours:own/files/c d && cmp -s d /etc/hostname; ok "scp -O"
socat TCP-LISTEN:2399,reuseaddr,fork,bind=127.0.0.1 SYSTEM:'echo there' & ends+=($!)
soon sh -c 'ss -Hltn "sport = 2399" | grep -q .'
is "-W" there "$(s -W 127.0.0.1:2399 2>/dev/null </dev/null || timeout 90 ssh -F ssh -W 127.0.0.1:2399 ours </dev/null)"
ssh -F ssh -o ControlMaster=yes -o ControlPath=$dir/m -o ExitOnForwardFailure=yes -fN -L 2391:127.0.0.1:2399 \
	-R 2392:127.0.0.1:2399 -D 2393 ours; ok "-L -R -D"
for p in 2391 2392; do is "through $p" there "$(socat -u TCP:127.0.0.1:$p -)"; done
ssh -F ssh -o ControlPath=$dir/m -O exit ours 2>/dev/null
ssh -F ssh -o ExitOnForwardFailure=yes -R 80:127.0.0.1:1 ours true 2>/dev/null; is "a port of root's" 255 $?
eval "$(ssh-agent -s)" >/dev/null && ends+=("$SSH_AGENT_PID") && ssh-add -q id
[[ $(timeout 90 ssh -F ssh -o IdentityAgent=SSH_AUTH_SOCK -A ours 'ssh-add -l') == *ED25519* ]]; ok "-A"
is "environment and its limits" "$(as sh -c 'ulimit -n')" "$(s 'ulimit -n')"
sed -i '1s/^/command="echo forced",restrict /' $own/keys
is "restrictions of a key" forced "$(s id)"
cp id.pub $own/keys

echo "# nobody else's"
for who in other root nobodyhere; do
	timeout 90 ssh -F ssh -o LogLevel=INFO -l $who ours true >out 2>&1 </dev/null; is "$who" 255 $?
	grep -q 'runs without root: it serves its own account only' out; ok "  who is told so"
done
timeout 90 ssh -F ssh -o LogLevel=INFO ours true 2>&1 </dev/null | grep -q 'without root'; is "its own is not" 1 $?
ssh-keygen -q -t ed25519 -N '' -f ca && cp id cert && cp id.pub cert.pub && ssh-keygen -q -s ca -I all -n root,other,deploy -V +1h cert.pub
cp ca.pub $own/ca.pub && chown deploy: $own/ca.pub
serve -o ListenAddress=127.0.0.1 -p 2301 <<<"TrustedUserCAKeys $own/ca.pub"
is "a certificate for it" deploy "$(timeout 90 ssh -F ssh -i cert -o CertificateFile=cert-cert.pub ours id -un)"
for who in root other; do
	timeout 90 ssh -F ssh -o LogLevel=INFO -i cert -o CertificateFile=cert-cert.pub -l $who ours id -un >out 2>&1; is "a certificate for $who" 255 $?
done
chmod 700 home/other
is "it is only the account's rights" "" "$(s "cat /etc/shadow; ls $dir/home/other" 2>/dev/null)"

echo "# confined"
s 'sleep 300' & held=$!
inside() { # the worker and the verifier of the session
	local monitor
	monitor=$(pgrep -P "${ends[0]}" -f warren-ssh-session | head -n 1)
	[[ -n $monitor ]] && pgrep -P "$monitor" -f 'warren-ssh-(worker|session)'
}
soon sh -c 'pgrep -x sleep -u 2001 >/dev/null'
count=0
for pid in $(inside); do
	count=$((count + 1))
	status=$(cat /proc/$pid/status)
	[[ $status == *$'\nNoNewPrivs:\t1'* && $status == *$'\nSeccomp:\t2'* ]]; ok "no new privileges, system calls by list"
	[[ $status == *$'\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000'* ]]; ok "no capabilities"
	grep -q 'Max processes *0 *0' /proc/$pid/limits && grep -q 'Max file size *0 *0' /proc/$pid/limits; ok "limits"
	if unshare -U true 2>/dev/null && as unshare -U true 2>/dev/null; then
		[[ $(readlink /proc/$pid/ns/user) != "$(readlink /proc/self/ns/user)" ]]; ok "a user namespace of its own"
		[[ $(readlink /proc/$pid/ns/net) != "$(readlink /proc/self/ns/net)" ]]; ok "a network without anything"
		[[ -z $(ls -A /proc/$pid/root/ 2>/dev/null) && $(stat -c %a /proc/$pid/root/) == 0 ]]; ok "an empty root"
	else
		echo "   skipped: this machine allows users no namespaces"
	fi
	as sh -c "head -c 1 /proc/$pid/mem" >/dev/null 2>&1; [[ $? != 0 ]]; ok "not even its own user reads its memory"
done
is "worker and verifier" 2 $count
kill $held; wait $held 2>/dev/null

echo "# on a machine that allows users no namespaces"
# As the user, in a user namespace that may have none below it.
none=(setpriv --reuid 2001 --regid 2001 --init-groups unshare -U --map-current-user --keep-caps
	sh -c 'echo 0 >/proc/sys/user/max_user_namespaces && exec setpriv --inh-caps=-all --ambient-caps=-all --bounding-set=-all "$@"' sh)
if "${none[@]}" true 2>/dev/null && ! "${none[@]}" unshare -U true 2>/dev/null; then
	"${none[@]}" "$bin/warren" sshd -D -f $own/conf -h $own/host -p 2306 -o ListenAddress=127.0.0.1 -o LogLevel=DEBUG -o PidFile=none 2>$own/log.none &
	ends+=($!)
	soon grep -q "listening on=" $own/log.none
	is "a login" deploy "$(timeout 90 ssh -F ssh -p 2306 ours id -un)"
	# Landlock takes the files away then (the kernel shows that nowhere: tests/unit/platform/test_process.c opens some).
	timeout 90 ssh -F ssh -p 2306 ours 'sleep 301' & held=$!
	soon sh -c 'pgrep -f "^sleep 301" -u 2001 >/dev/null'
	monitor=$(pgrep -P "${ends[-1]}" -f warren-ssh-session | head -n 1)
	count=0
	for pid in $(pgrep -P "$monitor" -f 'warren-ssh-(worker|session)'); do
		count=$((count + 1))
		status=$(cat /proc/$pid/status)
		[[ $status == *$'\nNoNewPrivs:\t1'* && $status == *$'\nSeccomp:\t2'* && $status == *$'\nCapEff:\t0000000000000000'* ]]; ok "no privileges, system calls by list"
		is "no namespace of its own" "$(readlink /proc/$monitor/ns/user /proc/$monitor/ns/net)" "$(readlink /proc/$pid/ns/user /proc/$pid/ns/net)"
	done
	is "worker and verifier" 2 $count
	kill $held; wait $held 2>/dev/null
	seq 1 50000 >expect; timeout 90 ssh -F ssh -p 2306 ours seq 1 50000 | cmp -s - expect; ok "no byte is lost"
else
	echo "   skipped: no user namespace to try it in"
fi

echo "# other ways to start"
is "inetd" inetd "$(timeout 90 ssh -F ssh -o ProxyCommand="setpriv --reuid 2001 --regid 2001 --init-groups $bin/warren sshd -i -f $own/conf -h $own/host" ours 'echo inetd')"
as "$bin/warren" sshd -f $own/conf -h $own/host -p 2305 -o ListenAddress=127.0.0.1 -o PidFile=$own/pid </dev/null >/dev/null 2>&1; is "background" 0 $?
soon test -s $own/pid && ends+=("$(cat $own/pid)"); ok "its pid file"
is "a login there" deploy "$(timeout 90 ssh -F ssh -p 2305 ours id -un)"
finished
