"""Processes in network namespaces of their own, with a set delay and bandwidth between them.

Linux and root are needed. Each namespace has one TUN device, on which a token bucket (tc tbf)
limits what leaves; a relay hands the packets on, each after the delay. So the delay is one of every
packet, as with netem, which many kernels lack. Packets are 64 kB, so the relay costs little time.
"""

import heapq
import mmap
import multiprocessing
import os
import select
import struct
import subprocess
import tempfile
import time
from fcntl import ioctl

TUNSETIFF, TUN_NO_HEADER = 0x400454CA, 0x1001
MTU = 65_000


def command(*words):
    subprocess.run([str(word) for word in words], check=True, capture_output=True)


class Network:
    """``size`` namespaces; a process in number r has the address 10.77.0.(r + 1)."""

    def __init__(self, size, megabits):
        self.names = [f"ddopt{os.getpid()}-{r}" for r in range(size)]
        self.megabits = megabits
        self._file = tempfile.NamedTemporaryFile()  # noqa: SIM115 - closed in __exit__
        self._file.write(struct.pack("d", 0.0))
        self._file.flush()

    def __enter__(self):
        devices = []
        for r, name in enumerate(self.names):
            command("ip", "netns", "add", name)
            device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            tun = f"{name[5:]}t"
            ioctl(device, TUNSETIFF, struct.pack("16sH", tun.encode(), TUN_NO_HEADER))
            command("ip", "link", "set", tun, "netns", name)
            inside = ("ip", "-n", name)
            command(*inside, "link", "set", tun, "name", "tun0")
            command(*inside, "addr", "add", f"10.77.0.{r + 1}/24", "dev", "tun0")
            command(*inside, "link", "set", "tun0", "mtu", MTU, "up")
            command(*inside, "link", "set", "lo", "up")
            bucket = ("rate", f"{self.megabits}mbit", "burst", "256kb", "latency", "2s")
            command("tc", "-n", name, "qdisc", "add", "dev", "tun0", "root", "tbf", *bucket)
            devices.append(device)
        context = multiprocessing.get_context("fork")
        self._relay = context.Process(target=relay, args=(devices, self._file.name), daemon=True)
        self._relay.start()
        for device in devices:
            os.close(device)
        return self

    def __exit__(self, *_):
        self._relay.terminate()
        self._relay.join()
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], check=False)
        self._file.close()

    def start(self, rank, words):
        """A process in a namespace, with what torchrun would have set."""
        environment = {
            "RANK": rank,
            "WORLD_SIZE": len(self.names),
            "MASTER_ADDR": "10.77.0.1",
            "MASTER_PORT": 29500,
            "GLOO_SOCKET_IFNAME": "tun0",
            "DELAY_FILE": self._file.name,
        }
        settings = {**os.environ, **{key: str(value) for key, value in environment.items()}}
        return subprocess.Popen(["ip", "netns", "exec", self.names[rank], *words], env=settings)


def set_delay(seconds):
    """The one-way delay of packets that leave from now on; by one of the processes."""
    with open(os.environ["DELAY_FILE"], "r+b") as file:
        file.write(struct.pack("d", seconds))


def sent():
    """Bytes that have left this namespace, headers and acknowledgements included."""
    with open("/sys/class/net/tun0/statistics/tx_bytes") as file:
        return int(file.read())


def relay(devices, delay_file):
    """Hand every packet to the device of its address, after the delay."""
    with open(delay_file, "r+b") as file:
        delay = mmap.mmap(file.fileno(), 8)
    poll = select.epoll()
    for device in devices:
        poll.register(device, select.EPOLLIN)
    waiting, count = [], 0
    while True:
        pause = max(0.0, waiting[0][0] - time.monotonic()) if waiting else 1.0
        for device, _ in poll.poll(pause):
            packet = os.read(device, 1 << 16)
            target = packet[19] - 1  # the last byte of the address
            if packet[0] >> 4 == 4 and 0 <= target < len(devices):
                due = time.monotonic() + struct.unpack("d", delay[:8])[0]
                heapq.heappush(waiting, (due, count, devices[target], packet))
                count += 1
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, device, packet = heapq.heappop(waiting)
            os.write(device, packet)
