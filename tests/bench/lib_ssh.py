# SPDX-License-Identifier: Apache-2.0
"""Measures Warren's SSH server beside stock sshd; started by tests/bench/ssh inside a box.

  a (client: OpenSSH's ssh) ---- veth "wire" 192.0.2.0/24, and "delay" 198.51.100.0/24 ---- b (both servers)
"""
import argparse
import json
import os
import pathlib
import pwd
import re
import shutil
import statistics
import subprocess
import sys
import time

SSHD, WARREN = "sshd", "warren"
WIRE, SLOW = ("192.0.2.1", "192.0.2.2"), ("198.51.100.1", "198.51.100.2")  # client, server
SSHD_PORT, WARREN_PORT = 7001, 7002
MIB = 1 << 20
PARALLEL, MANY, IDLE = 50, 200, 10
BULK_CIPHERS = {"aes128-gcm@openssh.com": 1.0, "aes256-gcm@openssh.com": 1.0,
                "chacha20-poly1305@openssh.com": 1.2}


class Failed(Exception):
    pass


def run(*argv, **kw):
    done = subprocess.run(argv, capture_output=True, text=True, **kw)
    if done.returncode != 0:
        raise Failed(f"{' '.join(argv)}: {done.stderr.strip()[-300:]}")
    return done.stdout


def wait_port(ns, address, port):
    for _ in range(100):
        if subprocess.run(["ip", "netns", "exec", ns, "bash", "-c", f"exec 3<>/dev/tcp/{address}/{port}"],
                          capture_output=True).returncode == 0:
            return
        time.sleep(0.1)
    raise Failed(f"nothing listens on {address}:{port}")


