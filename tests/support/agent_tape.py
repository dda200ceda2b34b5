#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An SSH agent that keeps or repeats one signature.

agent_tape.py record SOCKET TAPE AGENT    passes everything on to AGENT, writes the last signature to TAPE
agent_tape.py replay SOCKET TAPE KEY.pub  has the key and the certificate KEY-cert.pub (if any) beside it, no
                                          private key: answers every request with the signature on TAPE
"""
import base64
import os
import socket
import struct
import sys


def text(data):
    return struct.pack(">I", len(data)) + data


def exactly(conn, count):
    data = b""
    while len(data) < count:
        more = conn.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def message(conn):
    size = struct.unpack(">I", exactly(conn, 4))[0]
    if size > 1 << 18:
        raise EOFError
    return exactly(conn, size)


def ask(path, request):
    with socket.socket(socket.AF_UNIX) as agent:
        agent.connect(path)
        agent.sendall(text(request))
        return message(agent)


mode, path, tape, source = sys.argv[1:5]
blobs = []
if mode == "replay":
    for name in filter(os.path.exists, (source, source[:-4] + "-cert.pub")):
        with open(name, encoding="ascii") as f:
            blobs.append(base64.b64decode(f.read().split()[1]))


def answer(request):
    if mode == "record":
        reply = ask(source, request)
        if request[0] == 13 and reply[0] == 14:
            with open(tape, "wb") as f:
                f.write(reply)
        return reply
    if request[0] == 11:
        return b"\x0c" + struct.pack(">I", len(blobs)) + b"".join(text(b) + text(b"tape") for b in blobs)
    if request[0] == 13:
        with open(tape, "rb") as f:
            reply = f.read()
        with open(tape + ".played", "a", encoding="ascii") as f:
            f.write("played\n")
        return reply
    return b"\x05"


server = socket.socket(socket.AF_UNIX)
server.bind(path + ".new")
server.listen(8)
os.rename(path + ".new", path)  # who sees it can connect
while True:
    conn, _ = server.accept()
    with conn:
        try:
            while True:
                conn.sendall(text(answer(message(conn))))
        except (EOFError, OSError):
            pass
