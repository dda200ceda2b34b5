# SPDX-License-Identifier: Apache-2.0
# Sourced by tests that run the same through `warren sshd` and a stock sshd on the same machine: one
# configuration, one host key, the same accounts,
# an /etc, a /run and a /var/log of their own.
set -u
export LC_ALL=C.UTF-8 PATH=$PATH:/usr/sbin:/sbin
for tool in ssh ssh-keygen /usr/sbin/sshd python3 socat; do
	command -v "$tool" >/dev/null || { echo "skipped: $tool is missing"; exit 77; }
done
[[ $EUID == 0 ]] || { echo "skipped: needs root"; exit 77; }

base=/mnt/compare
mount -t tmpfs t /mnt && mkdir -p $base/run/{sshd,warren,warren-build,lock} $base/{log,home} && chmod 755 /mnt || exit 1
cp -a /etc $base/etc && mount --bind $base/etc /etc || exit 1
[[ $WARREN_BIN != /run/* ]] || mount --bind /run/warren-build $base/run/warren-build || exit 1
mount --rbind $base/run /run && mount --bind $base/log /var/log || exit 1
bin=$WARREN_BIN dir=$base
touch /run/utmp /var/log/{wtmp,btmp,lastlog}
deploy=$base/home/deploy

account() { # NAME UID SHELL PASSWORD EXPIRES
	local f
	for f in passwd group shadow; do sed -i "/^$1:/d" /etc/$f; done
	echo "$1:x:$2:$2::$base/home/$1:$3" >>/etc/passwd
	echo "$1:x:$2:" >>/etc/group
	echo "$1:$4:19000:0:99999:7::$5:" >>/etc/shadow
	mkdir -p $base/home/$1 && chown $2:$2 $base/home/$1 && chmod 755 $base/home/$1
}
account deploy 2001 /bin/bash '*' ''
# Root's own start-up files are not the tests' business.
sed -i -E "s#^(root:[^:]*:0:0:[^:]*):[^:]*:#\1:$base/home/root:#" /etc/passwd
mkdir -p $base/home/root && chmod 700 $base/home/root

ends=()
finish() {
	((${#ends[@]})) && kill "${ends[@]}" 2>/dev/null
	[[ -n ${KEEP:-} ]] && cp -r $base "$KEEP"
}
trap finish EXIT
passed=0 failed=0
ok() { # NAME: the command before it decides
	local rc=$?
	if ((rc == 0)); then passed=$((passed + 1)) && echo "ok   $1"; else failed=$((failed + 1)) && echo "FAIL $1"; fi
	return $rc
}
is() { # NAME EXPECTED GOT
	[[ $2 == "$3" ]]
	ok "$1"
	[[ $2 == "$3" ]] || printf '  expected %q\n  got      %q\n' "$2" "$3"
}
soon() { # COMMAND…: true within a time that is long enough for a busy machine
	local end=$((SECONDS + 60))
	until "$@"; do
		((SECONDS < end)) || return 1
		sleep 0.1
	done
}
finished() {
	echo "$passed passed, $failed failed"
	((failed == 0))
}

cd $base || exit 1
ssh-keygen -q -t ed25519 -N '' -f id && ssh-keygen -q -t ed25519 -N '' -f host && cp id.pub keys && chmod 644 keys
cat >ssh <<-X
	Host *
	  HostName 127.0.0.1
	  User deploy
	  IdentityFile $dir/id
	  IdentitiesOnly yes
	  IdentityAgent none
	  StrictHostKeyChecking no
	  UserKnownHostsFile /dev/null
	  LogLevel ERROR
	  BatchMode yes
	Host ours
	  Port 2301
	Host stock
	  Port 2302
X

servers() { # the configuration of both on stdin
	local pid
	for pid in "${ends[@]}"; do kill "$pid" && wait "$pid"; done 2>/dev/null
	ends=()
	{
		cat
		printf '%s\n' "HostKey $dir/host" "AuthorizedKeysFile $dir/keys" "ListenAddress 127.0.0.1" "PidFile none" \
			"UsePAM yes" "PrintMotd no" "Subsystem sftp /usr/lib/openssh/sftp-server" "PermitRootLogin yes"
	} >conf
	"$bin/warren" sshd -D -f $dir/conf -p 2301 2>>ours.log &
	ends+=($!)
	/usr/sbin/sshd -D -e -f $dir/conf -p 2302 2>>stock.log &
	ends+=($!)
	# The first look is answered by a banner, so a login has to do.
	for which in ours stock; do
		soon ssh -F ssh $which true >/dev/null 2>&1 || { echo "$which does not start"; tail -n 5 $which.log; exit 1; }
	done
}

# Who is connected by which port, on which terminal and when, differs by nature.
plain() {
	sed -E 's#/dev/pts/[0-9]+#/dev/pts/N#g; s#\b(p?ts)/[0-9]+#\1/N#g; s/127\.0\.0\.1 [0-9]+ (127\.0\.0\.1 )?230[12]/CONNECTION/g
		s/port (2301|2302|[0-9]{5})/port N/g; s/\]:230[12]/]:N/g; s/(Last login: ).* from/\1DATE from/; s/^(ours|stock):/HOST:/; /^exit( [0-9])?\r?$/d; s/\r+$/\r/' "$1" | tr '\r' '~'
}
# sets NAME.out NAME.err NAME.status, from standard input
run() { # WHICH FLAGS COMMAND
	local got=0
	# shellcheck disable=SC2086
	timeout "${LIMIT:-90}" ssh -F ssh $2 "$1" ${3:+"$3"} >"$1.out" 2>"$1.err" || got=$?
	echo $got >"$1.status"
}
compare() { # NAME: what `run` left of both
	local what same=0
	for what in status out err; do
		plain ours.$what >ours.plain
		plain stock.$what >stock.plain
		cmp -s ours.plain stock.plain && continue
		same=1
		echo "  ($what; < stock, > ours)"
		diff stock.plain ours.plain | head -n "${LINES_SHOWN:-12}"
	done
	((same == 0))
	ok "$1"
}
same() { # FLAGS COMMAND [STDIN [NAME]]
	printf '%s' "${3:-}" >stdin
	run ours "$1" "$2" <stdin
	run stock "$1" "$2" <stdin
	compare "${4:-ssh $1 '$2'}"
}
both_end() { # STATUS: of the last `same` or `run`s
	[[ $(cat ours.status) == "$1" && $(cat stock.status) == "$1" ]]
	ok "  with status $1"
}
