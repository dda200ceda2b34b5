#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# `warren sshd -T -C` beside stock `sshd -T -C`: the same configuration and the same caller give the same
# values of every keyword that both print. What stock sshd refuses is refused here too.
set -u
. "${WARREN_SRC:?}/tests/interop/lib_check.sh"
bin=${WARREN_BIN:?} sshd=/usr/sbin/sshd
[[ -x $sshd ]] || { echo "skipped: sshd is missing"; exit 77; }
dir=$(mktemp -d /tmp/sshd_config.XXXXXX)
trap 'rm -rf "$dir"' EXIT
mkdir -p /run/sshd
ssh-keygen -q -t ed25519 -N '' -f "$dir/key"

values() { # KEYWORDS from stdin's -T output, sorted within a keyword as they came
	grep -E "^($1) " || true
}
all='maxauthtries|maxsessions|clientaliveinterval|clientalivecountmax|unusedconnectiontimeout|permitrootlogin|pubkeyauthentication|passwordauthentication|kbdinteractiveauthentication|permittty|gatewayports|allowtcpforwarding|allowagentforwarding|disableforwarding|banner|forcecommand|allowusers|denyusers|allowgroups|denygroups|setenv|channeltimeout|permitopen|permitlisten|port|listenaddress|logingracetime|tcpkeepalive|maxstartups|persourcemaxstartups|persourcenetblocksize|rekeylimit|loglevel|syslogfacility|strictmodes|printlastlog|authorizedkeysfile|trustedusercakeys|revokedkeys|addressfamily|usepam|hostkey|permituserenvironment'
explicit='MaxSessions 10
MaxStartups 10:30:100
PerSourceMaxStartups none
PrintMotd yes
UsePAM no
'
same() { # NAME FILE CALLER: all keywords
	local ours theirs
	printf '%s' "$explicit" >>"$2"
	ours=$("$bin/warren" sshd -T -f "$2" ${3:+-C "$3"} 2>&1 | values "$all" | sort)
	theirs=$("$sshd" -T -f "$2" ${3:+-C "$3"} 2>&1 | values "$all" | sort)
	[[ -n $theirs && $ours == "$theirs" ]]
	ok "$1 ${3:-}"
	[[ $ours == "$theirs" ]] || diff <(echo "$theirs") <(echo "$ours")
}
file() { # NAME, text on stdin
	{ cat; echo "HostKey $dir/key"; } >"$dir/$1"
	# Match blocks go to the end, so the shared lines go first.
	{ grep -vE '^$' <(printf '%s' "$explicit"); cat "$dir/$1"; } >"$dir/$1.full"
	sed -i "/^HostKey/d; 1i HostKey $dir/key" "$dir/$1.full"
}
compare() { # NAME CALLER...
	local name=$1 caller
	shift
	file "$name"
	for caller in "$@"; do
		explicit='' same "$name" "$dir/$name.full" "$caller"
	done
}
callers=("" user=root,host=h.example,addr=10.1.2.3,laddr=192.0.2.1,lport=22
	user=alice,host=h.example,addr=10.1.2.3,laddr=192.0.2.1,lport=2222
	user=bob,host=other,addr=fd00::5,laddr=192.0.2.1,lport=22)
compare defaults "${callers[@]}" </dev/null
compare values "" <<-'EOF'
	MaxAuthTries 3
	maxauthtries 9
	ClientAliveInterval=1m30s
	ClientAliveCountMax = "7"
	LoginGraceTime 2h # long
	PermitRootLogin prohibit-password
	AllowUsers a b@10.0.0.0/8 "c d"
	AllowUsers e
	DenyGroups g*
	SetEnv A=1 "B=2 3"
	SetEnv C=4
	PermitOpen host:22 [::1]:80 *:443
	PermitListen 8080 localhost:9090
	ChannelTimeout session:*=5m direct-tcpip=1h
	UnusedConnectionTimeout 10m
	RekeyLimit 1G 1h
	GatewayPorts clientspecified
	AllowTcpForwarding local
	SyslogFacility LOCAL3
	AuthorizedKeysFile /etc/keys/%u .ssh/more
	Banner /etc/issue.net
	TrustedUserCAKeys /etc/ssh/ca.pub
	PerSourceNetBlockSize 24:64
	TCPKeepAlive no
EOF
printf 'HostKey %s\nMaxStartups 5\nMaxSessions 10\nUsePAM no\nPerSourceMaxStartups none\n' "$dir/key" >"$dir/five"
explicit='' same startups "$dir/five" ""
compare listen "" <<-'EOF'
	Port 2222
	Port 2223
	ListenAddress 127.0.0.1
	ListenAddress 127.0.0.1:9
	ListenAddress [::1]:10
	ListenAddress ::1
EOF
compare family "" <<-'EOF'
	AddressFamily inet6
