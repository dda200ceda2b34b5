#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Streams that last: blocks at a steady rate with a digest behind them.

steady.py serve ADDRESS PORT            answers any number of clients
steady.py up|down ADDRESS PORT SECONDS [FILE]  0: all bytes came, in order and unchanged, and the other side
                                        says so. With FILE it connects, and begins when that is there
"""
import hashlib
import os
import socket
import sys
import threading
import time

BLOCK, PAUSE = 1 << 16, 0.02


def send(sock, count):
    digest = hashlib.sha256()
    for _ in range(count):
        block = os.urandom(BLOCK)
        digest.update(block)
        sock.sendall(block)
        time.sleep(PAUSE)
    sock.sendall(digest.digest())


def exactly(sock, count):
    data = bytearray()
    while len(data) < count:
        more = sock.recv(min(1 << 16, count - len(data)))
        if not more:
            raise EOFError("the stream ended early")
        data += more
    return bytes(data)


def receive(sock, count):
    digest = hashlib.sha256()
    left = count * BLOCK
    while left:
        part = exactly(sock, min(BLOCK, left))
        digest.update(part)
        left -= len(part)
    return exactly(sock, 32) == digest.digest()


def answer(sock):
    direction, count = exactly(sock, 1), int.from_bytes(exactly(sock, 4), "big")
    if direction == b"u":
        sock.sendall(b"1" if receive(sock, count) else b"0")
    else:
        send(sock, count)
        exactly(sock, 1)


mode, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
if mode == "serve":
    listener = socket.create_server((address, port))
    while True:
        threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()
blocks = int(float(sys.argv[4]) / PAUSE)
with socket.create_connection((address, port), timeout=60) as s:
    s.settimeout(200)
    while len(sys.argv) > 5 and not os.path.exists(sys.argv[5]):
        time.sleep(0.02)
    s.sendall((b"u" if mode == "up" else b"d") + blocks.to_bytes(4, "big"))
    if mode == "up":
        send(s, blocks)
        good = exactly(s, 1) == b"1"
    else:
        good = receive(s, blocks)
        s.sendall(b"1")
sys.exit(0 if good else 1)
