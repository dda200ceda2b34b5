#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Other programs than OpenSSH's, with ordinary logins to `warren sshd` and to a stock sshd: paramiko, dropbear's
# dbclient, PuTTY's tools, sshfs, Ansible. (mosh is left out: it wants UDP ports of its own.)
. "$WARREN_SRC/tests/interop/lib_compare.sh"
servers <<<'MaxSessions 20
AcceptEnv LC_*'
touch home/deploy/.hushlogin
echo "PS1='ready> '" >home/deploy/.bash_profile
head -c 700000 /dev/urandom >random
socat TCP-LISTEN:2399,reuseaddr,fork,bind=127.0.0.1 SYSTEM:'echo there; cat' & ends+=($!)
port_of() { [[ $1 == ours ]] && echo 2301 || echo 2302; }
missing() { command -v "$1" >/dev/null && return 1; echo "   skipped: no $1"; }
through() { # PORT TEXT: a forward leads there and back
	printf '%s' "$2" | timeout 90 socat -t 60 - "TCP:127.0.0.1:$1" | xargs
}
listening() { [[ -n $(ss -Hltn "sport = $1") ]]; }
closed() { ! listening "$1"; }
open_port() { soon listening "$1"; }
open_port 2399

echo "# paramiko"
python=/usr/bin/python3 # the one that Debian's modules are for
if ! $python -c 'import paramiko' 2>/dev/null; then
	echo "   skipped: no paramiko"
