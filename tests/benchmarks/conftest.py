"""Benchmarks run only when they are asked for, by path or by --benchmark-only."""

from pathlib import Path

HERE = Path(__file__).parent


def pytest_ignore_collect(collection_path, config):
    """Leave out this folder unless the command line names it or something in it."""
    if config.getoption("benchmark_only", default=False):
        return None
    named = (
        Path(config.invocation_params.dir, str(argument).split("::")[0]).resolve() for argument in config.args
    )
    if any(path == HERE or HERE in path.parents for path in named):
        return None
    return True