EOF
compare match "${callers[@]:1}" <<-'EOF'
	PermitTTY yes
	Match User root
		PermitTTY no
		MaxSessions 3
	Match Address 10.0.0.0/8
		MaxSessions 4
		AllowTcpForwarding remote
	Match User alice,bob Address !10.1.2.3,*
		ForceCommand echo "quoted  words" and more
	Match Address fd00::/8,192.0.2.0/24
		Banner /etc/motd
		PermitOpen none
	Match LocalPort 2222
		SetEnv X=1
	Match User *,!root
		ClientAliveInterval 15
	Match Host *.example
		ChannelTimeout session:shell=10m
	Match Group root
		PermitListen 81
	Match all
		MaxAuthTries 2
EOF
compare quoting "${callers[1]}" <<-'EOF'
	AllowUsers "a" 'b' c\ d "e\"f"
	Match User "root" # everybody else stays
		SetEnv 'X=a b' Y="c d"
EOF
compare "negated hosts" "${callers[@]:1}" <<-'EOF'
	Match User=root
		MaxAuthTries 2
	Match Address !10.0.0.0/8,*
		MaxAuthTries 3
	Match Address *,!10.1.0.0/16
		MaxAuthTries 4
	Match LocalAddress 192.0.2.0/24,!192.0.2.1
		MaxAuthTries 5
	Match Group *,!root
		MaxAuthTries 7
EOF
compare "levels of a block" "${callers[1]}" <<-'EOF'
	SetEnv A=1 B= A=2
	PermitListen none
	PermitOpen any
	RekeyLimit 4T
	Match User root
		LogLevel DEBUG
		RevokedKeys /nothing
		PermitListen 10.*:80 [::1]:8
		PermitOpen none
EOF
printf 'PermitTTY no\r\nMaxAuthTries 3 # \r\n\r\n\tClientAliveInterval\t7\t\r\n' >"$dir/crlf.inc"
compare "line ends of Windows" "" <<<"Include $dir/crlf.inc"
compare zones "" <<-'EOF'
	ListenAddress fe80::1%lo
	ListenAddress [fe80::1%lo]:99
	ListenAddress ::
	ListenAddress localhost
EOF
printf 'PermitTTY no\nMatch User root\nMaxSessions 7\n' >"$dir/included.inc"
compare include "${callers[@]}" <<-EOF
	Include $dir/included.inc
	MaxAuthTries 4
	Match User alice
	Include $dir/included.inc
EOF

refused() { # both say no to the text
	printf '%s\n' "$2" >"$dir/bad"
	! "$sshd" -t -h "$dir/key" -f "$dir/bad" >/dev/null 2>&1
	ok "stock sshd: $1"
	"$bin/warren" sshd -t -f "$dir/bad" >"$dir/out" 2>&1
	[[ $? == 1 ]] && grep -q "^warren-sshd: $dir/bad line $3: " "$dir/out"
	ok "refused: $1"
}
refused "unknown keyword" "Foo bar" 1
refused "bad word" $'\nPermitTTY maybe' 2
refused "too many words" "PermitTTY yes no" 1
refused "none cipher" "Ciphers none" 1
refused "global in a block" $'Match User x\nPort 9' 2
refused "bad CIDR" "Match Address 10.0.0.0/33" 1
refused "host bits" "Match Address 10.0.0.1/8" 1
refused "quote" 'AcceptEnv "x' 1
refused "no value" "PermitRootLogin" 1
refused "bad startups" "MaxStartups 10:101:20" 1
refused "all with more" "Match all user x" 1
refused "Match final" "Match final" 1
refused "Match exec" "Match exec true" 1
refused "a list of ports" "Match LocalPort 22,23" 1
refused "an empty port" "ListenAddress 192.0.2.1:" 1
refused "a large port" "ListenAddress 192.0.2.1:70000" 1
refused "an empty value" 'AuthorizedKeysFile ""' 1
refused "a name with =" "AcceptEnv a=b" 1
refused "none and more" "PermitOpen none a:1" 1
refused "colons without brackets" "PermitListen ::1:8" 1
refused "host bits of a user" "AllowUsers a@10.0.0.1/8" 1
refused "a comment without a blank" "PermitTTY no#x" 1
for line in "DebianBanner yes" "X11Forwarding yes" "Compression yes" "Ciphers aes256-cbc" "MACs hmac-sha1" \
	"KexAlgorithms diffie-hellman-group14-sha1"; do
	printf '%s\n' "$line" >"$dir/bad"
	"$bin/warren" sshd -t -f "$dir/bad" 2>"$dir/out"
	[[ $? == 1 ]] && grep -q "bad line 1: " "$dir/out"
	ok "not offered: $line"
done

# Each keyword of the stock server's works, or has no effect and a sentence says why, or is refused with a
# sentence; and the manual names it.
manual=$WARREN_SRC/packaging/man/warren-sshd_config.5
unknown='' unnamed='' silent=''
keywords=$("$sshd" -T -h "$dir/key" -f /dev/null 2>/dev/null | awk '{print $1}' | sort -u)
keywords+=" authorizedkeyscommanduser authorizedprincipalscommanduser hostcertificate hostkeyagent ignoreuserknownhosts chrootdirectory
	versionaddendum pidfile acceptenv permitopen loglevel kerberosgetafstoken logverbose banner forcecommand permituserenvironment"
