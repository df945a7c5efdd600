"""How long two functions take, measured in turns."""

import statistics
import time
from dataclasses import dataclass, field

import numpy as np

LONG = 5.0  # seconds: such a call is repeated less
BLOCK = 0.03  # seconds: short calls are repeated for so long before it is the other's turn
PAUSE = 0.03  # seconds between turns, in which worker threads of the one that ran stop waiting for work


@dataclass(frozen=True)
class Budget:
    """For how long to measure."""

    seconds: float = 5.0
    rounds: int = 5  # at least, of short calls
    long_rounds: int = 2  # at least, of calls of more than 5 seconds


QUICK = Budget(seconds=1.0, rounds=3, long_rounds=1)


@dataclass
class Pair:
    """Two ways to compute the same.

    `align` brings the peer's result into the shape and order of ours. `peer_warm_up` is called in place of
    a call of `theirs`, which is then timed once.
    """

    ours: object
    theirs: object
    align: object = np.asarray
    peer_warm_up: object = None
    parts: int = 1  # times are given for one of so many parts


@dataclass
class Times:
    """Seconds that each call took."""

    ours: list = field(default_factory=list)
    theirs: list = field(default_factory=list)

    def medians(self):
        """The median of ours and of theirs."""
        return statistics.median(self.ours), statistics.median(self.theirs)


def interleaved(pair, budget):
    """Time a pair in turns; gives the times and how much the results differ."""
    expected, our_time = warmed_up(pair.ours)
    if pair.peer_warm_up is not None:
        pair.peer_warm_up()
        time.sleep(PAUSE)
        given, their_time = timed(pair.theirs)
        ours = [timed(pair.ours)[1] for _ in range(budget.long_rounds)]
        return Times(ours, [their_time]), difference(expected, pair.align(given))
    given, their_time = warmed_up(pair.theirs)
    disagreement = difference(expected, pair.align(given))
    del expected, given  # what is kept would not be there for a user either

    times = Times()
    least = budget.long_rounds if max(our_time, their_time) > LONG else budget.rounds
    end = time.perf_counter() + budget.seconds
    rounds = 0
    while rounds < least or time.perf_counter() < end:
        times.ours += turn(pair.ours, our_time)
        times.theirs += turn(pair.theirs, their_time)
        rounds += 1
    return times, disagreement


def turn(function, expected_time):
    """Time one call, or many short ones of which the first does not count."""
    time.sleep(PAUSE)
    calls = int(min(max(BLOCK / expected_time, 1), 200))
    times = [timed(function)[1] for _ in range(calls)]
    return times[1:] if calls > 1 else times


def warmed_up(function):
    """Call once, or more often if it is fast; gives the result and the time of the last call."""
    result, duration = timed(function)
    calls = 0 if duration > LONG else 1 if duration > 0.5 else 4
    for _ in range(calls):
        del result
        result, duration = timed(function)
    return result, duration


def timed(function):
    """The result of a call, and its time in seconds."""
    start = time.perf_counter()
    result = function()
    return result, time.perf_counter() - start


def difference(ours, theirs):
    """The largest difference over the largest value, and the mean difference over the mean value."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    if ours.shape != theirs.shape:
        raise ValueError(f"results have shapes {ours.shape} and {theirs.shape}")
    apart, size = np.abs(ours - theirs), np.abs(theirs)
    return float(apart.max() / size.max()), float(apart.mean() / size.mean())
