#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# no-more-sessions@openssh.com, which OpenSSH's client sends when it has its session: another one ends the
# connection, as with a stock sshd; a channel that waits for its program, and forwards, go on.
. "$WARREN_SRC/tests/interop/lib_compare.sh"
/usr/bin/python3 -c 'import paramiko' 2>/dev/null || { echo "skipped: python3-paramiko is missing"; exit 77; }
servers <<<'MaxSessions 10'
cat >client.py <<'X'
import sys, paramiko
port, how = int(sys.argv[1]), sys.argv[2]
paramiko.util.log_to_file("/mnt/compare/paramiko.log")
t = paramiko.Transport(("127.0.0.1", port))
t.start_client(timeout=60)
t.auth_publickey("deploy", paramiko.Ed25519Key.from_private_key_file("/mnt/compare/id"))
def run(c, command):
    c.settimeout(60)
    c.exec_command(command)
    return c.makefile().read().decode().strip()
waiting, running = t.open_session(timeout=60), t.open_session(timeout=60)
running.settimeout(60)
running.exec_command("cat")
if how == "twice":
    t.global_request("no-more-sessions@openssh.com", wait=False)
t.global_request("no-more-sessions@openssh.com", wait=how == "answer")
print("a running one:", running.send(b"on\n"), running.recv(10))
print("a waiting one:", run(waiting, "echo runs"))
forward = t.open_channel("direct-tcpip", ("127.0.0.1", 2399), ("127.0.0.1", 1), timeout=60)
forward.settimeout(60)
print("a forward:", forward.recv(100))
try:
    print("another one:", run(t.open_session(timeout=60), "echo runs"))
except Exception as e:
    print("another one: refused")
t.join(10)
print("the connection is", "there" if t.is_active() else "over")
X
socat TCP-LISTEN:2399,reuseaddr,fork,bind=127.0.0.1 SYSTEM:'echo there; sleep 20' & ends+=($!)
soon socat -u OPEN:/dev/null TCP:127.0.0.1:2399
for how in plain twice answer; do
	for which in ours stock; do
		timeout 200 /usr/bin/python3 client.py $([[ $which == ours ]] && echo 2301 || echo 2302) $how >$which.out 2>$which.err
		echo $? >$which.status
	done
	compare "$how"
	is "  as it should be" "refused over" "$(sed -n 's/^another one: //p; s/^the connection is //p' ours.out | xargs)"
done
grep -q 'Disconnect .*no-more-sessions@openssh.com' paramiko.log; ok "the client is told why"
same '' 'echo stock ssh'
timeout 20 ssh -F ssh -f -N -o ControlMaster=yes -o ControlPath=$dir/mux ours
for i in 1 2 3; do is "over a ControlMaster: $i" "$i" "$(timeout 20 ssh -F ssh -o ControlPath=$dir/mux ours echo $i)"; done
timeout 20 ssh -F ssh -o ControlPath=$dir/mux -O exit ours 2>/dev/null
finished
