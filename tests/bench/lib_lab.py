# SPDX-License-Identifier: Apache-2.0
"""Two hosts on a wire, a WireGuard program on each, and measurements between them.

  a (192.0.2.1) ---- veth "wire", MTU 1500 ---- b (192.0.2.2)
  inside, MTU 1420: 10.9.0.1, fd09::1           10.9.0.2, fd09::2
"""
import json
import os
import re
import statistics
import subprocess
import time

WIRE_MTU = 1500


class Failed(Exception):
    pass


def run(*argv, check=True, **kw):
    done = subprocess.run(argv, check=False, capture_output=True, text=True, **kw)
    if check and done.returncode:
        raise Failed(f"{' '.join(argv)}: {done.stderr.strip() or done.returncode}")
    return done


def netns(host, *argv, check=True, **kw):
    return run("ip", "netns", "exec", host, *argv, check=check, **kw)


def process_cpu_s(pid):
    """CPU of a whole process with all its threads, also ended ones, in ns resolution."""
    return time.clock_gettime((~pid << 3) | 2)


def softirq_cpu_s():
    """Of the kernel's softirq threads; what runs on top of a process is in that process' time."""
    total = 0
    for fd in os.environ.get("BENCH_SOFTIRQ_FDS", "").split():
        try:
            total += int(os.pread(int(fd), 100, 0).split()[0])
        except (OSError, ValueError, IndexError):
            pass
    return total / 1e9


def process_sleeps(pid):
    """How often its threads have gone to sleep, and so been woken."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/status") as f:
            total += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", f.read(), re.M)[1])
    return total


# ethtool -K wire tso … gro …, for machines without ethtool. (veth has GRO without TSO only.)
SET_FEATURES = """
import array, fcntl, socket, struct, sys
for command, on in ((0x1f, sys.argv[1]), (0x2c, sys.argv[2])):  # ETHTOOL_STSO, ETHTOOL_SGRO
    value = array.array("B", struct.pack("II", command, int(on)))
    request = struct.pack("16sQ8x", b"wire", value.buffer_info()[0])
    fcntl.ioctl(socket.socket(), 0x8946, request)
