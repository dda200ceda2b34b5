# SPDX-License-Identifier: Apache-2.0
"""Runs inside the box: rounds, medians, the table of bars. See tests/bench/tunnel."""
import argparse
import collections
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

from lib_lab import Failed, Lab, netns, process_cpu_s

GROUPS = "tcp1 tcp4 wire pinned udp ping memory extra micro filter".split()
BIN, TESTS, CACHE = (os.environ["BENCH_" + x] for x in ("BIN", "TESTS", "CACHE"))
RULES = {"BENCH_RULES": "1000"}


def programs():
    """What is compared; ours with replay window and filter (1,000 rules) on."""
    ours = BIN + "/warren-wg-bench"
    found = {"2022": (["wireguard-go"], {})}
    if os.path.exists(CACHE + "/wireguard"):
        found["today"] = ([CACHE + "/wireguard"], {})
    found["evp"] = ([ours], {**RULES, "BENCH_TIER": "evp"})
    if subprocess.run([ours, "--has-ipsec-mb"], env={**os.environ, "BENCH_PROBE": "ipsec-mb"},
                      capture_output=True).returncode == 0:
        found["ipsec-mb"] = ([ours], {**RULES, "BENCH_TIER": "ipsec-mb"})
    found["nocrypto"] = ([BIN + "/warren-wg-nocrypto"], RULES)
    return found


def has_avx512():
    with open("/proc/cpuinfo") as f:
        return "avx512f" in f.read()


