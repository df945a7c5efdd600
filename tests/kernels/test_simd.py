"""Which compiled kernels run, and that all of them compute the same."""

import io

import numpy as np
import pytest
from geometries import needs_compiled, run

import refcrp as rc
from refcrp import kernels
from refcrp.errors import BackendError
from refcrp.kernels import simd

needs_build = pytest.mark.skipif(not simd.available(), reason="nothing was compiled")


def test_available_is_from_the_best_to_what_every_machine_has():
    names = simd.available()
    assert list(names) == [name for name in simd.INSTRUCTION_SETS if name in names]
    assert names == () or names[-1] == "baseline"
    assert rc.show_config().available == names


def test_show_config():
    config = rc.show_config()
    assert config.backend == rc.backend() == ("cython" if kernels.USE_COMPILED else "numpy")
    assert config.instruction_set in (config.available if kernels.USE_COMPILED else ("numpy",))
    assert config.threads >= 1
    rows = dict(line.split(maxsplit=1) for line in str(config).replace("instruction set", "set").splitlines())
    assert rows == {
        "backend": config.backend,
        "set": config.instruction_set,
        "available": ", ".join(config.available) or "none",
        "tile": f"{config.tile[0]} x {config.tile[1]}",
        "threads": str(config.threads),
    }
    columns = [line.index(value) for line, value in zip(str(config).splitlines(), rows.values(), strict=True)]
    assert len(set(columns)) == 1, "the values stand in one column"


@needs_compiled
def test_the_tile_is_as_wide_as_two_vectors():
    floats, doubles = simd.driver.tile_shape(4), simd.driver.tile_shape(8)
    assert rc.show_config().tile == floats
    assert floats == (doubles[0], 2 * doubles[1])
    assert all(n >= 1 for n in doubles)


def test_threads_that_are_asked_for_are_shown():
    with kernels.using_threads(7):
        assert rc.show_config().threads == 7


def test_nothing_is_available_where_nothing_was_built(monkeypatch):
    monkeypatch.setattr(simd, "baseline", None)
    assert simd.available() == ()
    assert "available        none" in str(kernels.Config("numpy", "numpy", (), (0, 0), 1))
    monkeypatch.delenv("REFCRP_SIMD", raising=False)
    assert simd.choose() == ("numpy", None)


@needs_build
def test_choosing(monkeypatch):
    monkeypatch.delenv("REFCRP_FORCE_NUMPY", raising=False)
    best, *_, last = names = simd.available()
    for wanted, expected in ("", best), (last, last), *zip(names, names, strict=True):
        monkeypatch.setenv("REFCRP_SIMD", wanted)
        name, driver = simd.choose()
        assert name == expected
        assert driver.__name__ == f"refcrp.kernels.{simd.INSTRUCTION_SETS[name]}"
    monkeypatch.setenv("REFCRP_SIMD", "avx9")
    with pytest.raises(BackendError, match=r"'avx9': expected one of x86-64-v4, x86-64-v3, baseline$"):
        simd.choose()
    monkeypatch.setattr(simd, "available", lambda: ("x86-64-v3", "baseline"))
    monkeypatch.setenv("REFCRP_SIMD", "x86-64-v4")
    with pytest.raises(BackendError, match=r"'x86-64-v4': .* only x86-64-v3, baseline$"):
        simd.choose()
    monkeypatch.setenv("REFCRP_FORCE_NUMPY", "1")
    assert simd.choose() == ("numpy", None)


def test_an_unknown_name_ends_the_import():
    answer = run("import refcrp.kernels", REFCRP_SIMD="avx9")
    assert answer.returncode == 1
    assert "BackendError: REFCRP_SIMD='avx9': expected one of x86-64-v4" in answer.stderr


def test_a_set_that_this_machine_lacks_ends_the_import():
    missing = [name for name in simd.INSTRUCTION_SETS if name not in simd.available()]
    if not missing or not simd.available():
        pytest.skip("this machine has all of them, or none was built")
    answer = run("import refcrp.kernels", REFCRP_SIMD=missing[0])
    assert answer.returncode == 1
    only = ", ".join(simd.available())
    assert (
        f"BackendError: REFCRP_SIMD={missing[0]!r}: this machine and build have only {only}" in answer.stderr
    )


EXPLAIN = """
import sys
import numpy as np
import refcrp as rc

config = rc.show_config()
print(config.backend, config.instruction_set, config.tile, file=sys.stderr)
model, x = rc.load_model("lenet5"), rc.load_digits()[0][:1]
conditions = [{"y": [k]} for k in range(10)]
arrays = {}
for dtype in np.float32, np.float64:
    for composite in rc.EpsilonPlusFlat(), rc.EpsilonGammaBox(0, 1):
        lrp = rc.LRP(model.astype(dtype), composite)
        name = f"{dtype.__name__} {type(composite).__name__} {len(arrays)}"
        arrays[name] = lrp(x.astype(dtype), conditions=conditions).relevance
np.savez(sys.stdout.buffer, **arrays)
"""


def explain(**environment):
    answer = run(EXPLAIN, text=False, **environment)
    assert answer.returncode == 0, answer.stderr
    return np.load(io.BytesIO(answer.stdout)), answer.stderr.decode().split("\n")[0]


def test_every_instruction_set_explains_a_digit_in_the_same_way():
    expected, config = explain(REFCRP_FORCE_NUMPY="1")
    assert config == "numpy numpy (0, 0)"
    for name in simd.available():
        actual, config = explain(REFCRP_SIMD=name)
        assert config.startswith(f"cython {name} (")
        assert list(actual) == list(expected)
        for key in expected:
            tolerance = 1e-5 if key.startswith("float32") else 1e-12
            assert actual[key].dtype == expected[key].dtype
            error = np.abs(actual[key] - expected[key]).max() / np.abs(expected[key]).max()
            assert error < tolerance, (name, key)
