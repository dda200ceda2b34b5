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

sys.dont_write_bytecode = True
from process_memory import regions  # noqa: E402

pid, file = sys.argv[1:]
text = open(file).read().strip()
key = bytes.fromhex(text) if re.fullmatch("[0-9a-f]{64}", text) else base64.urlsafe_b64decode(text.replace("+", "-").replace("/", "_") + "==")[:32]
forms = {"bytes": key, "hex": key.hex().encode()}
found = {"locked": 0, "loose": 0}
for region in regions(pid):
    for form, what in forms.items():
        n = region.data.count(what)
        found["locked" if region.locked() else "loose"] += n
        if n and not region.locked():
            at = region.data.index(what)
            print("%s of it in %s at +%x (%x before the end)" % (form, region, at, len(region.data) - at), file=sys.stderr)
print(json.dumps(found))