class Lab:
    """Two namespaces, accounts of the box's own, both servers on each wire."""

    def __init__(self, folder, programs):
        self.dir = pathlib.Path(folder)
        self.started = []
        self.delay = programs["delay"]
        self.accounts()
        for ns in "ab":
            run("ip", "netns", "add", ns)
            run("ip", "-n", ns, "link", "set", "lo", "up")
        run("ip", "link", "add", "wire", "netns", "a", "type", "veth", "peer", "name", "wire", "netns", "b")
        self.start(["chrt", "-f", "20", self.delay, "25", "a", "b"])
        for device, addresses in (("wire", WIRE), ("delay", SLOW)):
            for ns, address in zip("ab", addresses):
                self.configure(ns, device, address)
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.dir / "id"))
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.dir / "host"))
        ssh = self.home / ".ssh"
        ssh.mkdir()
        shutil.copy(self.dir / "id.pub", ssh / "authorized_keys")
        for path, mode in ((self.home, 0o755), (ssh, 0o700), (ssh / "authorized_keys", 0o600)):
            os.chown(path, 61810, 61810)
            path.chmod(mode)
        self.sshd()
        for name, (client, server) in (("wire", WIRE), ("delay", SLOW)):
            self.launcher(name, client, server, programs["launcher"])

    def start(self, argv, **kw):
        self.started.append(subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=open(self.dir / "log", "a"),
                                             **kw))

    def configure(self, ns, device, address):
        for _ in range(50):
            if subprocess.run(["ip", "-n", ns, "link", "show", device], capture_output=True).returncode == 0:
                break
            time.sleep(0.1)
        run("ip", "-n", ns, "addr", "add", address + "/24", "dev", device)
        run("ip", "-n", ns, "link", "set", device, "up")

    def accounts(self):
        """deploy, and the service account of the worker, in copies mounted over the machine's own."""
        self.home = self.dir / "home"
        self.home.mkdir()
        lines = {"passwd": f"deploy:x:61810:61810::{self.home}:/bin/bash\n", "group": "deploy:x:61810:\n",
                 "shadow": "deploy:*:19000:0:99999:7:::\n"}
        service = {"passwd": "warren-ssh:x:61802:61802::/nonexistent:/usr/sbin/nologin\n",
                   "group": "warren-ssh:x:61802:\n", "shadow": "warren-ssh:!*:19000::::::\n"}
        for name, line in lines.items():
            copy = self.dir / name
            shutil.copy2("/etc/" + name, copy)
            text = [old for old in copy.read_text().splitlines(True)
                    if not old.startswith(("deploy:", "warren-ssh:"))]
            copy.write_text("".join(text) + line + service[name])
            run("mount", "--bind", str(copy), "/etc/" + name)
        pwd.getpwnam("deploy")

    def sshd(self):
        """Debian's settings; the limits that Warren has, or more."""
        os.makedirs("/run/sshd", exist_ok=True)
        config = self.dir / "sshd_config"
        config.write_text(f"Port {SSHD_PORT}\nHostKey {self.dir}/host\nPidFile none\nUsePAM yes\n"
                          "KbdInteractiveAuthentication no\nPrintMotd no\nAcceptEnv LANG LC_*\n"
                          "MaxStartups 300:30:400\nMaxSessions 100\nLoginGraceTime 30\n"
                          "Subsystem sftp /usr/lib/openssh/sftp-server\n")
        self.start(["ip", "netns", "exec", "b", "/usr/sbin/sshd", "-D", "-e", "-f", str(config)])
        key = (self.dir / "host.pub").read_text().split()
        for name, (_, server) in (("wire", WIRE), ("delay", SLOW)):
            wait_port("a", server, SSHD_PORT)
            self.client(f"{SSHD}-{name}", server, SSHD_PORT, f"IdentityFile {self.dir}/id\n")
            (self.dir / f"{SSHD}-{name}.known").write_text(f"[{server}]:{SSHD_PORT} {key[0]} {key[1]}\n")

    def launcher(self, name, client, server, program):
        """Broker's part: one monitor for each connection (tests/support/session_launcher.c)."""
        folder = self.dir / name
        folder.mkdir()
        for key in ("id", "id.pub"):
            shutil.copy2(self.dir / key, folder)
        self.start(["ip", "netns", "exec", "b", program, str(folder), str(WARREN_PORT), "deploy",
                    f"listen={server}", f"client={client}"], stdin=subprocess.DEVNULL)
        wait_port("a", server, WARREN_PORT)
        self.client(f"{WARREN}-{name}", server, WARREN_PORT,
                    f"IdentityFile {folder}/id\nCertificateFile {folder}/id-cert.pub\n")
        shutil.copy(folder / "known_hosts", self.dir / f"{WARREN}-{name}.known")

    def client(self, name, address, port, identity):
        (self.dir / name).write_text(
            f"HostName {address}\nPort {port}\nUser deploy\n{identity}IdentitiesOnly yes\nIdentityAgent none\n"
            f"UserKnownHostsFile {self.dir}/{name}.known\nGlobalKnownHostsFile none\n"
            f"StrictHostKeyChecking yes\nBatchMode yes\nControlPath {self.dir}/{name}.mux-%C\nLogLevel error\n")

    def ssh(self, server, *argv, wire="wire"):
        """The client's command line."""
        return ["ip", "netns", "exec", "a", "ssh", "-F", str(self.dir / f"{server}-{wire}"), "-S", "none", *argv]

    def processes(self, server):
        """Those that serve connections; the listener and what users run are not among them."""
        names = ("sshd",) if server == SSHD else ("warren-ssh-session", "warren-ssh-worker")
        listener = {p.pid for p in self.started}
        return [pid for pid in numbers("/proc") if program(pid) in names and pid not in listener]


def numbers(folder):
    return [int(name) for name in os.listdir(folder) if name.isdigit()]


def program(pid):
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return ""


def timed(argv, **kw):
    begin = time.perf_counter()
    done = subprocess.run(argv, stdin=kw.pop("stdin", subprocess.DEVNULL), stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, timeout=120, **kw)
    took = time.perf_counter() - begin
    if done.returncode != 0:
        raise Failed(f"{' '.join(argv[-4:])}: status {done.returncode} {done.stderr.decode()[-300:]}")
    return took


