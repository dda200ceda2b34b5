# SPDX-License-Identifier: Apache-2.0
"""Looks for JSON Web Tokens in the memory of a process: find_tokens.py PID

Prints {"locked": N, "loose": M}: how many are in locked pages, and how many anywhere else.
"""
import json
import re
import sys

JWT = re.compile(rb"eyJ[A-Za-z0-9_-]{20,}\.eyJ[A-Za-z0-9_-]{40,}\.[A-Za-z0-9_-]{40,}")
pid = sys.argv[1]
found = {"locked": 0, "loose": 0}
regions = []
with open("/proc/%s/smaps" % pid) as smaps:
    for line in smaps:
        m = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+)", line)
        if m:
            regions.append([int(m[1], 16), int(m[2], 16), m[3], False, line.split()[-1]])
        elif line.startswith("VmFlags:"):
            regions[-1][3] = " lo" in line
with open("/proc/%s/mem" % pid, "rb") as mem:
    for begin, end, rights, locked, name in regions:
        if "r" not in rights or name.startswith("[v"):
            continue
        try:
            mem.seek(begin)
            data = mem.read(end - begin)
        except (OSError, OverflowError):
            continue
        n = len(JWT.findall(data))
        found["locked" if locked else "loose"] += n
        if n and len(sys.argv) > 2:
            print("%x-%x %s %s: %d" % (begin, end, rights, name, n), file=sys.stderr)
print(json.dumps(found))
