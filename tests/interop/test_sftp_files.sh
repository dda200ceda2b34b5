#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# File transfers: logins for files only (sftp, scp, scp -O, and nothing else), what they cannot reach, and
# real clients against warren-sftp-server. session_launcher plays broker and main, as in test_ssh_session.sh.
set -u
. "${WARREN_SRC:?}/tests/interop/lib_check.sh"
bin=${WARREN_BIN:?} tests=$WARREN_BIN/../tests
for tool in ssh sftp scp ssh-keygen python3; do
	command -v "$tool" >/dev/null || { echo "skipped: $tool is missing"; exit 77; }
done
dir=$(mktemp -d /tmp/sftp_files.XXXXXX)
chmod 755 "$dir"
port=22900
declare -a pids=()

finish() {
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; done
	umount "$dir/mnt" 2>/dev/null
	umount /usr/lib/openssh /etc/passwd /etc/group /etc/shadow 2>/dev/null
	[[ -z ${KEEP:-} ]] && rm -rf "$dir"
}
trap finish EXIT

wait_for() { # SECONDS COMMAND…
	local end=$((SECONDS + $1))
	shift
	until "$@"; do ((SECONDS < end)) || return 1; sleep 0.1; done
}

cd "$dir" || exit 1
mkdir etc home
cp -p /etc/passwd /etc/group /etc/shadow etc
echo "deploy:x:2001:2001::$dir/home:/bin/bash" >>etc/passwd
echo "deploy:*:19000:0:99999:7:::" >>etc/shadow
echo "deploy:x:2001:" >>etc/group
for f in passwd group shadow; do mount --bind "etc/$f" "/etc/$f" || exit 1; done
mkdir -p home/.ssh home/d/deep
echo secret >home/.ssh/authorized_keys
echo outside >outside
chmod 666 outside
echo 'hello' >home/d/f
ln -s ../outside home/up
ln -s /etc/passwd home/abs
ln -s .ssh home/keys
ln -s d home/dlink
ln -s loop home/loop
mkfifo home/fifo
chown -Rh 2001:2001 home
ssh-keygen -q -t ed25519 -N '' -f id

start() { # LOGIN [files-only] …
	port=$((port + 1))
	rm -f orders
	mkfifo orders
	"$tests/session_launcher" "$dir" "$port" "$@" <orders >state 2>log &
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
		 IdentityAgent none
		 UserKnownHostsFile $dir/known_hosts
		 StrictHostKeyChecking yes
		 LogLevel error
	X
	wait_for 90 bash -c "exec 3<>/dev/tcp/127.0.0.1/$port" 2>/dev/null
}
stop() {
	exec 9>&-
	kill "$launcher"
	wait "$launcher" 2>/dev/null
}
s() { timeout 120 ssh -F config "$@"; }
put() { timeout 120 sftp -q -F config -b - t 2>&1; }
copy() { timeout 120 scp -q -F config "$@" 2>&1; }

start deploy files-only

echo "# nothing but files"
refusal="this login may only transfer files (sftp, scp)"
has "no shell" "$refusal" "$(s t 2>&1 </dev/null)"
s t </dev/null >/dev/null 2>&1; is "no shell: status" 255 $?
has "no command" "$refusal" "$(s t id 2>&1)"
s t 'touch made' >/dev/null 2>&1; is "no command: status" 1 $?
for c in 'scp -t x; touch made' 'scp -t $(touch made)' 'scp -t `touch made`' 'scp -S ./x -t y' 'scp' \
	'/bin/sh -c "scp -t x"' 'rsync --server . x' "scp -t x
touch made" 'internal-sftp; id' 'sftp-server -d /'; do
	has "no command: ${c%%$'\n'*}" "$refusal" "$(s t "$c" 2>&1 </dev/null)"
done
has "no terminal" "$refusal" "$(s -tt t 'scp -t x' 2>&1 </dev/null)"
[[ ! -e home/made ]]; ok "nothing was run"
s -o ExitOnForwardFailure=yes -R 0:127.0.0.1:1 -N t 2>/dev/null; is "no -R" 255 $?
s -W 127.0.0.1:$port t </dev/null >/dev/null 2>&1; [[ $? != 0 ]]; ok "no -W"
has "no agent" "" "$(SSH_AUTH_SOCK=/dev/null s -A t 'echo $SSH_AUTH_SOCK' 2>&1 | grep -v warren)"