class Master:
    """A ControlMaster, so that a transfer does not count the login."""

    def __init__(self, lab, server, *options, wire="wire"):
        self.file = lab.dir / "upload"
        path = str(lab.dir / f"mux-{server}")
        self.argv = lab.ssh(server, *options, wire=wire)
        at = self.argv.index("-S")
        self.argv[at + 1] = path
        timed([*self.argv, "-M", "-f", "-N", "t"])
        timed([*self.argv, "t", "true"])
        said = subprocess.run([*self.argv, "-O", "check", "t"], capture_output=True, text=True).stderr
        self.pid = int(re.search(r"pid=(\d+)", said).group(1))

    def busy_s(self):
        """Seconds that the client was running, and ready to run, so far: it is one process."""
        running, ready = pathlib.Path(f"/proc/{self.pid}/schedstat").read_text().split()[:2]
        return int(running) / 1e9, int(ready) / 1e9

    def command(self, command, **kw):
        return timed([*self.argv, "t", command], **kw)

    def close(self):
        subprocess.run([*self.argv, "-O", "exit", "t"], capture_output=True)


def transfer(master, direction, mib):
    """MiB/s. Uploads come from a file in memory: a process that makes the data would run on the client's core."""
    if direction == "down":
        return mib / master.command(f"head -c {mib * MIB} /dev/zero")
    if not master.file.exists() or master.file.stat().st_size != mib * MIB:
        with master.file.open("wb") as file:
            for _ in range(mib):
                file.write(bytes(MIB))
    with master.file.open("rb") as file:
        return mib / master.command("cat >/dev/null", stdin=file)


