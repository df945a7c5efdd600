"""What only a fresh process can tell: peak memory, and what an import costs."""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import peers

HERE = Path(__file__).parent
IMPORT_AT_MOST, IMPORT_AIM = 15.0, 5.0  # ms more than NumPy alone

OUR_CRP = """
import networks, pairs
model, x = networks.vgg16(), networks.random_images(1)
pairs.our_crp(model, x, 0, networks.LAST_CONVOLUTION, range(8))()
"""
THEIR_CRP = """
import networks, peer_zennit
model, x = networks.vgg16(), networks.random_images(1)
explain = peer_zennit.crp_in_batches(
    model, peer_zennit.plus_flat(), x, 0, networks.LAST_CONVOLUTION, range(8)
)
del model
explain()
"""
PREAMBLE = "import sys; sys.path.insert(0, {here!r}); import peers; peers.use_stubs()"
PEAK = "import resource; print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"


def measure_memory(options):
    """The largest memory that CRP through 8 channels of VGG-16 takes, interpreter and weights included."""
    return {"ours": peak_memory(OUR_CRP), "theirs": peak_memory(THEIR_CRP), "disagreement": None}


def peak_memory(code):
    """Run code in a fresh process; the largest memory it had, in MB."""
    script = "\n".join([PREAMBLE.format(here=str(HERE)), code, PEAK])
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(result.stderr)
    kilobytes = int(result.stdout.split()[-1])
    return kilobytes / 1024 ** (2 if sys.platform == "darwin" else 1)  # macOS counts bytes


def measure_import(options):
    """How long fresh interpreters take to import each library, in turns; ms above NumPy alone."""
    names = ["refcrp", *(n for n in ("torch", "zennit") if peers.missing(n) is None)]
    rounds = 5 if options.is_quick else 15
    seconds = {name: [] for name in ("numpy", *names)}
    for name in seconds:
        import_time(name)
    for k in range(rounds):
        for name, times in seconds.items():
            if name in ("numpy", "refcrp") or k < 5:  # torch takes seconds
                times.append(import_time(name))
    medians = {name: statistics.median(times) * 1e3 for name, times in seconds.items()}
    details = [
        {"library": name, "ms": medians[name], "above": medians[name] - medians["numpy"]} for name in medians
    ]
    return {"imports": details}


def import_time(name):
    """Seconds from the start to the end of an interpreter that imports one library."""
    code = f"import {name}"
    if name == "zennit":
        code = f"import sys; sys.path.append({str(peers.STUBS)!r}); {code}"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    subprocess.run([sys.executable, "-P", "-c", code], check=True, env=environment)
    return time.perf_counter() - start
