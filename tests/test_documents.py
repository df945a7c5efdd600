"""Every Python block of the README and of docs/ runs, in the order of the page, in an empty folder."""

import re
import runpy
from pathlib import Path

import matplotlib
import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted(p for p in (ROOT / "docs").rglob("*.md") if "_build" not in p.parts)]
WITH_CODE = [page for page in PAGES if "```python" in page.read_text()]


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda p: str(p.relative_to(ROOT)))
def test_code_runs(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    matplotlib.use("agg")
    names = {}
    for number, block in enumerate(blocks(page, "python"), 1):
        exec(compile(block, f"{page.name}, Python block {number}", "exec"), names)


def test_there_is_code():
    assert ROOT / "README.md" in WITH_CODE
    assert len(WITH_CODE) >= 3


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_within_the_repository(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" not in target and not target.startswith("#"):
            assert (page.parent / target.partition("#")[0]).exists(), target


def test_the_page_of_dialects_is_up_to_date():
    names = runpy.run_path(str(ROOT / "docs" / "make_dialects.py"))
    assert names["page"]() == names["PAGE"].read_text(encoding="utf-8"), "run: python docs/make_dialects.py"
