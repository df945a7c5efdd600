"""Measure one work in this process and print what came out as JSON; `compare.py` runs this."""

import argparse
import json
from dataclasses import dataclass, replace

import machine
import peers
import timing


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    budget: timing.Budget
    is_quick: bool
    lrp_toolbox: str | None

    def budget_of(self, parts):
        """The budget of one of so many measurements that share it."""
        return replace(self.budget, seconds=self.budget.seconds / parts)


def main():
    """Measure, and print the result as the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", help="a work's name, or 'machine'")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--lrp-toolbox")
    arguments = parser.parse_args()
    peers.use_stubs()

    if arguments.work == "machine":
        print(json.dumps(machine.describe(arguments.threads)))
        return

    from works import WORKS

    work = next(work for work in WORKS if work.name == arguments.work)
    if work.peer in peers.IMPORT_NAMES and work.unit == "ms":
        import torch

        torch.set_num_threads(arguments.threads)
    budget = timing.QUICK if arguments.quick else timing.Budget()
    budget = replace(budget, seconds=arguments.seconds)
    options = Options(budget, arguments.quick, arguments.lrp_toolbox)
    load = machine.OtherLoad()
    result = work.measure(options)
    print(json.dumps({**result, "others": load.cores()}))


if __name__ == "__main__":
    main()