echo "# sftp"
printf 'pw' >other # the beginning of batch
cat >batch <<-'X'
	pwd
	put outside one
	get one back
	mkdir new
	rename one new/two
	ln -s two new/link
	ln new/two new/hard
	chmod 640 new/two
	ls -l new
	df
	rm new/hard
	-rm nothing
	cp new/two new/three
	put -p batch new/four
	put -p other new/four
	reput batch new/four
	ls -1 dlink
X
out=$(put <batch)
is "all commands" 0 $?
has "the home folder is /" "Remote working directory: /" "$out"
has "ls -l" "-rw-r----- " "$out"
cmp -s batch home/new/four; ok "resumed"
cmp -s outside back; ok "the same bytes"
is "owner and mode" "deploy 640" "$(stat -c '%U %a' home/new/two)"
has "through a link inside" "dlink/f" "$out"
out=$(printf -- '-get up x\n-get abs x\n-get ../outside x\n-get /../../etc/passwd x\n-get keys/authorized_keys x\n-get .ssh/authorized_keys x
-get d/../.ssh/authorized_keys x\n-get loop x\n-get fifo x\n-get /proc/self/environ x\n' | put)
[[ ! -s x ]]; ok "nothing from outside"
printf -- '-put batch .bashrc\n-put batch keys/more\n-put batch .ssh/more\n-mkdir .config\n-rename d .d\n-rename .ssh ssh\n-symlink /etc/passwd d/p
-symlink ../../outside d/o\n-symlink .. d/u\n-rm .ssh/authorized_keys\n-chmod 777 .ssh\n-rename d/f .profile\n-ln d/f .bash_login\n-put batch up\n' | put >/dev/null
is "no startup files and keys" ".ssh authorized_keys" "$(cd home && echo .[a-z]* $(ls .ssh))"
is "modes stay" 755 "$(stat -c %a home/.ssh)"
[[ ! -L home/d/p && ! -L home/d/o && ! -L home/d/u ]]; ok "no link that leads out"
is "outside is as it was" outside "$(cat outside)"
rm -f home/outside
# Of what leads out or is hidden, no second name either.
printf -- '-ln .ssh/authorized_keys d/l1\n-ln keys/authorized_keys d/l2\n-ln up d/l3\n-ln abs d/l4\n-ln ../outside d/l5\n-ln /etc/passwd d/l6
-ln d/../.ssh/authorized_keys d/l7\n' | put >/dev/null
printf -- '-get d/l1 x\n-get d/l2 x\n-get d/l3 x\n-get d/l4 x\n-get d/l5 x\n-get d/l6 x\n-get d/l7 x\n' | put >/dev/null
[[ ! -s x ]]; ok "no hard link to outside"
is "  and none to keys" "1 1" "$(stat -c %h home/.ssh/authorized_keys outside | xargs)"

echo "# scp, both protocols"
mkdir -p tree/sub/.hidden
echo a >tree/a
echo 'b c' >'tree/b c'
head -c 3000000 /dev/urandom >tree/sub/big
touch -d 2020-01-02 tree/a
chmod 600 tree/a
for o in "" -O; do
	copy $o -rp tree t:copy$o; [[ -z $(diff -r tree "home/copy$o" 2>&1) ]]; ok "scp $o -rp, there"
	is "scp $o -p" "600 2020-01-02" "$(stat -c '%a %y' "home/copy$o/a" | cut -c1-14)"
	copy $o -rp "t:copy$o" "down$o"; [[ -z $(diff -r tree "down$o" 2>&1) ]]; ok "scp $o -rp, back"
	mkdir -p "glob$o"
	copy $o "t:copy$o/[ab]*" "glob$o"; is "scp $o, patterns" "a b c" "$(ls "glob$o" | xargs)"
	copy $o "t:../outside" "escaped$o" >/dev/null
	copy $o "t:up" "escaped$o" >/dev/null
	copy $o "t:abs" "escaped$o" >/dev/null
	copy $o "t:keys/authorized_keys" "escaped$o" >/dev/null
	copy $o "t:.s*/*" "escaped$o" >/dev/null
	[[ ! -e escaped$o ]]; ok "scp $o: nothing from outside"
	copy $o batch t:.bashrc >/dev/null; [[ $? != 0 && ! -e home/.bashrc ]]; ok "scp $o: no startup file"
	copy $o -3 t:d/f "t:third$o"; cmp -s home/d/f "home/third$o"; ok "scp $o -3"
	copy $o t:nothing x; is "scp $o: a missing file" 1 $?
done
# A client that lies about names.
printf 'C0644 3 ../evil\nabc\0' | s t 'scp -t .' >/dev/null 2>&1
printf 'C0644 3 .rhosts\nabc\0' | s t 'scp -t .' >/dev/null 2>&1
printf 'D0755 0 ..\nC0644 3 evil\nabc\0E\n' | s t 'scp -r -t d' >/dev/null 2>&1
[[ ! -e evil && ! -e home/evil && ! -e home/.rhosts ]]; ok "scp -O: names that lie"

echo "# a race"
mkdir -p home/race/in
echo inside >home/race/in/outside
chown -R 2001:2001 home/race
python3 - "$dir" <<-'X' &
	import os, sys, time
	d = sys.argv[1] + "/home/race/"
	end = time.time() + 6
	n = 0
	while time.time() < end:
	    # "sub" is now a folder, now a link that leads out
	    os.rename(d + "in", d + "sub"); os.rename(d + "sub", d + "in")
	    os.symlink("../..", d + "sub"); os.unlink(d + "sub")
	    n += 1
	print("races:", n)
X
racer=$!
pids+=("$racer")
{ for _ in $(seq 400); do echo "-get race/sub/outside raced"; echo "-get race/sub/sub/../outside raced"; echo "-put batch race/sub/made"; done; } >racing
(while kill -0 $racer 2>/dev/null; do put <racing >/dev/null; [[ -e raced ]] && cat raced; rm -f raced; done) >seen
wait $racer
! grep -q '^outside' seen; ok "never the file outside"
[[ ! -e made ]]; ok "nothing was made outside"
rm -f home/made

echo "# audit"
soon grep -q '"event":"ssh.session",.*"kind":"files"' state; ok "session"
soon grep -q '"event":"ssh.sftp".*"op":"close","path":"/one".*"bytes_written":8' state; ok "an upload with path and bytes"
soon grep -q '"event":"ssh.sftp".*"op":"rename","path":"/one","new_path":"/new/two"' state; ok "a rename"
soon grep -q '"event":"ssh.sftp".*"op":"refused","path":"id"' state; ok "a refused command"
soon grep -q '"event":"ssh.forward.refused".*"reason":"policy does not allow' state; ok "a refused forward"

echo "# other clients"
if command -v lftp >/dev/null; then
	lftp -e "set sftp:connect-program 'ssh -a -x -F $dir/config'; set net:max-retries 1; mirror -R tree lf; mirror lf lfback; bye" sftp://deploy:@t >/dev/null 2>&1
	[[ -z $(diff -r tree lfback 2>&1) ]]; ok "lftp mirror, both ways"
fi
if command -v rclone >/dev/null; then
	remote=":sftp,host=127.0.0.1,port=$port,user=deploy,key_file=$dir/id,pubkey_file=$dir/id-cert.pub,known_hosts_file=$dir/known_hosts,shell_type=none,disable_concurrent_writes=true" # Debian's rclone writes false lengths otherwise, to any server
	timeout 120 rclone --config /dev/null copy tree "$remote:rc" >rclone.err 2>&1
	[[ -z $(diff -r -x .hidden tree home/rc 2>&1) ]]; ok "rclone copy" || { cat rclone.err; diff -r tree home/rc; }
	is "rclone check" "" "$(timeout 120 rclone --config /dev/null check --size-only tree "$remote:rc" 2>&1 | grep -E "not in|[1-9] differ")"
fi
if command -v puttygen >/dev/null && puttygen id -O private -o id.ppk 2>/dev/null; then
	key=$(ssh-keygen -lf known_hosts | awk '{print $2}')
	putty=(-batch -P "$port" -l deploy -i id.ppk -cert id-cert.pub -hostkey "$key")
	printf 'put other putty\nmkdir pdir\nmv putty pdir/p\nget pdir/p putty.back\nls\n' >putty.batch
	timeout 120 psftp -bc -be -b putty.batch "${putty[@]}" 127.0.0.1 >putty.out 2>&1 </dev/null
	cmp -s other putty.back; ok "psftp"
	for o in -sftp -scp; do
		rm -rf home/tree
		timeout 120 pscp $o -q -r "${putty[@]}" tree 127.0.0.1:. >putty.out 2>&1 </dev/null
		[[ -z $(diff -r tree home/tree 2>&1) ]]; ok "pscp $o" || cat putty.out
	done
fi
if /usr/bin/python3 -c 'import paramiko' 2>/dev/null; then
	/usr/bin/python3 - "$dir" "$port" <<-'X'
		import sys, paramiko
		d, port = sys.argv[1], int(sys.argv[2])
		key = paramiko.Ed25519Key.from_private_key_file(d + "/id")
		key.load_certificate(d + "/id-cert.pub")
		t = paramiko.Transport(("127.0.0.1", port))
		t.connect(username="deploy", pkey=key)
		s = paramiko.SFTPClient.from_transport(t)
		assert s.normalize(".") == "/" and s.normalize("../..") == "/"
		with s.open("para", "w+") as f:
		    f.set_pipelined(True)
		    f.write(b"x" * 1000000)
		    f.seek(5)
		    assert f.read(3) == b"xxx"
		    f.truncate(10)
		assert s.stat("para").st_size == 10
		s.chmod("para", 0o600); s.utime("para", (1, 2)); s.posix_rename("para", "para2")
		st = s.lstat("para2")
		assert st.st_mtime == 2 and st.st_mode & 0o7777 == 0o600
		assert ".ssh" not in s.listdir("/")
		for bad in ("../outside", "abs", "up", ".ssh/authorized_keys", "keys/authorized_keys"):
		    try:
		        s.open(bad).read()
		        raise SystemExit("read " + bad)
		    except IOError:
		        pass
		s.remove("para2")
		t.close()
	X
	ok "paramiko"
fi
if command -v sshfs >/dev/null && [[ -e /dev/fuse ]]; then
	mkdir -p mnt
	if timeout 120 sshfs -F "$dir/config" t:/ mnt 2>sshfs.err; then
		cp -r tree mnt/fs && sync -f mnt && [[ -z $(diff -r tree home/fs) ]]; ok "sshfs, writing"
		[[ -z $(diff -r tree mnt/fs) && ! -e mnt/.ssh ]]; ok "sshfs, reading"
		mv mnt/fs mnt/fs2 && rm -r mnt/fs2 && [[ ! -e home/fs2 ]]; ok "sshfs, names"
		umount mnt
	fi
fi
stop

echo "# ordinary logins without openssh-sftp-server"
mkdir -p none
mount --bind none /usr/lib/openssh || exit 1
start deploy
printf 'put outside plain\nget /etc/hostname h\nls -l /etc/hostname\n' | put >out
is "sftp" 0 $?
[[ -e home/plain ]] && cmp -s h /etc/hostname; ok "not confined"
has "names of users" "root     root" "$(cat out)"
copy -rp tree t:tree2 && [[ -z $(diff -r tree home/tree2) ]]; ok "scp"
stop
umount /usr/lib/openssh
start deploy
printf 'put outside plain2\n-get /nonexist\n' | put >out
is "sftp-server of OpenSSH" 0 $?
wait_for 90 grep -q '"op":"close","path":"[^"]*/plain2".*"bytes_written":8' state; ok "its operations are audited, too"
[[ $(grep -c 'sent status' out) == 0 ]]; ok "its log does not reach the client"
stop

summary