"""


class Lab:
    def __init__(self):
        for host in "ab":
            run("ip", "netns", "add", host)
        run("ip", "link", "add", "wire", "netns", "a", "type", "veth", "peer", "name", "wire",
            "netns", "b")
        for i, host in enumerate("ab", 1):
            netns(host, "ip", "link", "set", "lo", "up")
            netns(host, "ip", "addr", "add", f"192.0.2.{i}/24", "dev", "wire")
            netns(host, "ip", "link", "set", "wire", "up", "mtu", str(WIRE_MTU))
        self.keys = {}
        for host in "ab":
            private = run("wg", "genkey").stdout
            self.keys[host] = (private, run("wg", "pubkey", input=private).stdout.strip())
        self.daemons = []
        self.sleeps = []  # of each daemon, in the last iperf()

    def wire_offloads(self, on):
        """Off: datagrams travel one by one; the receiver has GRO, as with a NIC's driver."""
        for host in "ab":
            netns(host, "ip", "link", "set", "wire", "gso_max_segs", "65535" if on else "1")
            netns(host, "python3", "-c", SET_FEATURES, str(int(on)), str(int(not on)))

    # Cores of side a and b when pinned; nothing otherwise.
    def prefix(self, side, pinned):
        return ["taskset", "-c", "0" if side == "a" else "1"] if pinned else []

    def start(self, program, pinned=False, extra_peers=0):
        """Both daemons, configured, with a session. program: (argv, environment)."""
        argv, env = program
        self.daemons = []
        for host in "ab":
            name = "w" + host
            self.daemons.append(subprocess.Popen(
                ["ip", "netns", "exec", host, *self.prefix(host, pinned), *argv, "-f", name],
                env={**os.environ, "LOG_LEVEL": "error", **env}, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL))
        for host, other, i in (("a", "b", 1), ("b", "a", 2)):
            name = "w" + host
            for _ in range(200):
                if os.path.exists(f"/run/wireguard/{name}.sock") and \
                        netns(host, "ip", "link", "show", name, check=False).returncode == 0:
                    break
                time.sleep(0.02)
            else:
                raise Failed(f"{argv[0]} did not start")
            conf = (f"[Interface]\nPrivateKey = {self.keys[host][0]}ListenPort = {1000 + i}\n"
                    f"[Peer]\nPublicKey = {self.keys[other][1]}\n"
                    f"Endpoint = 192.0.2.{3 - i}:{1003 - i}\n"
                    f"AllowedIPs = 10.9.0.{3 - i}/32, fd09::{3 - i}/128\n")
            for n in range(extra_peers):
                public = run("wg", "pubkey", input=run("wg", "genkey").stdout).stdout
                conf += f"[Peer]\nPublicKey = {public}AllowedIPs = 10.77.{n >> 8}.{n & 255}/32\n"
            netns(host, "wg", "setconf", name, "/dev/stdin", input=conf)
            netns(host, "ip", "addr", "add", f"10.9.0.{i}/24", "dev", name)
            netns(host, "ip", "addr", "add", f"fd09::{i}/64", "dev", name, "nodad")
            netns(host, "ip", "link", "set", name, "up", "mtu", "1420")
        if netns("a", "ping", "-c", "3", "-i", "0.2", "-w", "5", "10.9.0.2",
                 check=False).returncode != 0:
            raise Failed(f"{argv[0]}: no ping")

    def stop(self):
        for daemon in self.daemons:
            daemon.terminate()
        for daemon in self.daemons:
            try:
                daemon.wait(5)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self.daemons = []

    def pids(self):
        return [d.pid for d in self.daemons]

    def daemon_cpu(self):
        return sum(process_cpu_s(pid) for pid in self.pids())

    def iperf(self, seconds, *options, server="10.9.0.2", pinned=False):
        """Returns iperf3's result, CPU of the daemons, and total CPU with iperf3 and softirq."""
        listener = subprocess.Popen(
            ["ip", "netns", "exec", "b", *self.prefix("b", pinned), "iperf3", "-s", "-1"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(100):
            if ":5201" in netns("b", "ss", "-Hltn").stdout:
                break
            time.sleep(0.02)
        sleeps = [process_sleeps(pid) for pid in self.pids()]
        daemons, soft = self.daemon_cpu(), softirq_cpu_s()
        client = subprocess.Popen(
            ["ip", "netns", "exec", "a", *self.prefix("a", pinned), "iperf3", "-J", "-c", server,
             "-t", str(seconds), *options], stdout=subprocess.PIPE, text=True)
        out = client.stdout.read()
        _, status, client_use = os.wait4(client.pid, 0)
        daemons = self.daemon_cpu() - daemons
        soft = softirq_cpu_s() - soft
        self.sleeps = [process_sleeps(p) - n for p, n in zip(self.pids(), sleeps)]
        client.returncode = status
        if status:
            listener.kill()
            listener.wait()
            raise Failed("iperf3: " + json.loads(out).get("error", "failed"))
        _, _, listener_use = os.wait4(listener.pid, 0)
        listener.returncode = 0
        iperf = sum(u.ru_utime + u.ru_stime for u in (client_use, listener_use))
        return json.loads(out)["end"], daemons, daemons + iperf + soft

    def tcp(self, seconds, streams=1, pinned=False, server="10.9.0.2", options=()):
        end, daemons, total = self.iperf(seconds, "-P", str(streams), *options, pinned=pinned,
                                         server=server)
        gb = end["sum_received"]["bytes"] / 1e9
        if "sum_received_bidir_reverse" in end:
            gb += end["sum_received_bidir_reverse"]["bytes"] / 1e9
        return {"gbps": gb * 8 / end["sum_received"]["seconds"], "daemons": daemons / gb,
                "total": total / gb}

    def udp(self, seconds, bytes_, rate):
        end, daemons, total = self.iperf(seconds, "-u", "-l", str(bytes_), "-b", rate)
        packets = end["sum"]["packets"] - end["sum"]["lost_packets"]
        return {"us": daemons * 1e6 / packets, "total_us": total * 1e6 / packets,
                "per_wake": packets / max(1, self.sleeps[0]),
                "lost": 100 * end["sum"]["lost_packets"] / end["sum"]["packets"]}

    def ping(self, count, address="10.9.0.2"):
        out = netns("a", "ping", "-i", "0.004", "-c", str(count), address, check=False).stdout
        times = [float(t) for t in re.findall(r"time=([0-9.]+) ms", out)]
        if len(times) < count / 2:
            raise Failed("ping: replies are missing")
        return statistics.median(times)

    def memory_mb(self):
        with open(f"/proc/{self.pids()[0]}/status") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1]) / 1000
