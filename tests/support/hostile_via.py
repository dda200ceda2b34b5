#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A machine on the way of a connection.

hostile_via.py record FOLDER ADDRESS PORT   listens on 127.0.0.1:9999, passes on to ADDRESS PORT and writes what went
                                            either way to FOLDER/up and FOLDER/down (and the order of pieces to FOLDER/order)
hostile_via.py flip FOLDER ADDRESS PORT     the same with one bit of what comes back turned, behind the login
hostile_via.py replay FOLDER ADDRESS PORT   sends FOLDER/up again, waiting for the other side where it waited; prints
                                            what came back
hostile_via.py search FOLDER WORD…          which of the words (hex) are in what was seen

Its own connections have the mark 7, which the redirection leaves alone."""
import json
import os
import select
import socket
import sys

SO_MARK = 36


def connect(address, port):
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    s.setsockopt(socket.SOL_SOCKET, SO_MARK, 7)
    s.settimeout(20)
    s.connect((address, int(port)))
    return s


def relay(folder, address, port, flip):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 9999))
    listener.listen(1)
    client, _ = listener.accept()
    listener.close()
    server = connect(address, port)
    order, came = [], 0
    with open(os.path.join(folder, "up"), "wb") as up, open(os.path.join(folder, "down"), "wb") as down:
        ends = {client: (server, up, "up"), server: (client, down, "down")}
        while ends:
            for s in select.select(list(ends), [], [], 60)[0] or [None]:
                if s is None:
                    return
                other, file, name = ends[s]
                try:
                    data = s.recv(65536)
                except OSError:
                    data = b""
                if not data:
                    del ends[s]
                    try:
                        other.shutdown(socket.SHUT_WR)
                    except OSError:
                        pass
                    continue
                if name == "down":
                    came += len(data)
                    if flip and came > 4000:
                        data = data[:-1] + bytes([data[-1] ^ 1])
                        flip = False
                file.write(data)
                order.append([name, len(data)])
                try:
                    other.sendall(data)
                except OSError:
                    pass
    with open(os.path.join(folder, "order"), "w") as f:
        json.dump(order, f)


def replay(folder, address, port):
    data = open(os.path.join(folder, "up"), "rb").read()
    s, at, back = connect(address, port), 0, b""
    s.settimeout(2)
    try:
        for name, count in json.load(open(os.path.join(folder, "order"))):
            if name == "up":
                s.sendall(data[at:at + count])
                at += count
            else:
                back += s.recv(65536)
        while True:
            piece = s.recv(65536)
            if not piece:
                break
            back += piece
    except OSError:
        pass
    sys.stdout.buffer.write(back)


def main():
    kind, folder = sys.argv[1:3]
    if kind in ("record", "flip"):
        relay(folder, sys.argv[3], sys.argv[4], kind == "flip")
    elif kind == "replay":
        replay(folder, sys.argv[3], sys.argv[4])
    else:
        seen = b"".join(open(os.path.join(folder, name), "rb").read() for name in ("up", "down"))
        for word in sys.argv[3:]:
            if bytes.fromhex(word) in seen:
                print(word)


if __name__ == "__main__":
    main()