else
	cat >paramiko_client.py <<-'X'
		import hashlib, os, select, socket, sys, threading, time
		import paramiko
		port, folder = int(sys.argv[1]), sys.argv[2]
		c = paramiko.SSHClient()
		c.set_missing_host_key_policy(paramiko.AutoAddPolicy())
		c.connect("127.0.0.1", port, "deploy", key_filename=folder + "/id", look_for_keys=False, allow_agent=False,
		          timeout=60, banner_timeout=60, auth_timeout=60)
		def run(command, data=b"", **options):
		    i, o, e = c.exec_command(command, timeout=60, **options)
		    i.write(data); i.channel.shutdown_write()
		    out, err = o.read(), e.read()
		    return o.channel.recv_exit_status(), out, err
		print("exec", run("id -un; echo err >&2; exit 7"))
		print("input", run("sha256sum", open(folder + "/random", "rb").read()))
		print("output", hashlib.sha256(run("head -c 3000000 /dev/zero")[1]).hexdigest())
		print("signal", run("kill -TERM $$"))
		print("environment", run("echo $LC_TEST-$OTHER", environment={"LC_TEST": "yes"}))
		print("pty", run("tty >/dev/null && echo terminal; stty size", get_pty=True))
		shell = c.invoke_shell(term="vt100", width=70, height=20)
		shell.settimeout(60)
		def until(text):
		    data = b""
		    while text not in data:
		        part = shell.recv(1000)
		        assert part, data
		        data += part
		    return data
		until(b"ready> ")
		shell.send(b"echo $TERM; stty size; echo do''ne\r"); print("shell", until(b"\ndone").count(b"vt100"))
		shell.resize_pty(width=99, height=44)
		shell.send(b"until stty size | grep ^44; do sleep 0.1; done\r"); until(b"44 99")
		shell.send(b"exit 5\r")
		print("shell ends", shell.recv_exit_status())
		s = c.open_sftp()
		s.mkdir("p"); s.put(folder + "/random", "p/a"); s.rename("p/a", "p/b"); s.chmod("p/b", 0o640); s.symlink("b", "p/l")
		print("sftp", sorted(s.listdir("p")), s.stat("p/b").st_size, oct(s.stat("p/b").st_mode), s.readlink("p/l"), s.normalize("p/.."))
		s.get("p/l", folder + "/back")
		print("same", open(folder + "/back", "rb").read() == open(folder + "/random", "rb").read())
		with s.open("p/b", "r+b") as f:
		    f.seek(699990); f.write(b"x" * 20); f.seek(-25, 2); print("random access", f.read(5) != b"xxxxx", f.read()[-20:])
		try: s.open("nosuch")
		except OSError as e: print("no file", e.errno)
		s.remove("p/b"); s.remove("p/l"); s.rmdir("p"); s.close()
		t = c.get_transport()
		d = t.open_channel("direct-tcpip", ("127.0.0.1", 2399), ("127.0.0.1", 1))
		d.sendall(b"mine"); d.shutdown_write()
		data = b""
		while part := d.recv(100): data += part
		print("direct-tcpip", data)
		try: t.open_channel("direct-tcpip", ("127.0.0.1", 9), ("127.0.0.1", 1)); print("opened")
		except paramiko.ChannelException as e: print("refused")
		try: t.open_channel("unknown@example.com"); print("opened")
		except paramiko.ChannelException as e: print("unknown type refused")
		bound = t.request_port_forward("127.0.0.1", 0)
		def knock():
		    k = socket.create_connection(("127.0.0.1", bound)); k.sendall(b"from outside"); k.shutdown(socket.SHUT_WR)
		    knocked.append(k.recv(100)); k.close()
		knocked = []
		k = threading.Thread(target=knock); k.start()
		r = t.accept(60)
		print("reverse", r.recv(100), r.origin_addr[0]); r.sendall(b"answer"); r.close(); k.join(60)
		print("and back", knocked)
		t.cancel_port_forward("127.0.0.1", bound)
		try: socket.create_connection(("127.0.0.1", bound)); print("still open")
		except OSError: print("cancelled")
		many = [c.exec_command("echo %d; cat" % i)[0:2] for i in range(10)]
		for i, (stdin, _) in enumerate(many): stdin.write("in %d" % i); stdin.channel.shutdown_write()
		print("ten at once", [o.read() for _, o in many])
		x = t.open_session(); x.exec_command("sleep 20"); x.close()
		y = t.open_session()
		try: y.invoke_subsystem("nosuch"); print("status", y.recv_exit_status())
		except paramiko.SSHException: print("no such subsystem")
		def request(channel, kind, *fields, reply=True):
		    m = paramiko.Message()
		    m.add_byte(bytes([98])); m.add_int(channel.remote_chanid); m.add_string(kind); m.add_boolean(reply)
		    for f in fields: (m.add_boolean if isinstance(f, bool) else m.add_int if isinstance(f, int) else m.add_string)(f)
		    if reply: channel._event_pending()
		    channel.transport._send_user_message(m)
		    if reply: channel._wait_for_event()
		z = t.open_session(); z.settimeout(60)
		z.exec_command("trap 'echo got; exit 3' TERM; echo ready; while :; do sleep 0.1; done")
		print("signal", z.recv(100)); request(z, "signal", "NOSUCH", reply=False); request(z, "signal", "TERM", reply=False)
		print(z.recv(100), z.recv_exit_status())
		b = t.open_session(); b.settimeout(60); b.get_pty(); b.exec_command("cat")
		try: request(b, "break", 500); answered = "success"
		except (paramiko.SSHException, EOFError): answered = "failure"
		print("break: " + answered, file=sys.stderr)
		w = t.open_session(); w.settimeout(60); w.exec_command("read x; echo alive")
		for kind, *fields in (("x11-req", False, "MIT-MAGIC-COOKIE-1", "00", 0), ("unknown@example.com",)):
		    try: request(w, kind, *fields); print(kind, "taken")
		    except (paramiko.SSHException, EOFError): print(kind, "refused")
		    if w.closed: w = t.open_session(); w.settimeout(60); w.exec_command("read x; echo alive")
		w.sendall(b"go\n")
		print(w.recv(100), w.recv_exit_status())
		print("still usable", run("echo on"))
		c.close()
	X
	for which in ours stock; do
		timeout 300 $python -W ignore paramiko_client.py "$(port_of $which)" $dir >$which.out 2>$which.err
		echo $? >$which.status
	done
	sed -i -E 's/^(status 255|no such subsystem)/no such subsystem/' ours.out stock.out # ours says so on stderr
	grep -q '^break: failure' ours.err; ok "a break is refused, and the client hears so"
	sed -i -E '/^break: /d; s/open FAILED: .*/open FAILED: WORDS/' ours.err stock.err # those of libssh
	compare "paramiko: the same answers from both"
	is "  to the end" 0 "$(cat ours.status)"
