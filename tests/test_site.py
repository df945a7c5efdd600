"""The site in docs/: what its build checks with Sphinx, as far as it can be checked without."""

import re
from pathlib import Path

import refcrp

DOCS = Path(__file__).parent.parent / "docs"


def text(path):
    return path.read_text(encoding="utf-8")


def test_every_public_name_is_in_the_reference():
    pages = "\n".join(map(text, (DOCS / "reference").glob("*.md")))
    shown = {
        m for line in re.findall(r"^```\{public-names\} (.*)$", pages, re.MULTILINE) for m in line.split()
    }
    whole = set(re.findall(r"^```\{public-module\} refcrp\.(\w+)$", pages, re.MULTILINE))
    missing = {n: home for n, home in refcrp.MODULES.items() if home not in shown and n not in whole}
    assert not missing, "add these modules to pages of docs/reference/"


def test_every_page_is_in_the_contents():
    contents = {
        re.sub(r".*<(.*)>", r"\1", line)
        for page in (DOCS / "index.md", DOCS / "decisions" / "index.md")
        for tree in re.findall(r"```\{toctree\}\n(.*?)```", text(page), re.DOTALL)
        for line in tree.splitlines()
        if line and not line.startswith(":")
    }
    pages = {
        p.relative_to(DOCS).with_suffix("").as_posix() for p in DOCS.rglob("*.md") if "_build" not in p.parts
    }
    decisions = {page for page in pages if re.fullmatch(r"decisions/\d{4}-.*", page)}
    assert pages - decisions - {"README", "index"} == contents - {"0*"}
