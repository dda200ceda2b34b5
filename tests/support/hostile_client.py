# SPDX-License-Identifier: Apache-2.0
#
# An SSH client that misbehaves, for tests/interop/test_sshd_hostile.sh: paramiko speaks the protocol, and what
# it would never send is sent below it.
#
#     hostile_client.py HOST PORT KEY ATTACK
#
# Prints "ready" when the attack is in full swing, then keeps its connection until its standard input ends.
import os
import queue
import socket
import sys
import threading
import time

import paramiko
from paramiko.common import (
    cMSG_CHANNEL_DATA as MSG_CHANNEL_DATA,
    cMSG_CHANNEL_OPEN as MSG_CHANNEL_OPEN,
    cMSG_CHANNEL_REQUEST as MSG_CHANNEL_REQUEST,
    cMSG_GLOBAL_REQUEST as MSG_GLOBAL_REQUEST,
    cMSG_IGNORE as MSG_IGNORE,
)
from paramiko.message import Message

HOST, PORT, KEY, ATTACK = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
ENDLESS = 10**9
LIMIT = time.time() + 300


class Deaf:
    """A socket that stops reading when it is told to."""

    def __init__(self, sock):
        self.sock = sock
        self.deaf = False

    def recv(self, n):
        while self.deaf:
            time.sleep(0.1)
        return self.sock.recv(n)

    def send(self, data):
        return self.sock.send(data)

    def settimeout(self, t):
        self.sock.settimeout(t)

    def close(self):
        self.sock.close()

    def __getattr__(self, name):
        return getattr(self.sock, name)


KEPT = []  # a channel that is forgotten closes itself


def connect(login=True):
    sock = socket.create_connection((HOST, PORT))
    deaf = Deaf(sock)
    t = paramiko.Transport(deaf)
    t.banner_timeout = t.auth_timeout = t.handshake_timeout = 120
    t.start_client(timeout=120)
    if login:
        t.auth_publickey("root", paramiko.Ed25519Key.from_private_key_file(KEY))
    return t, deaf


def message(kind, *fields):
    m = Message()
    m.add_byte(kind)
    for f in fields:
        if isinstance(f, bool):
            m.add_boolean(f)
        elif isinstance(f, int):
            m.add_int(f)
        else:
            m.add_string(f)
    return m


class Flood:
    """Sends as fast as it is taken, until the server stops reading, or an amount."""

    def __init__(self, t, deaf, count):
        self.t, self.deaf, self.count, self.sent = t, deaf, count, 0

    def run(self, make):
        def work():
            try:
                while self.sent < self.count and time.time() < LIMIT:
                    self.t.packetizer.send_message(make(self.sent))
                    self.sent += 1
            except Exception as e:
                print("over:", e, flush=True)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        last = -1
        endless = self.count == ENDLESS  # an amount is taken, however long it takes
        while thread.is_alive() and not (endless and last == self.sent) and time.time() < LIMIT:
            last = self.sent
            thread.join(3)
        stopped = "stopped reading after" if thread.is_alive() and last == self.sent else "sent"
        print(stopped, self.sent, flush=True)


def unknown_before_login():
    t, deaf = connect(login=False)
    deaf.deaf = True
    Flood(t, deaf, ENDLESS).run(lambda n: message(bytes([200])))


def services_before_login():
    t, deaf = connect(login=False)
    deaf.deaf = True
    Flood(t, deaf, ENDLESS).run(lambda n: message(b"\x05", "ssh-userauth"))


def global_requests():
    t, deaf = connect()
    deaf.deaf = True
    Flood(t, deaf, ENDLESS).run(lambda n: message(MSG_GLOBAL_REQUEST, "keepalive@openssh.com", True))


def listens():
    t, deaf = connect()
    deaf.deaf = True
    Flood(t, deaf, ENDLESS).run(
        lambda n: message(MSG_GLOBAL_REQUEST, "tcpip-forward", True, "localhost", 0)
    )


def opens():
    t, deaf = connect()
    deaf.deaf = True
    Flood(t, deaf, ENDLESS).run(
        lambda n: message(MSG_CHANNEL_OPEN, "session", 1000 + n, 1 << 20, 32768)
    )


def channel_requests():
    t, deaf = connect()
    c = t.open_session()
    KEPT.append(c)
    remote = c.remote_chanid
    deaf.deaf = True
    Flood(t, deaf, ENDLESS).run(
        lambda n: message(MSG_CHANNEL_REQUEST, remote, "env", True, "LC_%d" % n, "x" * 4000)
    )


def window_changes():
    t, deaf = connect()
    c = t.open_session()
    KEPT.append(c)
    c.get_pty()
    c.exec_command("sleep 600")
    remote = c.remote_chanid
    Flood(t, deaf, 20000).run(
        lambda n: message(MSG_CHANNEL_REQUEST, remote, "window-change", False, 80 + n % 9, 24, 0, 0)
    )


def one_byte_packets():
    t, deaf = connect()
    c = t.open_session()
    KEPT.append(c)
    c.exec_command("wc -c")
    remote = c.remote_chanid
    f = Flood(t, deaf, 20000)
    f.run(lambda n: message(MSG_CHANNEL_DATA, remote, b"x"))
    c.shutdown_write()
    print("counted", c.makefile().read().decode().strip(), flush=True)


def ignores_window():
    t, deaf = connect()
    c = t.open_session()
    KEPT.append(c)
    c.exec_command("sleep 600")
    remote = c.remote_chanid
    Flood(t, deaf, ENDLESS).run(lambda n: message(MSG_CHANNEL_DATA, remote, b"x" * 30000))


