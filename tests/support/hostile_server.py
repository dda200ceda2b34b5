# SPDX-License-Identifier: Apache-2.0
#
# An SSH server that means harm, for warren-ssh: hostile_server.py WARREN_SSH DIR. Each case is a connection of its own
# (paramiko plays the server on a socket pair's other end); it must end in good time, by itself, and with nothing given away.
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time

import paramiko
from paramiko.message import Message

client, folder = sys.argv[1], sys.argv[2]
host_key = paramiko.Ed25519Key(filename=os.path.join(folder, "hostkey"))
with open(os.path.join(folder, "known"), "w") as f:
    f.write("hostile %s %s\n" % (host_key.get_name(), host_key.get_base64()))
failed = passed = 0


def check(name, good, more=""):
    global failed, passed
    if good:
        passed += 1
        print("ok   " + name, flush=True)
    else:
        failed += 1
        print("FAIL %s %s" % (name, more), flush=True)


class Server(paramiko.ServerInterface):
    def __init__(self, case):
        self.case, self.channel, self.started = case, None, threading.Event()

    def check_auth_publickey(self, username, key):
        return paramiko.AUTH_SUCCESSFUL

    def check_auth_none(self, username):
        return paramiko.AUTH_SUCCESSFUL

    def before(self, stage):
        """The words that end the connection overtake the answer to this request."""
        if self.case.get("goodbye") == stage:
            say_goodbye(self.transport, "access was withdrawn: before the " + stage)
            self.started.set()

    def get_allowed_auths(self, username):
        return "publickey"

    def get_banner(self):
        return self.case.get("banner"), "en-US"

    def check_channel_request(self, kind, chanid):
        self.before("session")
        return paramiko.OPEN_SUCCEEDED

    def check_channel_env_request(self, channel, name, value):
        self.before("environment")
        return True

    def check_channel_pty_request(self, channel, *size):
        self.before("terminal")
        return True

    def check_channel_forward_agent_request(self, channel):
        self.before("agent")
        return True

    def check_channel_direct_tcpip_request(self, chanid, origin, destination):
        self.before("connection of -W")
        return paramiko.OPEN_SUCCEEDED

    def check_channel_subsystem_request(self, channel, name):
        self.before("subsystem")
        return False

    def check_channel_exec_request(self, channel, command):
        self.before("command")
        self.channel = channel
        self.started.set()
        return True

    def check_channel_shell_request(self, channel):
        self.before("shell")
        return False

    def check_port_forward_request(self, address, port):
        self.before("forward of -R")
        return port or 9001


class Trap:
    """A place that nobody may reach."""

    def __init__(self, kind):
        self.socket = socket.socket(kind)
        if kind == socket.AF_UNIX:
            self.path = os.path.join(folder, "agent.%d" % random.getrandbits(40))
            self.socket.bind(self.path)
        else:
            self.socket.bind(("127.0.0.1", 0))
            self.port = self.socket.getsockname()[1]
        self.socket.listen(5)
        self.socket.settimeout(0)

    def sprung(self):
        try:
            self.socket.accept()
            return True
        except OSError:
            return False


def run(case, arguments=(), env=None, seconds=90):
    """The client's status (negative: a signal; None: it hangs), stdout, stderr."""
    ours, theirs = socket.socketpair()
    command = [client, "--connection=%d" % theirs.fileno(), "--name=hostile", "--host-keys=" + os.path.join(folder, "known"),
               "--key=" + os.path.join(folder, "id"), *arguments, "root@hostile"]
    if not case.get("no_command"):
        command.append("true")
    child = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, env={**os.environ, **(env or {})})
    theirs.close()
    if "raw" in case:
        thread = threading.Thread(target=raw, args=(ours, case["raw"]), daemon=True)
    else:
        thread = threading.Thread(target=serve, args=(ours, case), daemon=True)
    thread.start()
    try:
        out, err = child.communicate(timeout=seconds)
        status = child.returncode
    except subprocess.TimeoutExpired:
        child.kill()
        out, err = child.communicate()
        status = None
    ours.close()
    return status, out, err


def raw(sock, data):
    try:
        sock.sendall(data)
        if not data:
            sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            pass
    except OSError:
        pass


