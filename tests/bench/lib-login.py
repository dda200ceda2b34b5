# SPDX-License-Identifier: Apache-2.0
"""Measures for tests/bench/login, inside the caller's namespace: one command of each kind per round,
medians of all rounds, the bars, a table, JSON and the summary line."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

PARALLEL = 30
CERTIFICATES = 40


def run(argv, env=None):
    """Milliseconds of one command, which must succeed and print nothing on stdout."""
    begin = time.perf_counter()
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, env=env, check=False)
    took = (time.perf_counter() - begin) * 1000
    if done.returncode != 0:
        sys.exit(f"login: {' '.join(argv)}: status {done.returncode}: {done.stderr.decode(errors='replace')}")
    return took


def run_parallel(argv):
    """Milliseconds until the last of PARALLEL commands has ended, and how many failed."""
    time.sleep(0.7)  # what the servers of the run before still clean up is not this one's
    begin = time.perf_counter()
    children = [subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.PIPE) for _ in range(PARALLEL)]
    failed, why = 0, ""
    for child in children:
        _, text = child.communicate()
        if child.returncode != 0:
            failed, why = failed + 1, text.decode(errors="replace").strip()
    return (time.perf_counter() - begin) * 1000, failed, why


def processes_of(pid):
    """The process and its descendants."""
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        for task in os.listdir(f"/proc/{one}/task"):
            with open(f"/proc/{one}/task/{task}/children", encoding="ascii") as children:
                todo += [int(child) for child in children.read().split()]
    return found


def cpu_ms(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total * 1000 / os.sysconf("SC_CLK_TCK")


def certificate_cpu(control, folder):
    """Milliseconds of the control server's CPU (all its processes) per new certificate."""
    pids = processes_of(control)
    before = cpu_ms(pids)
    begin = time.perf_counter()
    for i in range(CERTIFICATES):
        run(["warren", "ssh-cert", "--batch", "--out", f"{folder}-{i}", "deploy@second"])
    took = time.perf_counter() - begin
    used = cpu_ms(pids) - before
    before = cpu_ms(pids)
    time.sleep(3)
    idle = (cpu_ms(pids) - before) / 3 * took
    return max(used - idle, 0) / CERTIFICATES


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--address", required=True)
    parser.add_argument("--plain", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--control-pid", type=int, required=True)
    parser.add_argument("--json", default="")
    args = parser.parse_args()

    public_key = ["-i", args.key, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
                  "-o", "StrictHostKeyChecking=accept-new", "-o", f"UserKnownHostsFile={args.key}.hosts"]
    outside = "deploy@198.51.100.2"
    commands = {
        "sshd": ["ssh", "-F", args.plain, *public_key, "-p", "7001", f"deploy@{args.address}", "true"],
        "drop-in": ["ssh", "-o", "BatchMode=yes", "deploy@second.warren.internal", "true"],
        "warren ssh": ["warren", "ssh", "-o", "BatchMode=yes", "deploy@second", "true"],
        "warren ssh, own client": ["warren", "ssh", "--client=own", "-o", "BatchMode=yes", "deploy@second", "true"],
        "detect": ["warren", "openssh", "detect", "second.warren.internal", "22", "deploy", "0" * 40],
        "outside, plain": ["ssh", "-F", args.plain, *public_key, outside, "true"],
        "outside, drop-in": ["ssh", *public_key, outside, "true"],
        # A bare name that is no peer's: ssh must not ask `detect`.
        "outside, bare name, plain": ["ssh", "-F", args.plain, *public_key, "deploy@outside", "true"],
        "outside, bare name, drop-in": ["ssh", *public_key, "deploy@outside", "true"],
    }
    times = {name: [] for name in commands}
    for argv in commands.values():
        run(argv)
    # Those outside the mesh differ by a few of hundreds of milliseconds: more samples, and no order
    # that favours one.
    order = list(commands) + 3 * [name for name in commands if name.startswith("outside")]
    for turn in range(args.rounds):
        for name in order if turn % 2 == 0 else reversed(order):
            times[name].append(run(commands[name]))
    times.update({"30 × sshd": [], "30 × drop-in": [], "30 × warren ssh": []})
    failures = {name: 0 for name in times}
    reasons = {}
    for _ in range(max(9, args.rounds // 3)):
        for name in ("sshd", "drop-in", "warren ssh"):
            took, failed, why = run_parallel(commands[name])
            times[f"{PARALLEL} × {name}"].append(took)
            failures[f"{PARALLEL} × {name}"] += failed
            if failed:
                reasons[f"{PARALLEL} × {name}"] = why
    minting = certificate_cpu(args.control_pid, args.key + ".minted")

    median = {name: statistics.median(values) for name, values in times.items()}
    parallel_sshd = median[f"{PARALLEL} × sshd"]
    bars = [
        ("warren ssh host true / sshd", median["warren ssh"] / median["sshd"], 0.27, "×"),
        ("the same with warren-ssh / sshd", median["warren ssh, own client"] / median["sshd"], 0.27, "×"),
        ("ssh host true, drop-in / sshd", median["drop-in"] / median["sshd"], 0.27, "×"),
        ("detect", median["detect"], 5.0, "ms"),
        ("ssh outside the mesh, drop-in's cost",
         median["outside, drop-in"] - median["outside, plain"], 8.0, "ms"),
        ("the same for a bare name", median["outside, bare name, drop-in"] - median["outside, bare name, plain"],
         8.0, "ms"),
        ("30 parallel logins, drop-in / sshd", median["30 × drop-in"] / parallel_sshd, 0.35, "×"),
        ("30 parallel logins, warren ssh / sshd", median["30 × warren ssh"] / parallel_sshd, 0.35, "×"),
        ("control's CPU for a certificate", minting, 15.0, "ms"),
    ]

    print(f"\n{'command':42} {'median':>9} {'least':>9} {'most':>9}  runs")
    for name, values in times.items():
        failed = f"  {failures[name]} FAILED" if failures[name] else ""
        print(f"{name:42} {median[name]:6.1f} ms {min(values):6.1f} ms {max(values):6.1f} ms  {len(values)}{failed}")
    for name, why in reasons.items():
        print(f"  {name}: {why}")
    met, missed, result = 0, [], []
    print(f"\n{'bar':42} {'measured':>9}    {'bar':>6}")
    for name, value, limit, unit in bars:
        kind = "warren ssh" if "warren ssh" in name else "drop-in"
        broken = name.startswith("30") and (failures[f"{PARALLEL} × {kind}"] or failures[f"{PARALLEL} × sshd"])
        good = value <= limit and not broken
        met += good
        if not good:
            missed.append(name)
        result.append({"bar": name, "measured": round(value, 3), "limit": limit, "unit": unit, "met": bool(good)})
        print(f"{name:42} {value:7.2f} {unit:2} {limit:6.2f} {unit:2}  {'met' if good else 'MISSED'}")
    text = json.dumps({"medians_ms": {k: round(v, 2) for k, v in median.items()},
                       "failures": {k: v for k, v in failures.items() if v}, "bars": result}, ensure_ascii=False)
    print("\n" + text)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as out:
            out.write(text + "\n")
    print(f"{met} bars met, {len(missed)} missed" + (": " + ", ".join(missed) if missed else ""))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