for keyword in $keywords; do
	printf 'HostKey %s\n%s x\n' "$dir/key" "$keyword" >"$dir/one"
	"$bin/warren" sshd -t -f "$dir/one" >"$dir/out" 2>&1
	grep -q "there is no keyword" "$dir/out" && unknown+="$keyword "
	grep -qiE "(^|[^A-Za-z])$keyword([^A-Za-z]|$)" "$manual" || unnamed+="$keyword "
	# What is taken without a word must be what is then in force.
	[[ -s $dir/out ]] || "$bin/warren" sshd -T -f "$dir/one" | grep -qiE "^$keyword .*x" || silent+="$keyword "
done
is "no keyword is unknown" "" "$unknown"
is "each is in the manual" "" "$unnamed"
is "nothing is taken and silently ignored" "" "$silent"
warned() { # LINE SENTENCE
	printf 'HostKey %s\n%s\n' "$dir/key" "$1" >"$dir/one"
	"$bin/warren" sshd -t -f "$dir/one" >"$dir/out" 2>&1
	[[ $? == 0 ]] && grep -q "^warren-sshd: warning: $dir/one line 2: $2" "$dir/out"
	ok "a warning: $1" || cat "$dir/out"
}
warned "X11DisplayOffset 10" "X11DisplayOffset has no effect: X11 forwarding is not offered"
warned "IPQoS af21 cs1" "IPQoS has no effect: "
warned "Protocol 2" "Protocol has no effect: there is no protocol but version 2"
warned "UsePrivilegeSeparation sandbox" "UsePrivilegeSeparation has no effect: privileges are always separated"
compare "the user's environment" "" <<<"PermitUserEnvironment yes"
[[ $("$bin/warren" sshd -T -o "PermitUserEnvironment=LC_*,LANG" -f "$dir/none" | grep permituserenv) == "permituserenvironment LC_*,LANG" ]]; ok "PermitUserEnvironment with names"

# A folder of drop-ins, in order; a link to /dev/null masks one; who may write them.
mkdir "$dir/d"
echo "MaxSessions 3" >"$dir/d/20.conf"
echo "MaxSessions 2" >"$dir/d/10.conf"
echo "MaxSessions 1" >"$dir/d/05.conf.bak"
[[ $("$bin/warren" sshd -T -f "$dir/d" | grep maxsessions) == "maxsessions 2" ]]; ok "lexical order, first wins"
ln -sf /dev/null "$dir/d/10.conf"
[[ $("$bin/warren" sshd -T -f "$dir/d" | grep maxsessions) == "maxsessions 3" ]]; ok "masked"
[[ $("$bin/warren" sshd -T -f "$dir/d" -o MaxSessions=9 | grep maxsessions) == "maxsessions 9" ]]; ok "-o first"
printf 'Match Peer build-*\nMaxSessions 7\nMatch Identity *@example.com\nMaxSessions 8\n' >"$dir/d/01.conf"
[[ $("$bin/warren" sshd -T -f "$dir/d" -C peer=build-1 | grep maxsessions) == "maxsessions 7" ]]; ok "Match Peer"
[[ $("$bin/warren" sshd -T -f "$dir/d" -C identity=a@example.com | grep maxsessions) == "maxsessions 8" ]]; ok "Match Identity"
chmod 666 "$dir/d/01.conf"
"$bin/warren" sshd -t -f "$dir/d" 2>"$dir/out"; [[ $? == 1 ]] && grep -q "can be written by others" "$dir/out"; ok "writable by others"
printf 'PermitTTY no\nPermit\0TTY yes\n' >"$dir/bad"
"$bin/warren" sshd -t -f "$dir/bad" 2>"$dir/out"; [[ $? == 1 ]] && grep -q "bad line 2: " "$dir/out"; ok "NUL bytes"
printf '# %s\nAllowUsers %s\n' "$(printf 'x%.0s' {1..8000})" "$(printf 'x%.0s' {1..9000})" >"$dir/bad"
"$bin/warren" sshd -t -f "$dir/bad" 2>"$dir/out"; [[ $? == 1 ]] && grep -q "bad line 2: the line is too long" "$dir/out"; ok "long lines"
"$bin/warren" sshd -t -f "$dir/none"; ok "no folder is no configuration"
"$bin/warren" ssh harden --user alice --group ops --print >"$dir/hardened"
"$bin/warren" sshd -t -f "$dir/hardened"; ok "harden: its drop-in is good"
[[ $("$bin/warren" sshd -T -f "$dir/hardened" | grep -E '^(permitrootlogin|allowusers|allowgroups)' | sort | paste -sd,) == "allowgroups ops,allowusers alice,permitrootlogin no" ]]; ok "harden: what it says"
"$bin/warren" ssh harden --user 'a b' --print 2>/dev/null; [[ $? == 2 ]]; ok "harden: usage"
"$bin/warren" sshd -x 2>/dev/null; [[ $? == 2 ]]; ok "usage"

summary
