#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pings of which each is answered: pings.py ADDRESS COUNT INTERVAL [CLOCK SPEED [LOST]]

ping(8) takes for lost what comes late. This waits, as long as a minute, and has eight under way at most, so that a
machine that stands still loses none. Exits 0 when all were answered; says how many were.

CLOCK is the file with the time of warren-wg-lab (LAB_CLOCK): it goes SPEED times as fast as ours, but past twenty
seconds after the last answer only as fast: who isn't scheduled for long doesn't grow old meanwhile, and handshakes
that were too slow for the fast clock get their time.

LOST is a file for the number of pings that nothing answered while nothing else was, either, for five seconds: they
are given up, and the rest goes on.
"""
import mmap
import os
import select
import socket
import struct
import sys
import time

UNDER_WAY, PATIENCE_S, GIVE_UP_S, AHEAD_NS = 8, 60, 5, 20_000_000_000


class Clock:
    def __init__(self, path, speed):
        self.speed, self.ahead, self.last = float(speed), 0, time.monotonic_ns()
        self.file = open(path, "r+b")
        self.map = mmap.mmap(self.file.fileno(), 8)

    def go_on(self, answered):
        now = time.monotonic_ns()
        if answered:
            self.ahead = 0
        passed = now - self.last
        step = int(max(min(passed * self.speed, AHEAD_NS - self.ahead), passed))
        self.last = now
        self.ahead += step
        self.map[0:8] = struct.pack("@Q", struct.unpack("@Q", self.map[0:8])[0] + step)


def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


address, count, interval = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
clock = Clock(*sys.argv[4:6]) if len(sys.argv) > 4 else None
lost_file, lost = sys.argv[6] if len(sys.argv) > 6 else None, 0
six = ":" in address
sock = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_RAW,
                     socket.getprotobyname("ipv6-icmp" if six else "icmp"))
sock.setblocking(False)
sock.connect((address, 0))
me, sent, waiting = os.getpid() & 0xFFFF, 0, set()
next_at = progress = waits = time.monotonic()
while (sent < count or waiting) and time.monotonic() - progress < PATIENCE_S:
    if sent < count and len(waiting) < UNDER_WAY and time.monotonic() >= next_at:
        body = b"warren.."
        head = struct.pack("!BBHHH", 128 if six else 8, 0, 0, me, sent & 0xFFFF)
        if not six:
            head = struct.pack("!BBHHH", 8, 0, checksum(head + body), me, sent & 0xFFFF)
        try:
            sock.send(head + body)
            waiting.add(sent & 0xFFFF)
            sent += 1
            waits = time.monotonic()
        except OSError:
            pass  # the queue is full, or no way just now: again
        next_at = time.monotonic() + interval
    pause = max(0.0, min(0.005, next_at - time.monotonic())) if sent < count else 0.005
    select.select([sock], [], [], pause)
    answered = False
    while True:
        try:
            data = sock.recv(65536)
        except OSError:
            break
        if not six:
            data = data[(data[0] & 15) * 4:]
        if len(data) >= 8 and data[0] == (129 if six else 0):
            _, _, _, who, number = struct.unpack("!BBHHH", data[:8])
            if who == me and number in waiting:
                waiting.discard(number)
                answered = True
                progress = waits = time.monotonic()
    if lost_file and time.monotonic() - waits > GIVE_UP_S:
        lost += len(waiting)
        waiting.clear()
    if clock:
        clock.go_on(answered)
if lost_file:
    with open(lost_file, "a") as file:
        print(lost, file=file)
print("%d of %d answered" % (sent - len(waiting) - lost, count))
sys.exit(0 if sent == count and not waiting else 1)
