import json
import os
import subprocess
import sys

import pytest
from command_line import run

from refcrp.conformance import load_vectors
from refcrp.conformance.vectors import write_vectors

OWN = "refcrp.conformance.adapters.own:explain"


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def some(tmp_path_factory):
    """A file with a few of the built-in vectors, which is quick to read."""
    path = tmp_path_factory.mktemp("vectors") / "some.h5"
    chosen = [case for case in load_vectors() if "gamma" in case.id or "zplus" in case.id]
    write_vectors(chosen[::4], path)
    return path


def test_refcrp_passes_its_own_check(capsys, some):
    status, out, err = run(capsys, "verify", OWN, "--vectors", some)
    assert (status, err) == (0, "")
    assert out.splitlines()[-1].startswith("PASS: ")


@pytest.mark.parametrize("ending", ["html", "md", "json"])
def test_a_failure_is_status_1_and_is_reported(capsys, some, tmp_path, ending):
    arguments = [
        "--dialect",
        "zennit",
        "--select",
        "generalized",
        "--dtype",
        "float64",
        "--report",
        f"r.{ending}",
    ]
    status, out, _ = run(capsys, "verify", OWN, "--vectors", some, *arguments)
    assert status == 1
    assert out.splitlines()[-1] == f"report  r.{ending}"
    assert "matches dialect" in out
    assert "FAIL: " in (tmp_path / f"r.{ending}").read_text()


def test_which_dialect(capsys, some, tmp_path):
    status, out, _ = run(
        capsys,
        "verify",
        OWN.replace("explain", "captum"),
        "--which-dialect",
        "--vectors",
        some,
        "--report",
        "r.json",
    )
    assert status == 0
    assert "It speaks captum." in out
    assert json.loads((tmp_path / "r.json").read_text())["ranking"][0]["dialect"] == "captum"


WRONG = [
    (["nothing:explain"], "no module 'nothing', in the current folder or installed"),
    ([OWN + "s"], "has no function 'explains'; did you mean 'explain' or"),
    ([OWN, "--select", "no-such-word"], "no test vector is left"),
    ([OWN, "--dialect", "zenit"], "invalid choice: 'zenit'"),
    ([OWN, "--dialect", "zennit", "--which-dialect"], "not allowed with argument"),
    ([OWN, "--dtype", "float16"], "invalid choice: 'float16'"),
    ([OWN, "--report", "report.pdf"], "report.pdf: the ending must be one of"),
    ([OWN, "--report", "no/folder/report.md"], "there is no folder no/folder"),
    ([OWN, "--timeout", "0"], "timeout must be a number > 0"),
    ([OWN, "--vectors", "nothing.h5"], "nothing.h5: no such file"),
    ([], "the following arguments are required: MODULE:FUNCTION"),
]


@pytest.mark.parametrize(
    ("arguments", "message"), WRONG, ids=[" ".join(row[0]) or "nothing" for row in WRONG]
)
def test_wrong_usage_is_one_line_and_status_2(capsys, some, arguments, message):
    more = [] if "--vectors" in arguments or not arguments else ["--vectors", some]
    status, out, err = run(capsys, "verify", *arguments, *more)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert message in err


def test_an_adapter_in_the_current_folder(some, tmp_path):
    (tmp_path / "mine.py").write_text("print('loud')\ndef explain(case):\n    return 0 * case.x\n")
    answer = subprocess.run(
        [sys.executable, "-m", "refcrp", "verify", "mine:explain", "--vectors", some],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        check=False,
    )
    assert answer.returncode == 1
    assert "everything is zero" in answer.stdout
    assert "loud" not in answer.stdout


def test_lint(capsys, some, tmp_path):
    status, out, _ = run(capsys, "vectors", "lint", some)
    assert (status, out) == (0, f"{some}: no problems\n")
    (tmp_path / "bad.h5").write_bytes(b"no HDF5")
    status, out, _ = run(capsys, "vectors", "lint", "bad.h5")
    assert status == 1
    assert out.splitlines()[-1] == f"bad.h5: {len(out.splitlines()) - 1} problem"
    status, out, err = run(capsys, "vectors", "lint", "nothing.h5")
    assert (status, out, err) == (2, "", "refcrp: error: nothing.h5: no such file\n")


def test_export(capsys, some, tmp_path):
    status, out, _ = run(capsys, "vectors", "export", "all.json", "--vectors", some)
    vectors = json.loads((tmp_path / "all.json").read_text(encoding="utf-8"))["vectors"]
    assert (status, out) == (0, f"{len(vectors)} vectors  all.json\n")
    assert len(vectors) == len(load_vectors(some))