def serve(sock, case):
    server = Server(case)
    transport = None
    try:
        transport = paramiko.Transport(sock)
        server.transport = transport
        transport.banner_timeout = transport.handshake_timeout = 90
        transport.add_server_key(host_key)
        transport.start_server(server=server)
        if not server.started.wait(90):
            return
        case["act"](transport, server.channel)
    except Exception as error:  # what the client refuses comes as one
        case["error"] = error
    finally:
        # The client ends it: gone too early its last words would not reach us. One that hangs `run` ends.
        while transport and transport.is_active():
            time.sleep(0.02)
        if transport:
            transport.close()


def say_goodbye(transport, text, code=11):
    m = Message()
    m.add_byte(b"\x01")
    m.add_int(code)
    m.add_string(text)
    m.add_string("")
    transport._send_message(m)


def finish(channel, status=3):
    channel.send_exit_status(status)
    channel.close()


def refused(open_channel):
    """Opens a channel towards the client, which must say no."""

    def act(transport, channel, case):
        try:
            open_channel(transport)
            case["opened"] = True
        except paramiko.ChannelException:
            case["opened"] = False
        finish(channel)

    return act


def unasked(name, open_channel, arguments=(), env=None, traps=()):
    case = {}
    act = refused(open_channel)
    case["act"] = lambda transport, channel: act(transport, channel, case)
    status, _, err = run(case, arguments, env)
    check(name + ": refused", case.get("opened") is False and status == 3, "%s %r %r" % (status, err, case))
    check(name + ": nothing was reached", not any(trap.sprung() for trap in traps))


trap, agent = Trap(socket.AF_INET), Trap(socket.AF_UNIX)
unasked("a forward that nobody asked for", lambda t: t.open_forwarded_tcpip_channel(("127.0.0.1", 1), ("127.0.0.1", trap.port)),
        traps=[trap])
unasked("a forward of another port", lambda t: t.open_forwarded_tcpip_channel(("127.0.0.1", 1), ("localhost", trap.port)),
        ["-R", "9001:127.0.0.1:%d" % trap.port], traps=[trap])
unasked("the agent", lambda t: t.open_channel("auth-agent@openssh.com"), env={"SSH_AUTH_SOCK": agent.path}, traps=[agent])
unasked("a session on the client", lambda t: t.open_session())
unasked("a connection from the client", lambda t: t.open_channel("direct-tcpip", ("127.0.0.1", trap.port), ("127.0.0.1", 1)), traps=[trap])
unasked("X11", lambda t: t.open_x11_channel(("127.0.0.1", 1)))
unasked("a channel of no kind", lambda t: t.open_channel("\x1b[31mnone"))

case = {"banner": "\x1b]0;owned\x07\x1b[2J\x9b31m hello \r\n" * 3, "act": lambda t, c: finish(c)}
status, out, err = run(case)
check("a banner with escapes", status == 3 and b"\x1b" not in err and b"\x07" not in err and b"\x9b" not in err, "%s %r" % (status, err))
status, out, err = run({"banner": "x" * 20000 + "\n" * 5000, "act": lambda t, c: finish(c)})
check("a banner without end", status == 3 or status == 255, "%s" % status)
status, out, err = run({"act": lambda t, c: c.close()})
check("no exit status: 255", status == 255, "%s" % status)
status, out, err = run({"act": lambda t, c: t.close()})
check("gone: 255", status == 255, "%s" % status)


def goodbye(text, code=11):
    def act(transport, channel):
        # The client is at rest: it knows that its command runs, and its input has ended.
        until = time.monotonic() + 60
        while not channel.eof_received and time.monotonic() < until:
            time.sleep(0.02)
        say_goodbye(transport, text, code)

    return act


status, out, err = run({"act": goodbye("access was withdrawn: go home")})
check("the words of a disconnect are shown", status == 255 and b"Received disconnect from hostile:11: access was withdrawn: go home\n" == err,
      "%s %r" % (status, err))
status, out, err = run({"act": goodbye("access was withdrawn"), "no_command": True}, ["-q"])
check("-q hides them", status == 255 and err == b"", "%s %r" % (status, err))
status, out, err = run({"act": goodbye(b"\x1b]0;owned\x07\r\nwarren: type your password\xe2\x80\xae\x9b2J\0hidden" + b"x" * 9000, 0xFFFFFFFF)},
                       env={"LC_ALL": "C.UTF-8"})
check("a disconnect with escapes: one line of text", status == 255 and err.count(b"\n") == 1 and len(err) < 600 and
      err.startswith(b"Received disconnect from hostile:4294967295: ?]0;owned? warren: ") and
      not set(err) & {0x1B, 0x07, 0x0D, 0x9B, 0xE2}, "%s %r" % (status, err))
