import sys
import time

import numpy as np
import pytest

from refcrp.conformance import Case, check
from refcrp.conformance.runner import InProcess
from refcrp.conformance.worker import Worker, load_adapter
from refcrp.errors import ParameterError

ADAPTER = """
import os, sys, time
import numpy as np
from refcrp.conformance import NotSupported

print("a library that talks")
calls = 0

def explain(case):
    global calls
    calls += 1
    print("busy")
    if case.id == "dense-zplus-signs":
        time.sleep(60)
    if case.id == "dense-zplus-bias":
        os._exit(3)
    if case.id == "dense-zero-bias":
        os.kill(os.getpid(), 9)
    if case.id == "dense-zero-denominator":
        raise NotSupported("no zeros")
    if case.id == "dense-epsilon-batch":
        sys.exit("enough")
    return np.full(case.x.shape, float(calls))

class Analyzer:
    @staticmethod
    def explain(case):
        return case.x

number = 3
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "talkative.py").write_text(ADAPTER)
    (tmp_path / "broken.py").write_text("import no_such_library\n")
    (tmp_path / "failing.py").write_text("raise ValueError('not\\ntoday')\n")
    (tmp_path / "dying.py").write_text("import os\nos._exit(7)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in ("talkative", "broken", "failing", "dying"):
        sys.modules.pop(name, None)


def test_hangs_and_crashes_are_survived(folder, vectors, capfd):
    start = time.monotonic()
    report = check("talkative:explain", vectors=vectors, timeout=1)
    assert time.monotonic() - start < 50
    problems = [outcome.problem for outcome in report.outcomes]
    assert problems[0] == "did not return within 1 s"
    assert problems[1] == "took its process down: exit status 3"
    assert problems[2] == "took its process down: killed by SIGKILL"
    assert problems[3] == "no zeros"
    assert problems[4].startswith("raised SystemExit: enough (talkative.py, line")
    assert [outcome.status for outcome in report.outcomes] == ["fail"] * 3 + ["not supported"] + ["fail"] * 3
    # The last three and the one that is not supported came from one process.
    assert "got 3" in problems[5] or "got 3" in problems[6]
    out, err = capfd.readouterr()
    assert out == ""  # what an adapter prints does not end up in the report
    assert "busy" in err


@pytest.mark.parametrize(
    ("adapter", "message"),
    [
        ("talkative:explian", "talkative has no function 'explian'; did you mean 'explain'?"),
        ("talkative:Analyzer.explode", "talkative has no function 'explode'; did you mean 'explain'"),
        ("talkative:number", "talkative:number is of type int, expected a function"),
        ("talkative", "adapter 'talkative': expected MODULE:FUNCTION"),
        (":explain", "expected MODULE:FUNCTION"),
        ("talkative:", "expected MODULE:FUNCTION"),
        ("talkative.py:explain", "MODULE is a name as in import statements, not a file"),
        ("no_such_module:explain", "no module 'no_such_module', in the current folder or installed"),
        (
            "talkative.inner:explain",
            r"importing talkative.inner raised ModuleNotFoundError|no module 'talkative.inner'",
        ),
        ("broken:explain", r"importing broken raised ModuleNotFoundError: No module named 'no_such_library'"),
        ("failing:explain", r"importing failing raised ValueError: not today \(failing.py, line 1\)"),
    ],
)
def test_adapters_that_are_none(folder, adapter, message):
    with pytest.raises(ParameterError, match=message):
        load_adapter(adapter)


def test_names_with_dots(folder):
    assert load_adapter("talkative:Analyzer.explain").__name__ == "explain"


def test_a_worker_that_cannot_start(folder):
    for adapter, message in {
        "nothing:explain": "no module 'nothing'",
        "dying:explain": "importing dying:explain: exit status 7",
    }.items():
        with pytest.raises(ParameterError, match=message), Worker(adapter, 1):
            pass


def test_a_worker_that_cannot_start_again(folder, vectors):
    with Worker("talkative:explain", 30) as worker:
        (folder / "talkative.py").write_text("raise ValueError('changed')\n")
        assert worker.ask(vectors[1]).message == "took its process down: exit status 3"
        answer = worker.ask(vectors[6])
        assert answer.status == "crashed"
        assert answer.message.startswith(
            "could not be started again: importing talkative raised ValueError: changed"
        )


def test_without_a_timeout_no_thread_is_started(vectors):
    from threading import current_thread

    here = current_thread()
    threads = []

    def adapter(case):
        threads.append(current_thread())
        return case.x

    for timeout in (None, 10):
        with InProcess(adapter, timeout) as runner:
            assert runner.ask(vectors[0]).status == "answered"
    assert threads[0] is here
    assert threads[1] is not here


def test_answers_are_copies(vectors):
    buffer = np.zeros((1, 2))
    with InProcess(lambda case: buffer, None) as runner:
        answer = runner.ask(vectors[0])
    buffer += 1
    assert not answer.value.any()
    assert isinstance(vectors[0], Case)