def never_reads():
    t, deaf = connect()
    for _ in range(20):
        c = t.open_session(window_size=(1 << 31) - 1)
        KEPT.append(c)
        c.exec_command("yes")
    deaf.deaf = True


def never_opens_windows():
    t, deaf = connect()
    for _ in range(20):
        c = t.open_session(window_size=1 << 15)
        KEPT.append(c)
        c.exec_command("yes")


def rekeys():
    t, deaf = connect()
    c = t.open_session()
    KEPT.append(c)
    c.exec_command("cat")
    for n in range(20):
        t.renegotiate_keys()
    c.send(b"still there")
    c.shutdown_write()
    print("echoed", c.makefile().read().decode(), flush=True)


def ignores():
    t, deaf = connect()
    deaf.deaf = True
    Flood(t, deaf, 20000).run(lambda n: message(MSG_IGNORE, b"x" * 1000))


class Answers:
    """In the place of paramiko's own authentication: says what came."""

    def __init__(self):
        self.got = queue.Queue()
        self._handler_table = {n: self.make(n) for n in (6, 51, 52, 53, 60)}

    def make(self, number):
        return lambda _self, m: self.got.put(number)

    def abort(self):
        self.got.put(1)


def garbage_keys():
    good = paramiko.Ed25519Key.from_private_key_file(KEY)
    blob = good.asbytes()
    head = ("root", "ssh-connection", "publickey")

    def string(*parts):
        m = Message()
        for p in parts:
            m.add_string(p)
        return m.asbytes()

    tries = [
        head + (False, "ssh-ed25519", b""),
        head + (False, "ssh-ed25519", b"\0\0\0"),
        head + (False, "ssh-ed25519", os.urandom(60)),
        head + (False, "ssh-unknown", blob),
        head + (False, "sk-ssh-ed25519@openssh.com", string("sk-ssh-ed25519@openssh.com", b"x" * 32, "ssh:")),
        head + (False, "ssh-ed25519", string("ssh-ed25519", b"x" * 31)),
        head + (False, "ssh-ed25519", string("ssh-ed25519", b"x" * 60000)),
        head + (False, "ssh-rsa", string("ssh-rsa", b"\3", b"\0" + b"\xff" * 8000)),
        head + (False, "ssh-ed25519-cert-v01@openssh.com", string("ssh-ed25519-cert-v01@openssh.com", b"n", b"x")),
        head + (False, "ecdsa-sha2-nistp256", string("ecdsa-sha2-nistp256", "nistp256", b"\4" + b"\0" * 64)),
        head + (True, "ssh-ed25519", blob),
        head + (True, "ssh-ed25519", blob, b""),
        head + (True, "ssh-ed25519", blob, string("ssh-ed25519", b"s" * 64)),
        head + (True, "ssh-ed25519", blob, string("ssh-ed25519", b"s" * 63)),
        head + (True, "ssh-ed25519", blob, string("ssh-rsa", b"s" * 64)),
        head + (True, "ssh-ed25519", blob, os.urandom(83)),
        head + (True, "rsa-sha2-256", blob, string("rsa-sha2-256", b"s" * 256)),
        ("root", "ssh-connection", "hostbased", "ssh-ed25519", blob, "h", "u", b"s"),
        ("root", "ssh-connection", "gssapi-with-mic", 1, b"oid"),
        ("root", "ssh-connection", "password", True, "old", "new"),
        ("root", "ssh-connection", "nothing"),
        ("root", "other-service", "publickey", False, "ssh-ed25519", blob),
        ("x" * 4000, "ssh-connection", "none"),
        (b"\xff\0root", "ssh-connection", "none"),
        ("", "ssh-connection", "none"),
    ]
    for number, fields in enumerate(t for t in tries for _ in range(2)):
        t, _ = connect(login=False)
        t.auth_handler = answers = Answers()
        t._send_message(message(b"\x05", "ssh-userauth"))
        answers.got.get(timeout=120)
        if number % 2 == 0 or fields[0] != "root":  # as OpenSSH, and as clients that know what they want
            t._send_message(message(b"\x32", fields[0], "ssh-connection", "none"))
            answers.got.get(timeout=120)
        t._send_message(message(b"\x32", *fields))
        answer = 53
        while answer == 53:
            try:
                answer = answers.got.get(timeout=0.2)
            except queue.Empty:
                if not t.is_active():
                    answer = 1
                elif time.time() > LIMIT:
                    answer = 0
        print("try", number, {0: "hangs", 1: "ended", 51: "refused"}.get(answer, answer), flush=True)
        t.close()
        if answer not in (1, 51, 60):
            return
    print("answered all", flush=True)


def slow_loris():
    banner = b"SSH-2.0-slow" + b"x" * 100
    socks = [socket.create_connection((HOST, PORT)) for _ in range(40)]
    for i, s in enumerate(socks):
        if i % 2:
            s.sendall(b"SSH-2.0-slow\r\n" + b"\x00\x00\x80\x00")
    print("ready", flush=True)
    alive = set(socks)
    at = 0
    while alive and time.time() < LIMIT:
        for s in list(alive):
            try:
                s.sendall(banner[at % len(banner) :][:1])
            except OSError:
                alive.discard(s)
        at += 1
        time.sleep(0.2)
    print("left", len(alive), flush=True)


{
    f.__name__: f
    for f in (
        unknown_before_login,
        services_before_login,
        global_requests,
        listens,
        opens,
        channel_requests,
        window_changes,
        one_byte_packets,
        ignores_window,
        never_reads,
        never_opens_windows,
        rekeys,
        ignores,
        garbage_keys,
        slow_loris,
    )
}[ATTACK]()
print("ready", flush=True)
sys.stdin.read()
os._exit(0)  # what paramiko would say now nobody hears