fi

echo "# dropbear's dbclient"
if ! missing dbclient && ! missing dropbearconvert; then
	dropbearconvert openssh dropbear id id.db >/dev/null 2>&1
	for which in ours stock; do
		d() { HOME=$dir timeout 90 dbclient -y -y -i id.db -p "$(port_of $which)" "$@" 2>err; }
		is "$which: exec" "out deploy 7" "$({ d deploy@127.0.0.1 'cat; id -un; exit 7' <<<out; echo $?; } | xargs)"
		is "$which: much" "$(sha256sum <random)" "$(d deploy@127.0.0.1 'cat' <random | sha256sum)"
		HOME=$dir python3 "$WARREN_SRC/tests/support/terminal.py" expect:'ready> ' send:'stty size; exit 6\r' expect:'24 80' status:6 restored -- \
			dbclient -y -y -i id.db -p "$(port_of $which)" deploy@127.0.0.1
		ok "$which: terminal"
		is "$which: -B" "there mine" "$(printf mine | d -B 127.0.0.1:2399 deploy@127.0.0.1 | xargs)"
		HOME=$dir dbclient -y -y -i id.db -p "$(port_of $which)" -N -L 2391:127.0.0.1:2399 -R 2392:127.0.0.1:2399 deploy@127.0.0.1 2>err & held=$!
		open_port 2391 && open_port 2392
		is "$which: -L" "there a" "$(through 2391 a)"
		is "$which: -R" "there b" "$(through 2392 b)"
		kill $held; wait $held 2>/dev/null
		soon closed 2392 # before the next listens there
	done
fi

echo "# PuTTY's tools"
if ! missing plink && ! missing puttygen; then
	puttygen id -O private -o id.ppk
	print=$(ssh-keygen -lf host.pub | awk '{print $2}')
	for which in ours stock; do
		options=(-batch -noagent -hostkey "$print" -i id.ppk -P "$(port_of $which)")
		p() { HOME=$dir timeout 90 plink -ssh -no-antispoof "${options[@]}" "$@" 2>err; }
		is "$which: exec" "out deploy 7" "$({ p deploy@127.0.0.1 'cat; id -un; exit 7' <<<out; echo $?; } | xargs)"
		is "$which: much" "$(sha256sum <random)" "$(p deploy@127.0.0.1 'cat' <random | sha256sum)"
		is "$which: terminal" "terminal 6" "$({ p -t deploy@127.0.0.1 'test -t 0 && echo terminal; exit 6' </dev/null; echo $?; } | tr -d '\r' | xargs)"
		is "$which: shell" "in-shell" "$(printf 'echo in-shell; exit\n' | p -T deploy@127.0.0.1 | tail -n 1)"
		is "$which: -nc" "there mine" "$(printf mine | p -nc 127.0.0.1:2399 deploy@127.0.0.1 | xargs)"
		HOME=$dir plink -ssh "${options[@]}" -N -L 2393:127.0.0.1:2399 -R 2394:127.0.0.1:2399 -D 2395 deploy@127.0.0.1 2>err & held=$!
		open_port 2393 && open_port 2394 && open_port 2395
		is "$which: -L" "there a" "$(through 2393 a)"
		is "$which: -R" "there b" "$(through 2394 b)"
		is "$which: -D" "there" "$(timeout 90 socat -t 60 - SOCKS4:127.0.0.1:127.0.0.1:2399,socksport=2395 </dev/null | xargs)"
		kill $held; wait $held 2>/dev/null
		soon closed 2394
		rm -f home/deploy/{psftp,pscp} back
		printf 'put random psftp\nget psftp back\nquit\n' | HOME=$dir timeout 120 psftp "${options[@]}" deploy@127.0.0.1 >/dev/null 2>&1
		cmp -s random back && cmp -s random home/deploy/psftp; ok "$which: psftp"
		for protocol in -sftp -scp; do
			rm -f home/deploy/pscp
			HOME=$dir timeout 120 pscp -q $protocol "${options[@]}" random deploy@127.0.0.1:pscp >/dev/null 2>&1
			cmp -s random home/deploy/pscp; ok "$which: pscp $protocol"
		done
	done
