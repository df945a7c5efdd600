"""What a measurement was made on: processor, libraries, and how fast a matrix product is right now."""

import importlib.util
import os
import platform
import time
from pathlib import Path

import numpy as np
import peers

import refcrp as rc

SIZE = 1536
BUSY = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")  # columns of /proc/stat
INSTRUCTIONS = ("sse4_2", "avx", "avx2", "fma", "avx512f", "avx512_vnni", "amx_tile", "asimd", "sve")


def describe(threads):
    """Everything that the head of a report says."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "instructions": instructions(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": peers.versions(),
        "backend": rc.backend(),
        "config": refcrp_config(),
        "numpy_rate": matrix_rate(numpy_product()),
        "torch_rate": matrix_rate(torch_product(threads)) if importlib.util.find_spec("torch") else None,
    }


class OtherLoad:
    """How many cores others used meanwhile: other processes, or other virtual machines; None if unknown."""

    def __init__(self):
        self.start, self.busy, self.own = time.perf_counter(), busy_seconds(), own_seconds()

    def cores(self):
        """The average since the object was made."""
        if self.busy is None:
            return None
        others = (busy_seconds() - self.busy) - (own_seconds() - self.own)
        return max(0.0, others / (time.perf_counter() - self.start))


def wait_until_quiet(seconds):
    """Wait until others use less than a tenth of a core, but not longer than some seconds."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        load = OtherLoad()
        time.sleep(1)
        if (load.cores() or 0) < 0.1:
            return


def busy_seconds():
    """Seconds for which the processors were busy since the system started."""
    path = Path("/proc/stat")
    if not path.exists():
        return None
    ticks = dict(zip(BUSY, map(int, path.read_text().split()[1:]), strict=False))
    return sum(ticks[name] for name in BUSY if name not in ("idle", "iowait")) / os.sysconf("SC_CLK_TCK")


def own_seconds():
    """Seconds of processor time of this process and of those it has started."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def cpu_information():
    """The first processor's entries of /proc/cpuinfo; none where there is no such file."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return {}
    first = path.read_text().split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def processor():
    """The processor's name."""
    return cpu_information().get("model name") or platform.processor() or platform.machine()


def instructions():
    """Those instruction sets that matter here."""
    information = cpu_information()
    flags = information.get("flags", information.get("Features", "")).split()
    return [name for name in INSTRUCTIONS if name in flags]


def refcrp_config():
    """What refcrp says of itself, if it does."""
    if not hasattr(rc, "show_config"):
        return None
    import contextlib
    import io

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        returned = rc.show_config()
    return (printed.getvalue() or str(returned)).strip()


def numpy_product():
    """A function that multiplies two float32 matrices."""
    a, b = np.random.default_rng(0).standard_normal((2, SIZE, SIZE), dtype=np.float32)
    out = np.empty_like(a)
    return lambda: np.matmul(a, b, out=out)


def torch_product(threads):
    """The same by torch."""
    import torch

    torch.set_num_threads(threads)
    a, b = torch.rand(2, SIZE, SIZE)
    out = torch.empty_like(a)
    return lambda: torch.matmul(a, b, out=out)


def matrix_rate(product, repeats=7):
    """GFLOP/s of the fastest of some products."""
    product()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        product()
        times.append(time.perf_counter() - start)
    return 2 * SIZE**3 / min(times) / 1e9