class Bench:
    def __init__(self, lab, rounds):
        self.lab, self.rounds = lab, rounds
        self.rows, self.bars = [], []

    def compare(self, name, unit, values, limit=None, at_least=False):
        """values: {server: [number of each round]}; the bar is on Warren's median against sshd's."""
        median = {server: statistics.median(v) for server, v in values.items()}
        ratio, verdict = median[WARREN] / median[SSHD], "no bar"
        if limit is not None:
            self.bar(name, ratio, limit, "×", at_least)
            verdict = "met" if self.bars[-1]["met"] else "MISSED"
        self.rows.append({"name": name, "unit": unit, **{s: round(m, 2) for s, m in median.items()},
                          "all": {s: [round(x, 2) for x in v] for s, v in values.items()}})
        print(f"{name:44} sshd {median[SSHD]:8.2f} {unit:5}  warren {median[WARREN]:8.2f} {unit:5}  "
              f"{ratio:.2f} × {verdict}", flush=True)

    def bar(self, name, measured, limit, unit, at_least=False):
        met = measured >= limit if at_least else measured <= limit
        self.bars.append({"bar": name, "measured": round(measured, 3), "limit": limit, "unit": unit,
                          "kind": "at least" if at_least else "at most", "met": bool(met)})

    def interleaved(self, rounds, measure):
        values = {SSHD: [], WARREN: []}
        for i in range(rounds):
            for server in (SSHD, WARREN) if i % 2 == 0 else (WARREN, SSHD):
                values[server].append(measure(server))
        return values

    def login(self):
        for server in (SSHD, WARREN):
            timed(self.lab.ssh(server, "t", "true"))
        self.compare("ssh host true", "ms", self.interleaved(
            max(5, self.rounds * 5), lambda s: 1000 * timed(self.lab.ssh(s, "t", "true"))), 0.22)

    def parallel(self):
        def measure(server):
            begin = time.perf_counter()
            clients = [subprocess.Popen(self.lab.ssh(server, "t", "true"), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
                       for _ in range(PARALLEL)]
            for client in clients:
                errors = client.communicate(timeout=120)[1]
                if client.returncode != 0:
                    raise Failed(f"{server}: one of {PARALLEL} logins: {errors.decode()[-300:]}")
            return 1000 * (time.perf_counter() - begin)

        self.compare(f"{PARALLEL} parallel logins", "ms", self.interleaved(max(3, self.rounds), measure), 0.3)

    def mux(self):
        masters = {server: Master(self.lab, server) for server in (SSHD, WARREN)}
        self.compare("command over an open ControlMaster", "ms", self.interleaved(
            max(10, self.rounds * 10), lambda s: 1000 * masters[s].command("true")), 1.0)
        for master in masters.values():
            master.close()

    def memory(self):
        def measure(server):
            old = set(self.lab.processes(server))
            clients = []
            for _ in range(IDLE):
                client = subprocess.Popen(self.lab.ssh(server, "-tt", "t"), stdin=subprocess.PIPE,
                                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
                clients.append(client)
                client.stdin.write(b"echo re''ady\n")
                client.stdin.flush()
                while b"ready" not in (line := client.stdout.readline()):
                    if not line:
                        raise Failed(f"{server}: no shell")
            time.sleep(3)  # what is freed after the login is gone
            pss = sum(pss_kib(pid) for pid in self.lab.processes(server) if pid not in old) / IDLE
            for client in clients:
                client.stdin.close()
                client.terminate()
                client.wait()
            time.sleep(0.5)
            return pss / 1024

        self.compare("PSS of an idle session", "MiB", self.interleaved(1 if self.rounds < 3 else 2, measure), 1.0)

    def bulk(self):
        for cipher, limit in BULK_CIPHERS.items():
            masters = {s: Master(self.lab, s, "-c", cipher) for s in (SSHD, WARREN)}
            for direction in ("down", "up"):
                busy = {SSHD: [], WARREN: []}

                def measure(server):
                    before = masters[server].busy_s()
                    speed = transfer(masters[server], direction, 256)
                    running, ready = (b - a for a, b in zip(before, masters[server].busy_s()))
                    busy[server].append(((running + ready) * speed / 256, 256 / running))
                    return speed

                values = self.interleaved(max(3, self.rounds), measure)
                self.compare(f"{direction}, {cipher.split('@')[0]}", "MiB/s", values, limit, True)
                self.client(busy)
            for master in masters.values():
                master.close()

    def client(self, busy):
        """What the client, OpenSSH's in both cases, had left, and what it could do if it never waited: no server
        can be faster than that."""
        row = self.rows[-1]
        percent = {server: 100 * statistics.median(share for share, _ in values) for server, values in busy.items()}
        most = max(statistics.median(speed for _, speed in values) for values in busy.values())
        self.rows.append({"name": row["name"] + ", client running or ready", "unit": "%",
                          **{server: round(value, 1) for server, value in percent.items()}})
        self.rows.append({"name": row["name"] + ", client that never waits", "unit": "MiB/s", "most": round(most, 2),
                          "ratio": round(most / row[SSHD], 3)})
        print(f"{'    the client was running or ready':44} sshd {percent[SSHD]:8.1f} %      "
              f"warren {percent[WARREN]:8.1f} %     never waiting: {most:.0f} MiB/s, {most / row[SSHD]:.2f} ×", flush=True)

    def slow(self):
        """Each in a connection of its own: what windows and congestion control have learned stays there."""
        def measure(server):
            master = Master(self.lab, server, "-c", "aes128-gcm@openssh.com", wire="delay")
            speed = transfer(master, "up", 128)
            master.close()
            return speed

        # 4 MiB of send buffer, the kernel's default, end at 55 MiB/s on such a path whatever the server
        # grants. The bar is about the servers: the client may have more. The default is shown, too.
        rounds = max(2, self.rounds)
        self.compare("up at 50 ms, client's default send buffer", "MiB/s", self.interleaved(rounds, measure))
        run("ip", "netns", "exec", "a", "sysctl", "-q", "-w", "net.ipv4.tcp_wmem=4096 16384 16777216")
        self.compare("up at 50 ms round trip", "MiB/s", self.interleaved(rounds, measure), 1.5, True)

    def many(self):
        """So many sessions of Warren at once, each used after all of them were there."""
        clients, good = [], 0
        for i in range(MANY):
            clients.append(subprocess.Popen(self.lab.ssh(WARREN, "t", "cat"), stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL))
            clients[-1].stdin.write(b"here\n")
            clients[-1].stdin.flush()
            if i % 20 == 19:
                for client in clients[-20:]:
                    client.stdout.readline()
        for i, client in enumerate(clients):
            text = f"session {i}\n".encode()
            try:
                client.stdin.write(text)
                client.stdin.flush()
                good += client.stdout.readline() == text
            except OSError:
                pass
        for client in clients:
            client.stdin.close()
        good = min(good, sum(client.wait(30) == 0 for client in clients))
        self.bar("concurrent sessions", good, MANY, "", True)
        print(f"{'concurrent sessions':44} {good} of {MANY}", flush=True)


def pss_kib(pid):
    try:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


class MeshLab:
    """The mesh of tests/netns/lib.sh: both servers are reached through the tunnel."""

    def __init__(self, folder):
        self.dir = pathlib.Path(folder)

    def ssh(self, server, *argv, wire=""):
        return ["ip", "netns", "exec", "first", "ssh", "-F", str(self.dir / server), "-S", "none", *argv]


GROUPS = ("login", "parallel", "mux", "memory", "many", "bulk", "slow")


def measure(bench, groups):
    for group in groups:
        try:
            getattr(bench, group)()
        except (Failed, subprocess.TimeoutExpired) as error:
            print(f"{group}: FAILED: {error}", flush=True)
            bench.bars.append({"bar": group, "measured": None, "limit": None, "unit": "", "kind": "works",
                               "met": False})


def mesh(bench):
    """Once through the mesh: what is compared is the same."""
    bench.login()
    bench.mux()
    masters = {s: Master(bench.lab, s, "-c", "aes128-gcm@openssh.com") for s in (SSHD, WARREN)}
    for direction in ("down", "up"):
        values = bench.interleaved(max(3, bench.rounds), lambda s: transfer(masters[s], direction, 256))
        bench.compare(f"{direction}, aes128-gcm", "MiB/s", values, 1.0, True)
    for master in masters.values():
        master.close()


def report(files, json_path):
    rows, bars = [], []
    for name in files:
        part = json.loads(pathlib.Path(name).read_text())
        rows += part["rows"]
        bars += part["bars"]
    print(f"\n{'bar':46} {'measured':>10} {'bar':>10}")
    for b in bars:
        measured = "-" if b["measured"] is None else f"{b['measured']:.2f} {b['unit']}"
        limit = "" if b["limit"] is None else f"{'≥' if b['kind'] == 'at least' else '≤'} {b['limit']:.2f}"
        print(f"{b['bar']:46} {measured:>10} {limit:>10}  {'met' if b['met'] else 'MISSED'}")
    text = json.dumps({"medians": rows, "bars": bars}, ensure_ascii=False)
    print("\n" + text)
    if json_path:
        pathlib.Path(json_path).write_text(text + "\n")
    missed = [b["bar"] for b in bars if not b["met"]]
    print(f"{len(bars) - len(missed)} bars met, {len(missed)} missed" +
          (": " + ", ".join(missed) if missed else ""))
    return 1 if missed or not bars else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("plain", "mesh", "report"))
    parser.add_argument("files", nargs="*")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(GROUPS))
    parser.add_argument("--folder", default="")
    parser.add_argument("--launcher", default="")
    parser.add_argument("--delay", default="")
    parser.add_argument("--json", default="")
    args = parser.parse_args()
    if args.what == "report":
        return report(args.files, args.json)
    if args.what == "plain":
        lab = Lab(args.folder, {"launcher": args.launcher, "delay": args.delay})
        bench = Bench(lab, args.rounds)
        measure(bench, [g for g in GROUPS if g in args.only.split(",")])
    else:
        bench = Bench(MeshLab(args.folder), args.rounds)
        try:
            mesh(bench)
        except (Failed, subprocess.TimeoutExpired) as error:
            print(f"FAILED: {error}", flush=True)
            bench.bars.append({"bar": "", "measured": None, "limit": None, "unit": "", "kind": "works",
                               "met": False})
        for entry in bench.bars:
            entry["bar"] = "mesh: " + entry["bar"]
        for entry in bench.rows:
            entry["name"] = "mesh: " + entry["name"]
    pathlib.Path(args.json).write_text(json.dumps({"rows": bench.rows, "bars": bench.bars}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
