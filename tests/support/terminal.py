#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a command on a terminal and plays the person at it.

    terminal.py STEP… -- COMMAND…

STEP: expect:REGEX (in what came since the last match), send:TEXT (\\r \\n \\xNN), resize:COLSxROWS,
raw, cooked (the terminal is in that mode), kill:SIGNAL (to the command), run:COMMAND (a shell's, elsewhere; it has to
succeed), status:N (the command ends with it), never:REGEX (in all that came so far), restored (the terminal is as it was before the command). Prints what the terminal showed when a step
fails, and exits 1."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

LIMIT = 60


def main():
    split = sys.argv.index("--")
    steps, command = sys.argv[1:split], sys.argv[split + 1:]
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    before = termios.tcgetattr(slave)
    pid = os.fork()
    if pid == 0:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        for fd in range(3):
            os.dup2(slave, fd)
        os.execvp(command[0], command)
    shown, seen, status = b"", 0, None

    def fail(step):
        sys.stdout.write(f"terminal: {step} did not happen; the terminal shows:\n")
        sys.stdout.flush()
        sys.stdout.buffer.write(shown + b"\n")
        if status is None:
            os.kill(pid, signal.SIGKILL)
        sys.exit(1)

    def read_some(wait):
        nonlocal shown
        if not select.select([master], [], [], wait)[0]:
            return False
        shown += os.read(master, 65536)
        return True

    for step in steps:
        kind, _, text = step.partition(":")
        until = time.monotonic() + LIMIT
        if kind == "expect":
            while not (found := re.compile(text.encode()).search(shown, seen)):
                if time.monotonic() > until:
                    fail(step)
                read_some(0.1)
            seen = found.end()
        elif kind == "send":
            os.write(master, text.encode().decode("unicode_escape").encode("latin-1"))
        elif kind == "resize":
            cols, rows = text.split("x")
            fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", int(rows), int(cols), 0, 0))
        elif kind in ("raw", "cooked"):
            wanted = 0 if kind == "raw" else termios.ICANON | termios.ECHO
            while termios.tcgetattr(slave)[3] & (termios.ICANON | termios.ECHO) != wanted:
                if time.monotonic() > until:
                    fail(step)
                read_some(0.05)
        elif kind == "kill":
            os.kill(pid, getattr(signal, "SIG" + text))
        elif kind == "run":
            done = subprocess.run(text, shell=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if done.returncode != 0:
                shown += done.stdout
                fail(step)
        elif kind == "status":
            while status is None:
                if time.monotonic() > until:
                    fail(step)
                read_some(0.05)
                done, code = os.waitpid(pid, os.WNOHANG)
                if done:
                    status = os.waitstatus_to_exitcode(code)
            while read_some(0):
                pass
            if status != int(text):
                fail(f"{step} (it is {status})")
        elif kind == "never":
            while read_some(0):
                pass
            if re.search(text.encode(), shown):
                fail(step)
        elif kind == "restored":
            if termios.tcgetattr(slave) != before:
                fail(step)
        else:
            fail(f"unknown step {step}")
    if status is None:
        os.kill(pid, signal.SIGKILL)
    return 0


if __name__ == "__main__":
    sys.exit(main())