status, out, err = run({"act": goodbye("")})
check("a disconnect without words", status == 255 and err == b"Received disconnect from hostile:11: \n", "%s %r" % (status, err))
for stage, arguments, no_command in (("session", [], False), ("agent", ["-A"], False), ("terminal", ["-tt"], False),
                                     ("environment", ["-o", "SetEnv=A=B"], False), ("command", [], False), ("shell", [], True),
                                     ("subsystem", ["-s"], False), ("forward of -R", ["-R", "9001:127.0.0.1:1"], False),
                                     ("forward of -R", ["-R", "9001:127.0.0.1:1", "-o", "ExitOnForwardFailure=yes"], False),
                                     ("connection of -W", ["-W", "127.0.0.1:1"], True)):
    status, out, err = run({"goodbye": stage, "act": lambda t, c: None, "no_command": no_command}, arguments, {"SSH_AUTH_SOCK": agent.path})
    check("a disconnect that overtakes the answer: %s %s" % (stage, " ".join(arguments)), status == 255 and
          err == b"Received disconnect from hostile:11: access was withdrawn: before the %s\n" % stage.encode(), "%s %r" % (status, err))


def strange_end(transport, channel):
    m = Message()
    m.add_byte(b"\x62")
    m.add_int(channel.remote_chanid)
    m.add_string("exit-signal")
    m.add_boolean(False)
    m.add_string("\x1b[31mKILL" * 50)
    m.add_boolean(True)
    m.add_string("\x1b]0;owned\x07")
    m.add_string("")
    transport._send_message(m)
    channel.close()


status, out, err = run({"act": strange_end})
check("an exit signal with escapes", status == 255 and b"\x1b" not in err, "%s %r" % (status, err))

for name, data in {"nothing": b"", "no version": b"HTTP/1.0 400 no\r\n\r\n", "an old version": b"SSH-1.5-old\r\n",
                   "a long version": b"SSH-2.0-" + b"x" * 5000 + b"\r\n", "lines without end": b"hello\r\n" * 20000,
                   "a line without end": b"y" * 300000, "zeros": bytes(5000),
                   "a packet of 4 GB": b"SSH-2.0-x\r\n" + b"\xff" * 64,
                   "noise for keys": b"SSH-2.0-x\r\n" + struct.pack(">IB", 1020, 4) + b"\x14" + random.Random(1).randbytes(2000)}.items():
    status, out, err = run({"raw": data, "no_command": False}, ["-o", "ConnectTimeout=3"], seconds=90)
    check(name + " instead of a key exchange", status == 255 and b"\x1b" not in err, "%s %r" % (status, err[:200]))


def noise(seed):
    rng = random.Random(seed)

    def act(transport, channel):
        kinds = [80, 81, 82, 90, 91, 92, 93, 94, 95, 96, 97, 98, 99, 100, 1, 2, 3, 4, 5, 6, 7, 50, 51, 52, 53, 60, 61]
        for _ in range(30):
            m = Message()
            m.add_byte(bytes([rng.choice(kinds)]))
            for _ in range(rng.randrange(6)):
                what = rng.randrange(4)
                if what == 0:
                    m.add_int(rng.choice([0, channel.remote_chanid, 1, 99, 0x7FFFFFFF, 0xFFFFFFFF]))
                elif what == 1:
                    m.add_string(rng.choice(["exit-status", "exit-signal", "eow@openssh.com", "keepalive@openssh.com", "forwarded-tcpip",
                                             "auth-agent@openssh.com", "hostkeys-00@openssh.com", ""]))
                elif what == 2:
                    m.add_boolean(rng.random() < 0.5)
                else:
                    m.add_bytes(rng.randbytes(rng.randrange(40)))
            transport._send_message(m)
        finish(channel)

    return act


bad = []
for seed in range(40):
    status, out, err = run({"act": noise(seed)}, ["-R", "9001:127.0.0.1:%d" % trap.port] if seed % 2 else [])
    if status is None or status < 0 or b"\x1b" in err or b"Sanitizer" in err:
        bad.append((seed, status, err[-400:]))
check("40 times noise behind the login", not bad, repr(bad[:3]))
check("nothing was reached", not trap.sprung() and not agent.sprung())
print("%d passed, %d failed" % (passed, failed))
sys.exit(failed != 0)