class Bench:
    def __init__(self, args):
        self.args = args
        self.load_before = os.getloadavg()[0]
        self.lab = Lab()
        self.programs = programs()
        self.values = collections.defaultdict(list)  # (program, group, key) -> one of each round
        self.notes = []
        self.extra = {}
        self.micro = {}
        self.profiles = {}

    def wants(self, group):
        return group in self.args.only

    def note(self, program, group, result):
        for key, value in result.items():
            self.values[program, group, key].append(value)

    def attempt(self, program, group, measure):
        try:
            self.note(program, group, measure())
        except Failed as why:
            self.notes.append(f"{program} {group}: {why}")

    def free_runs(self, name):
        lab, seconds = self.lab, self.args.seconds
        if self.wants("tcp1"):
            self.attempt(name, "tcp1", lambda: lab.tcp(seconds))
        if self.wants("tcp4"):
            self.attempt(name, "tcp4", lambda: lab.tcp(seconds, 4))
        if self.wants("wire"):
            lab.wire_offloads(False)
            self.attempt(name, "wire", lambda: lab.tcp(seconds))
            lab.wire_offloads(True)
        if self.wants("udp"):
            self.attempt(name, "udp", lambda: lab.udp(seconds, 100, "24M"))
        if self.wants("ping"):
            self.attempt(name, "ping", lambda: {"ms": lab.ping(250)})

    def round(self):
        if self.wants("ping"):
            self.attempt("raw", "ping", lambda: {"ms": self.lab.ping(250, "192.0.2.2")})
        for name, program in self.programs.items():
            for pinned in (False, True):
                if pinned and not (self.wants("pinned") and os.cpu_count() > 1):
                    continue
                if not pinned and not any(map(self.wants, ("tcp1", "tcp4", "wire", "udp", "ping"))):
                    continue
                try:
                    self.lab.start(program, pinned)
                    if pinned:
                        self.attempt(name, "pinned",
                                     lambda: self.lab.tcp(self.args.seconds, pinned=True))
                    else:
                        self.free_runs(name)
                except Failed as why:
                    self.notes.append(f"{name}: {why}")
                finally:
                    self.lab.stop()

    def memory(self):
        self.lab.start(([BIN + "/warren-wg"], {}))
        pid = self.lab.pids()[0]
        fresh = self.lab.memory_mb()
        seconds = 3 if self.args.quick else 20
        before = process_cpu_s(pid)
        time.sleep(seconds)
        idle = (process_cpu_s(pid) - before) / seconds * 100
        self.lab.tcp(self.args.seconds)
        self.note("evp", "memory", {"fresh": fresh, "loaded": self.lab.memory_mb(), "idle": idle})
        self.lab.stop()

    def one_extra(self, label, program, measure, **start):
        try:
            self.lab.start(program, **start)
            self.extra[label] = measure()
        except Failed as why:
            self.extra[label] = {"failed": str(why)}
        finally:
            self.lab.stop()

    def extras(self):
        """No bar; what the numbers look like elsewhere."""
        lab, seconds = self.lab, self.args.seconds
        for name in ("2022", "today", "evp"):
            if name not in self.programs:
                continue
            program = self.programs[name]
            self.one_extra(f"IPv6 inside, {name}", program,
                           lambda: lab.tcp(seconds, server="fd09::2"))
            self.one_extra(f"both directions, {name}", program,
                           lambda: lab.tcp(seconds, options=["--bidir"]))
            self.one_extra(f"100 peers, one active, {name}", program, lambda: lab.tcp(seconds),
                           extra_peers=99)
            self.one_extra(f"1 % loss, {name}", program, lambda: self.lossy(seconds))
        argv, env = self.programs["evp"]
        two = (argv, {**env, "WARREN_WG_SHARDS": "2"})
        self.one_extra("two shards, 1 stream, evp", two, lambda: lab.tcp(seconds))
        self.one_extra("two shards, 4 streams, evp", two, lambda: lab.tcp(seconds, 4))
        self.one_extra("two shards, both directions, evp", two,
                       lambda: lab.tcp(seconds, options=["--bidir"]))
        self.one_extra("without TUN USO (as Linux 6.1), 1 stream, evp",
                       (argv, {**env, "BENCH_NO_USO": "1"}), lambda: lab.tcp(seconds))
        self.one_extra("bulk UDP 1200 bytes, evp", (argv, env),
                       lambda: lab.udp(seconds, 1200, "1500M"))
        self.one_extra("the same without TUN USO (as Linux 6.1), evp",
                       (argv, {**env, "BENCH_NO_USO": "1"}),
                       lambda: lab.udp(seconds, 1200, "1500M"))

    def lossy(self, seconds):
        rules = ("table inet loss {\n chain in {\n type filter hook input priority 0\n"
                 " udp dport 1002 numgen random mod 100 < 1 drop\n }\n}\n")
        netns("b", "nft", "-f", "-", input=rules)
        self.lab.wire_offloads(False)  # or whole trains would be lost
        try:
            return self.lab.tcp(seconds)
        finally:
            self.lab.wire_offloads(True)
            netns("b", "nft", "delete", "table", "inet", "loss")

    def in_process(self, what=None):
        argv = [TESTS + "/bench_tunnel_micro", what or ("quick" if self.args.quick else "full")]
        out = subprocess.run(argv, capture_output=True, text=True)
        if out.returncode:
            self.notes.append("micro: " + out.stderr.strip())
        for line in out.stdout.splitlines():
            key, _, value = line.partition("=")
            self.micro[key] = float(value)

    def filter_instructions(self):
        counts = {}
        for rules in ("0", "10000"):
            file = f"/tmp/callgrind.{os.getpid()}.{rules}"
            out = subprocess.run(
                ["valgrind", "--tool=callgrind", "--toggle-collect=bench_filter_path",
                 f"--callgrind-out-file={file}", TESTS + "/bench_tunnel_micro", "filter", rules],
                capture_output=True, text=True)
            try:
                with open(file) as f:
                    for line in f:
                        if line.startswith(("summary:", "totals:")):
                            counts[rules] = int(line.split()[1])
                os.unlink(file)
            except OSError:
                self.notes.append("filter: " + out.stderr[-300:])
        if len(counts) == 2 and counts["0"]:
            self.micro["filter_percent"] = (counts["10000"] / counts["0"] - 1) * 100

    # ---- why ----

    def profile(self, label, target, measure):
        """Where time goes while measure() runs, by perf; the first lines, in percent."""
        if not shutil.which("perf"):
            self.profiles[label] = ["perf is not installed (linux-perf)"]
            return
        file = f"/tmp/warren-bench.{os.getpid()}.perf"
        try:
            recorder = subprocess.Popen(["perf", "record", "-q", "-o", file, *target],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            measure()
            recorder.wait()
            lines = []
            for sort, count in (("dso", 6), ("symbol", 14)):
                out = subprocess.run(["perf", "report", "-i", file, "--stdio", "-q", "--no-children",
                                      "--sort", sort], capture_output=True, text=True).stdout
                found = [" ".join(x.split()) for x in out.splitlines() if "%" in x]
                lines += [x for x in found if "0x0000" not in x][:count]
            self.profiles[label] = [x.rstrip(" -") for x in lines]
        finally:
            if os.path.exists(file):
                os.unlink(file)

    def profile_daemons(self, name, label, measure, pinned=False):
        label = f"{name}, {label}"
        try:
            self.lab.start(self.programs[name], pinned)
            pids = ",".join(map(str, self.lab.pids()))
            self.profile(label, ["-p", pids, "--", "sleep", "2"], measure)
        except Failed as why:
            self.profiles[label] = [str(why)]
        finally:
            self.lab.stop()

    def explain_misses(self):
        missed = [r["bar"] for r in self.bars() if not r["met"] and r["value"] is not None]
        tcp = [b for b in missed if "TCP" in b or "throughput" in b or "wire" in b]
        for tier in ("evp", "ipsec-mb"):
            mine = [b for b in tcp if b.startswith(tier + ":")]
            if mine and tier in self.programs:
                pinned = all("pinned" in b for b in mine)
                self.profile_daemons(tier, "one TCP stream" + (", pinned" if pinned else ""),
                                     lambda: self.lab.tcp(3, pinned=pinned), pinned)
        if any("UDP" in b for b in missed):
            self.profile_daemons(self.default(), "UDP 100 bytes",
                                 lambda: self.lab.udp(3, 100, "24M"))
        if any("ping" in b for b in missed):
            self.profile_daemons(self.default(), "ping", lambda: self.lab.ping(600))
        if any("handshakes" in b for b in missed):
            self.profile("handshakes, both sides and the making of peers",
                         ["--", TESTS + "/bench_tunnel_micro", "handshakes"], lambda: None)

    # ---- results ----

    def median(self, program, group, key):
        values = self.values.get((program, group, key))
        return statistics.median(values) if values else None

    def ratio(self, a, b, group, key):
        """Median of the rounds' ratios: neighbours in time share noise."""
        x, y = self.values.get((a, group, key)), self.values.get((b, group, key))
        if not x or not y:
            return None
        if len(x) == len(y):
            return statistics.median(i / j for i, j in zip(x, y))
        return statistics.median(x) / statistics.median(y)

    def default(self):
        """What warren-wg takes by itself."""
        return "ipsec-mb" if "ipsec-mb" in self.programs else "evp"

    def bars(self):
        rows = []

        def bar(text, value, limit, at_most, unit=""):
            met = value is not None and (value <= limit if at_most else value >= limit)
            rows.append({"bar": text, "limit": limit, "at_most": at_most, "value": value,
                         "unit": unit, "met": met})

        def fraction(text, ours, theirs, group, key, part):
            r = self.ratio(ours, theirs, group, key)
            bar(f"{text} of {theirs}, one part in", 1 / r if r else None, part, False)

        tiers = (("evp", 9, 2, 2.5, 8, 5.5, 1.25, 1.9),
                 ("ipsec-mb", 12, 2.6, 1.7, 9, 7, 1.6, 2.5))
        for tier, old, new, bare, wire, fast_old, fast_new, pinned in tiers:
            for group, streams in (("tcp1", "1 stream"), ("tcp4", "4 streams")):
                if not self.wants(group):
                    continue
                for key, what in (("daemons", "daemons"), ("total", "all")):
                    text = f"{tier}: TCP {streams}, CPU of {what} per GB"
                    fraction(text, tier, "2022", group, key, old)
                    fraction(text, tier, "today", group, key, new)
                    bar(f"{text}, times nocrypto", self.ratio(tier, "nocrypto", group, key), bare,
                        True)
            if self.wants("wire"):
                fraction(f"{tier}: as on a wire, CPU of daemons per GB", tier, "2022", "wire",
                         "daemons", wire)
            if self.wants("tcp1"):
                bar(f"{tier}: throughput, times 2022", self.ratio(tier, "2022", "tcp1", "gbps"),
                    fast_old, False)
                bar(f"{tier}: throughput, times today", self.ratio(tier, "today", "tcp1", "gbps"),
                    fast_new, False)
            if self.wants("pinned"):
                bar(f"{tier}: throughput pinned, times today",
                    self.ratio(tier, "today", "pinned", "gbps"), pinned, False)
        default = self.default()
        if self.wants("udp"):
            fraction("UDP 100 bytes, CPU per packet", default, "2022", "udp", "us", 4)
        if self.wants("ping"):
            raw = self.median("raw", "ping", "ms")
            ours = self.median(default, "ping", "ms")
            for other in ("2022", "today"):
                theirs = self.median(other, "ping", "ms")
                added = (ours - raw) / (theirs - raw) if ours and theirs and raw else None
                bar(f"added ping, part of {other}'s", added, 0.5, True)
        if self.wants("filter"):
            bar("filter with 10,000 rules, more instructions", self.micro.get("filter_percent"), 3,
                True, "%")
        if self.wants("micro"):
            bar("responder handshakes per core", self.micro.get("handshakes"), 5000, False, "/s")
            bar("mac1 junk rejected per core", self.micro.get("mac1_junk"), 1e6, False, "/s")
            bar("memory per configured peer", self.micro.get("peer_bytes"), 4096, True, " B")
            bar("memory per peer with a session", self.micro.get("session_bytes"), 12288, True,
                " B")
        if self.wants("memory"):
            bar("memory with 1 peer", self.median("evp", "memory", "fresh"), 10, True, " MB")
            bar("idle CPU", self.median("evp", "memory", "idle"), 0.02, True, " %")
        return rows

    def explain(self, row):
        if row["value"] is None:
            if "ipsec-mb:" in row["bar"] and "ipsec-mb" not in self.programs:
                return "not measured: built without intel-ipsec-mb"
            if "today" in row["bar"] and "today" not in self.programs:
                return "not measured: no Go here"
            return "not measured (see notes)"
        tier = row["bar"].split(":")[0]
        why = self.explain_small(row["bar"])
        if why:
            return "; ".join(why + self.busy())
        if tier == "ipsec-mb" and not has_avx512():
            why.append("no AVX-512 here: long packets go through OpenSSL, as with evp")
        group = "wire" if "wire" in row["bar"] else "pinned" if "pinned" in row["bar"] else \
            "tcp4" if "4 streams" in row["bar"] else "tcp1"
        ours, path = (self.median(x, group, "daemons") for x in (tier, "nocrypto"))
        if ours and path:
            why.append(f"daemons {ours:.2f} s/GB = path {path:.2f} + crypto {ours - path:.2f}")
        cost = self.micro.get(f"aead_ns {tier}, 1424 bytes, batch of 45")
        if cost:
            why.append(f"AEAD {cost:.0f} ns per 1424 bytes")
        return "; ".join(why + self.busy()) or "slower than the bar"

    def busy(self):
        if self.load_before <= 1:
            return []
        return [f"the machine was busy with other work (load {self.load_before:.1f})"]

    def explain_small(self, text):
        """Of the bars that bulk says nothing about."""
        why = []
        same, other = (self.micro.get(f"wake_us, of {x} core") for x in ("the same", "another"))
        wake = f"waking a thread takes {other:.0f} us across cores, {same:.0f} on one" if same else ""
        if "UDP" in text:
            ours, path = (self.median(x, "udp", "us") for x in (self.default(), "nocrypto"))
            if ours and path:
                why.append(f"{ours:.1f} us = path {path:.1f} + crypto {ours - path:.1f}")
            per_wake = self.median(self.default(), "udp", "per_wake")
            if per_wake:
                why.append(f"{per_wake:.0f} packets for each time that the sender's daemon wakes")
            why.append(wake)
        elif "ping" in text:
            ours, path, raw = (self.median(x, "ping", "ms")
                               for x in (self.default(), "nocrypto", "raw"))
            if ours and path and raw:
                why.append(f"{ours:.3f} ms = wire {raw:.3f} + path {path - raw:.3f} "
                           f"+ crypto {ours - path:.3f}; the path is three more wake-ups")
            why.append(wake)
        elif "handshakes" in text and self.micro.get("handshakes"):
            dh, base, kdf = (self.micro.get(k) for k in (
                "x25519_us, of another's key", "x25519_us, of the base point", "kdf_us"))
            if dh and base and kdf:
                why.append(f"{1e6 / self.micro['handshakes']:.0f} us = 3 x {dh:.0f} + {base:.0f} us "
                           f"of X25519, 8 KDFs of about {kdf:.1f} us, and the rest")
        return [w for w in why if w]

    def report(self):
        print(f"\n{'':10}" + "".join(f"{h:>11}" for h in (
            "1 str Gb/s", "CPU s/GB", "all s/GB", "4 str Gb/s", "CPU s/GB", "wire s/GB",
            "pin Gb/s", "pin s/GB", "UDP us/pkt", "ping ms")))
        columns = (("tcp1", "gbps"), ("tcp1", "daemons"), ("tcp1", "total"), ("tcp4", "gbps"),
                   ("tcp4", "daemons"), ("wire", "daemons"), ("pinned", "gbps"),
                   ("pinned", "daemons"), ("udp", "us"), ("ping", "ms"))
        for name in ("raw", *self.programs):
            cells = (self.median(name, *c) for c in columns)
            print(f"{name:10}" + "".join(f"{'-' if c is None else f'{c:.3g}':>11}" for c in cells))
        for label, result in self.extra.items():
            print(f"{label}: " + ", ".join(
                f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in result.items()))
        for key, value in self.micro.items():
            print(f"{key}: {value:.4g}")
        for label, lines in self.profiles.items():
            print(f"profile of {label}:")
            for line in lines:
                print("    " + line)
        rows = self.bars()
        print()
        for row in rows:
            value = "-" if row["value"] is None else f"{row['value']:.4g}{row['unit']}"
            sign = "<=" if row["at_most"] else ">="
            why = "" if row["met"] else "  " + self.explain(row)
            print(f"{'met ' if row['met'] else 'MISS'} {row['bar']:58} {value:>12} "
                  f"{sign} {row['limit']:g}{why}")
        for note in self.notes:
            print("note: " + note)
        if self.args.json:
            with open(self.args.json, "w") as f:
                json.dump({"rows": rows, "load_before": self.load_before, "extra": self.extra,
                           "micro": self.micro, "profiles": self.profiles,
                           "notes": self.notes,
                           "values": {" ".join(k): v for k, v in self.values.items()}}, f, indent=1)
                f.write("\n")
        missed = [r["bar"] for r in rows if not r["met"]]
        print(f"{len(rows) - len(missed)} bars met, {len(missed)} missed: " + "; ".join(missed))
        return 1 if missed else 0


def main():
    parser = argparse.ArgumentParser(prog="tunnel")
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--only", default=",".join(GROUPS))
    parser.add_argument("--json", default=os.path.join(CACHE, "tunnel.json"))
    args = parser.parse_args()
    args.only = set(args.only.split(","))
    if args.only - set(GROUPS):
        parser.error("groups: " + " ".join(GROUPS))
    args.seconds = 2 if args.quick else 3
    rounds = args.rounds or (1 if args.quick else 5)
    bench = Bench(args)
    for i in range(rounds):
        print(f"round {i + 1} of {rounds}", flush=True)
        bench.round()
    if bench.wants("memory"):
        bench.memory()
    if bench.wants("extra"):
        bench.extras()
    if bench.wants("micro"):
        bench.in_process()
    else:
        bench.in_process("costs")
    if bench.wants("filter"):
        bench.filter_instructions()
    bench.explain_misses()
    return bench.report()


if __name__ == "__main__":
    sys.exit(main())
