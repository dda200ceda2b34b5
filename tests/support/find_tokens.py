# SPDX-License-Identifier: Apache-2.0
"""Looks for JSON Web Tokens in the memory of a process: find_tokens.py PID

Prints {"locked": N, "loose": M}: how many are in pages that are locked and in no dump, and how many anywhere else.
"""
import json
import re
import sys

sys.dont_write_bytecode = True
from process_memory import regions  # noqa: E402

JWT = re.compile(rb"eyJ[A-Za-z0-9_-]{20,}\.eyJ[A-Za-z0-9_-]{40,}\.[A-Za-z0-9_-]{40,}")
pid = sys.argv[1]
found = {"locked": 0, "loose": 0}
for region in regions(pid):
    n = len(JWT.findall(region.data))
    found["locked" if region.locked() else "loose"] += n
    if n and len(sys.argv) > 2:
        print("%s: %d" % (region, n), file=sys.stderr)
print(json.dumps(found))
