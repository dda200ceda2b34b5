#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Looks for a key (64 digits in a file, or base64) in the memory of a process, as bytes and as hex digits:

find_key.py PID FILE   prints {"locked": N, "loose": M}: how often it is in pages that are locked and in no dump, and
                       how often anywhere else; where the loose ones are goes to standard error
"""
import base64
import json
import re
import sys

pid, file = sys.argv[1:]
text = open(file).read().strip()
key = bytes.fromhex(text) if re.fullmatch("[0-9a-f]{64}", text) else base64.urlsafe_b64decode(text.replace("+", "-").replace("/", "_") + "==")[:32]
forms = {"bytes": key, "hex": key.hex().encode()}
found = {"locked": 0, "loose": 0}
regions = []
with open("/proc/%s/smaps" % pid) as smaps:
    for line in smaps:
        m = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+)", line)
        if m:
            regions.append([int(m[1], 16), int(m[2], 16), m[3], False, line.split()[-1]])
        elif line.startswith("VmFlags:"):
            regions[-1][3] = " lo" in line and " dd" in line
with open("/proc/%s/mem" % pid, "rb") as mem:
    for begin, end, rights, locked, name in regions:
        if "r" not in rights or name.startswith("[v"):
            continue
        try:
            mem.seek(begin)
            data = mem.read(end - begin)
        except (OSError, OverflowError):
            continue
        for form, what in forms.items():
            n = data.count(what)
            found["locked" if locked else "loose"] += n
            if n and not locked:
                at = data.index(what)
                print("%s of it in %x-%x %s %s at +%x (%x before the end)" % (form, begin, end, rights, name, at, end - begin - at), file=sys.stderr)
print(json.dumps(found))