fi

echo "# sshfs"
if missing sshfs; then
	:
elif [[ ! -c /dev/fuse ]] && ! mknod /dev/fuse c 10 229 2>/dev/null; then
	echo "   skipped: there is no /dev/fuse here"
else
	mkdir -p there
	if ! timeout 90 sshfs -F $dir/ssh ours: there 2>err; then
		grep -q 'fuse' err && echo "   skipped: $(cat err)" || { false; ok "sshfs mounts: $(cat err)"; }
	else
		cp random there/copied && cmp -s random home/deploy/copied; ok "a file written through it"
		mkdir there/folder && mv there/copied there/folder/moved && ls there/folder | grep -q moved; ok "folders and names"
		head -c 100 there/folder/moved | cmp -s - <(head -c 100 random); ok "a part of it"
		printf more >>there/folder/moved; is "appended" 700004 "$(stat -c %s home/deploy/folder/moved)"
		truncate -s 10 there/folder/moved; is "cut" 10 "$(stat -c %s home/deploy/folder/moved)"
		ln -s moved there/folder/link && is "a link" moved "$(readlink home/deploy/folder/link)"
		chmod 600 there/folder/moved; is "mode" 600 "$(stat -c %a home/deploy/folder/moved)"
		rm -r there/folder; [[ ! -e home/deploy/folder ]]; ok "removed"
		is "owner" deploy "$(touch there/new; stat -c %U home/deploy/new)"
		umount there
	fi
fi

echo "# Ansible"
if ! missing ansible; then
	export HOME=$dir ANSIBLE_LOCALHOST_WARNING=False ANSIBLE_HOST_KEY_CHECKING=False ANSIBLE_SSH_ARGS="-F $dir/ssh -o ControlMaster=auto -o ControlPersist=1h"
	export ANSIBLE_PYTHON_INTERPRETER=$python ANSIBLE_DEPRECATION_WARNINGS=False ANSIBLE_TIMEOUT=120
	# It refuses a standard input that does not block; whoever shares ours may have changed it.
	a() { timeout 300 ansible -i ours, all -u deploy "$@" >out 2>&1 </dev/null; }
	a -m ping && grep -q '"ping": "pong"' out; ok "ping" || cat out
	a -m copy -a "src=$dir/random dest=$deploy/by-ansible mode=0600" && grep -q '"changed": true' out && cmp -s random home/deploy/by-ansible; ok "copy" || cat out
	a -m copy -a "src=$dir/random dest=$deploy/by-ansible mode=0600" && grep -q '"changed": false' out; ok "copy again changes nothing" || cat out
	ANSIBLE_PIPELINING=True a -m command -a 'id -un' && grep -q '^deploy' out; ok "a command, pipelined" || cat out
	a -m command -a 'sh -c "exit 3"'; is "a command that fails" 2 $?
	grep -q 'rc=3' out; ok "  with its status" || cat out
	ANSIBLE_SCP_IF_SSH=True ANSIBLE_SSH_TRANSFER_METHOD=scp a -m copy -a "content=word dest=$deploy/by-scp"
	is "by scp" word "$(cat home/deploy/by-scp)"
	ssh -F ssh -O exit ours 2>/dev/null
fi
finished
