#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Requests of a channel or of the connection that cannot be read: libssh drops them without an answer, and a client
# that wants one would wait for ever. The connection ends, as with a stock sshd; what can be read is answered.
. "$WARREN_SRC/tests/interop/lib_compare.sh"
/usr/bin/python3 -c 'import paramiko' 2>/dev/null || { echo "skipped: python3-paramiko is missing"; exit 77; }
servers <<<'MaxSessions 10'
cat >client.py <<'X'
import queue, struct, sys, paramiko
from paramiko.message import Message
port = int(sys.argv[1])
paramiko.util.log_to_file("/mnt/compare/paramiko.log")
key = paramiko.Ed25519Key.from_private_key_file("/mnt/compare/id")
answers = {81: "yes", 82: "no", 91: "yes", 92: "no", 99: "yes", 100: "no"}

def s(text):
    return struct.pack(">I", len(text)) + text.encode()

def u(*numbers):
    return struct.pack(">%dI" % len(numbers), *numbers)

def attempt(kind, make, before=None):
    t = paramiko.Transport(("127.0.0.1", port))
    t.start_client(timeout=60)
    t.auth_publickey("deploy", key)
    c = t.open_session(timeout=60)
    if before:
        before(c)
    got = queue.Queue()  # libssh says no to a forward before the connection ends
    ours = {n: a for n, a in answers.items() if b"tcpip-forward" not in make}
    t._handler_table = dict(t._handler_table)
    t._channel_handler_table = dict(t._channel_handler_table)
    for table in t._handler_table, t._channel_handler_table:
        table.update({n: lambda _self, m, word=word: got.put(word) for n, word in ours.items() if n in table})
    m = Message()
    m.add_byte(bytes([kind]))
    if kind == 98:
        m.add_int(c.remote_chanid)
    m.add_bytes(make)
    t._send_message(m)
    for _ in range(150):
        try:
            return got.get(timeout=0.2)
        except queue.Empty:
            if not t.is_active():
                return "over"
    return "hangs"

def channel(name, rest, want=True):
    return 98, s(name) + bytes([want]) + rest

def program(c):
    c.settimeout(60)
    c.exec_command("cat")
    c.send(b"x")
    c.recv(1)

pty = s("xterm") + u(80, 24, 0, 0)
tries = {
    "x11-req": channel("x11-req", b""),
    "x11-req without its screen": channel("x11-req", b"\0" + s("MIT-MAGIC-COOKIE-1") + s("00ff")),
    "x11-req, no answer wanted": channel("x11-req", b"", False),
    "x11-req that can be read": channel("x11-req", b"\0" + s("MIT-MAGIC-COOKIE-1") + s("00ff") + u(0)),
    "pty-req": channel("pty-req", b""),
    "pty-req without its modes": channel("pty-req", pty),
    "pty-req with too long a name": channel("pty-req", u(10**9) + b"xterm"),
    "pty-req that can be read": channel("pty-req", pty + s("\0")),
    "env": channel("env", s("LC_ALL")),
    "exec": channel("exec", b""),
    "exec, no answer wanted": channel("exec", b"\0\0", False),
    "subsystem": channel("subsystem", u(5)),
    "window-change": (channel("window-change", u(80)), program),
    "no-such-request": channel("no-such-request", b""),
    "break": channel("break", u(500)),
    "a request without a name": (98, b"\0"),
    "a request without its end": (98, s("shell")),
    "tcpip-forward": (80, s("tcpip-forward") + b"\1"),
    "tcpip-forward, no answer wanted": (80, s("tcpip-forward") + b"\0" + s("localhost")),
    "cancel-tcpip-forward": (80, s("cancel-tcpip-forward") + b"\1" + s("localhost")),
    "a global request without a name": (80, b"\0"),
    "a global request without its end": (80, s("keepalive@openssh.com")),
    "a global request that nobody knows": (80, s("what@example.com") + b"\1"),
    "an open without its type": (90, b"\0"),
    "direct-tcpip": (90, s("direct-tcpip") + u(7, 1 << 20, 32768) + s("localhost")),
    "an open of what nobody knows": (90, s("what@example.com") + u(7, 1 << 20, 32768)),
}
hung = 0
for name, what in tries.items():
    before = None
    if isinstance(what[0], tuple):
        what, before = what
    if hung < 3:
        answer = attempt(*what, before)
        hung += answer == "hangs"
        print(name + ":", answer, flush=True)
X
runs=()
for which in ours stock; do
	timeout 500 /usr/bin/python3 client.py $([[ $which == ours ]] && echo 2301 || echo 2302) >$which.out 2>$which.err &
	runs+=($!)
	echo 0 >$which.status
done
wait "${runs[@]}"
LINES_SHOWN=40 compare "what cannot be read"
is "nobody waits for an answer" 0 "$(grep -c hangs ours.out)"
is "what can be read is answered" "no no no" \
	"$(sed -nE 's/^(x11-req that can be read|no-such-request|a global request that nobody knows): //p' ours.out | xargs)"
grep -q 'Disconnect .*cannot be read' paramiko.log; ok "the client is told why"
finished
