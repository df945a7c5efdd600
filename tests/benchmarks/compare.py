"""Compare refcrp with other libraries: the same weights, the same inputs, the same numbers, which time?

Each measurement runs in a fresh process, in which refcrp and the other library take turns. The exit status is
1 if results do not agree or a measurement failed.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import machine
import peers
import table

HERE = Path(__file__).parent
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "REFCRP_NUM_THREADS")
# With the C library of Linux, memory that one side gives back stays in the process, for both. Otherwise each
# turn begins with touching new memory, which on virtual machines may take longer than what is measured.
KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(2**31 - 1), "MALLOC_MMAP_THRESHOLD_": str(2**25)}


def main():
    """Run what the command line asks for."""
    arguments = parsed_arguments()
    from works import IMPORT, MEMORY, chosen_works

    try:
        works = chosen_works(arguments.work)
    except ValueError as error:
        sys.exit(f"compare.py: {error}")
    if arguments.list:
        print("\n".join(work.name for work in works))
        return
    works, skipped = available(works, arguments)

    descriptions, results = {}, []
    for threads in arguments.threads:
        descriptions[threads] = in_fresh_process("machine", threads, arguments)
        for work in works:
            if work in (IMPORT, MEMORY) and threads != arguments.threads[0]:
                continue  # threads make no difference
            results.append(row(work, threads, arguments))
            print(table.line(results[-1]), file=sys.stderr, flush=True)

    command = shlex.join(["compare.py", *sys.argv[1:]])
    text = table.report(descriptions, results, skipped, command)
    print(text)
    if arguments.output:
        arguments.output.write_text(text)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": descriptions, "results": results}, indent=1) + "\n")
    wrong = [r for r in results if "error" in r or not r["agrees"]]
    if wrong:
        names = "; ".join(f"{r['name']}, {table.counted(r['threads'])}" for r in wrong)
        sys.exit(f"compare.py: failed, or no agreement: {names}")


def parsed_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=positive(int), nargs="+", default=[1], metavar="N")
    parser.add_argument(
        "--work", nargs="+", default=[], metavar="NAME", help="works whose name starts so; see --list"
    )
    parser.add_argument("--list", action="store_true", help="print the names of the works")
    parser.add_argument("--seconds", type=positive(float), help="how long to measure each, 5 by default")
    parser.add_argument("--quick", action="store_true", help="fewer repeats, and no work of minutes")
    parser.add_argument(
        "--wait", type=float, default=0, metavar="S", help="wait so long at most for other processes to rest"
    )
    parser.add_argument("--lrp-toolbox", type=Path, metavar="PATH", help="the toolbox's folder python/")
    parser.add_argument("--output", type=Path, metavar="FILE.md", help="where to write the tables as well")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the numbers")
    arguments = parser.parse_args()
    if arguments.seconds is None:
        arguments.seconds = 1.0 if arguments.quick else 5.0
    toolbox = arguments.lrp_toolbox
    if toolbox and not (toolbox / "modules" / "__init__.py").is_file():
        parser.error(f"--lrp-toolbox: there is no modules/__init__.py in {toolbox}")
    for path in (arguments.output, arguments.json):
        if path and not path.parent.is_dir():
            parser.error(f"there is no folder {path.parent}")
    return arguments


def positive(kind):
    """A type for argparse: a number above zero."""

    def number(text):
        value = kind(text)
        if value <= 0:
            raise ValueError
        return value

    number.__name__ = f"positive {kind.__name__}"
    return number


def available(works, arguments):
    """The works whose peer is here, and a line for each peer that is not."""
    reasons = {peer: peers.missing(peer, arguments.lrp_toolbox) for peer in peers.PEERS}
    needed = {work.peer for work in works}
    skipped = [f"{peer}: {why}." for peer, why in reasons.items() if why and peer in needed]
    chosen = [work for work in works if reasons.get(work.peer) is None]
    if arguments.quick:
        skipped += [f"{work.name}: it takes minutes." for work in chosen if work.is_slow]
        chosen = [work for work in chosen if not work.is_slow]
    for line in skipped:
        print(f"left out: {line}", file=sys.stderr)
    return chosen, skipped


def row(work, threads, arguments):
    """Measure one work; gives all that the table says of it."""
    about = {
        name: getattr(work, name)
        for name in ("name", "title", "peer", "at_least", "aim", "unit", "tolerance")
    }
    about |= {"threads": threads, "agrees": True}
    machine.wait_until_quiet(arguments.wait)
    try:
        measured = in_fresh_process(work.name, threads, arguments)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return about | {"error": str(error).strip().splitlines()[-1]}
    if "ours" in measured:
        about["ratio"] = measured["theirs"] / measured["ours"]
        if measured["disagreement"] is not None:
            about["agrees"] = max(measured["disagreement"]) <= work.tolerance
    return about | measured


def in_fresh_process(name, threads, arguments):
    """What `measure.py` prints for one work."""
    command = [sys.executable, str(HERE / "measure.py"), name]
    command += ["--threads", str(threads), "--seconds", str(arguments.seconds)]
    command += ["--quick"] if arguments.quick else []
    command += ["--lrp-toolbox", str(arguments.lrp_toolbox)] if arguments.lrp_toolbox else []
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads))
    if "/" in name and not name.startswith("memory"):
        environment |= KEEP_MEMORY
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(result.stderr or f"{name}: exit status {result.returncode}")
    return json.loads(result.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
