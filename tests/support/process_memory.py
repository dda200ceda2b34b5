# SPDX-License-Identifier: Apache-2.0
"""The memory of a process, for find_key.py and find_tokens.py."""
import re


class Region:
    """Mapped memory: addresses, name, the kernel's flags of it (proc(5), VmFlags), and what is in it."""

    def __init__(self, begin, end, rights, name):
        self.begin, self.end, self.rights, self.name = begin, end, rights, name
        self.flags, self.data = [], b""

    def locked(self):
        """It is never written to swap, and in no core dump."""
        return "lo" in self.flags and "dd" in self.flags

    def __str__(self):
        return "%x-%x %s %s" % (self.begin, self.end, self.rights, self.name)


def regions(pid):
    """All that can be read, one after the other."""
    found = []
    with open("/proc/%s/smaps" % pid) as smaps:
        for line in smaps:
            m = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+)", line)
            if m:
                found.append(Region(int(m[1], 16), int(m[2], 16), m[3], line.split()[-1]))
            elif line.startswith("VmFlags:"):
                found[-1].flags = line.split()[1:]
    with open("/proc/%s/mem" % pid, "rb") as mem:
        for region in found:
            if "r" not in region.rights or region.name.startswith("[v"):
                continue
            try:
                mem.seek(region.begin)
                region.data = mem.read(region.end - region.begin)
            except (OSError, OverflowError):
                continue
            yield region
            region.data = b""
