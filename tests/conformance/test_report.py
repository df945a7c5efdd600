import html.parser
import json
import re
from dataclasses import replace

import pytest

from refcrp.conformance import check
from refcrp.conformance.diagnosis import Clue
from refcrp.conformance.report import Outcome, Report
from refcrp.errors import ParameterError

NASTY = "<script>alert('|`*_[x]')</script>"


@pytest.fixture
def report(vectors, toy):
    def adapter(case):
        if case.id == "network":
            raise ValueError(NASTY)
        return toy(bias=False)(case)

    return check(adapter, vectors=vectors)


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.texts = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_text(report):
    text = report.text()
    assert str(report) == text
    lines = text.splitlines()
    assert lines[0].endswith(" against refcrp, float64")
    assert re.match(r"refcrp \S+ \((cython, .*|numpy)\); NumPy [\d.]+; Python 3\.\d+", lines[2])
    rows = {tuple(line.split()[:2]): line.split() for line in lines}
    assert rows["zplus", "dense"][2:5] == ["1", "1", "0"]
    assert rows["zplus", "dense"][-1] == "dense-zplus-bias"
    assert rows["all", "4"][1:4] == ["4", "3", "0"]
    assert "    z-plus leaves the bias out; or the bias is missing from the denominators" in lines
    assert "2 of 3 failures look like: the bias is missing from the denominators." in lines
    assert any(
        line.startswith("1 of 3 failures gave nothing to compare, the first: raised") for line in lines
    )
    assert lines[-1] == "FAIL: 3 of 7 vectors fail, 4 pass"


def test_html_is_one_page_with_everything_escaped(report):
    text = report.html()
    page = Page(text)
    assert not page.open
    assert set(page.tags) == {
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "h1",
        "h2",
        "p",
        "table",
        "tr",
        "th",
        "td",
    }
    assert not re.search(r"(src|href|url)\s*[=(]", text)
    assert any(NASTY in t for t in page.texts)
    assert '<p class="fail">FAIL: 3 of 7 vectors fail, 4 pass</p>' in text


def test_markdown(report):
    text = report.markdown()
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in tables} == {10, 4}
    assert "<script>" not in text.replace("\\<", "")
    assert "**FAIL: 3 of 7 vectors fail, 4 pass**" in text


def test_json(report):
    found = json.loads(report.json(), parse_constant=pytest.fail)
    assert (found["format"], found["version"]) == ("refcrp-conformance-report", 1)
    assert (found["dialect"], found["dtype"], found["tolerance"], found["passed"]) == (
        "refcrp",
        "float64",
        64,
        False,
    )
    assert found["counts"] == {"pass": 4, "fail": 3, "not supported": 0}
    assert found["diagnosis"][0]["key"] == "mistake bias forgotten"
    assert found["diagnosis"][0]["vectors"] == ["dense-zplus-bias", "dense-zero-bias"]
    assert set(found["facts"]) == {"refcrp", "NumPy", "Python", "machine"}
    outcomes = {o["id"]: o for o in found["outcomes"]}
    assert outcomes["network"]["scaled"] is None
    assert outcomes["network"]["problem"].startswith(f"raised ValueError: {NASTY}")
    assert outcomes["dense-zplus-signs"]["status"] == "pass"
    assert outcomes["dense-zero-bias"]["relative"] == pytest.approx(0.25)
    (group,) = [g for g in found["groups"] if (g["rule"], g["layer"]) == ("zplus", "dense")]
    assert (group["pass"], group["fail"], group["worst"]) == (1, 1, "dense-zplus-bias")


def test_json_has_infinity_as_text(vectors):
    case = next(case for case in vectors if case.id == "dense-zplus-signs")
    text = check(lambda c: c.x + 1, vectors=[replace(case, scale=0 * case.x)]).json()
    assert json.loads(text, parse_constant=pytest.fail)["outcomes"][0]["scaled"] == "inf"


@pytest.mark.parametrize(
    ("ending", "start"), [("html", "<!DOCTYPE"), ("md", "# "), ("json", "{"), ("TXT", "test_")]
)
def test_save(report, tmp_path, ending, start):
    path = tmp_path / f"report.{ending}"
    report.save(path)
    assert path.read_text(encoding="utf-8").startswith(start)


def test_save_in_no_known_format(report, tmp_path):
    with pytest.raises(
        ParameterError, match=r"report.pdf: the ending must be one of .html, .md, .json, .txt"
    ):
        report.save(tmp_path / "report.pdf")


def test_which_dialect_has_a_table(vectors, toy):
    report = check(toy(), None, vectors=vectors)
    for text in (report.text(), report.markdown(), report.html()):
        assert "Which dialect" in text
        assert "It speaks refcrp." in text
    assert ["refcrp", "7", "7", "0"] in [line.split() for line in report.text().splitlines()]
    assert json.loads(report.json())["ranking"][0] == {
        "dialect": "refcrp",
        "vectors": 7,
        "agrees": 7,
        "differs": 0,
    }


def test_many_failures(vectors):
    failures = tuple(Outcome(f"case-{k}", "", "zero", "dense", "fail", "wrong") for k in range(30))
    report = Report("a:b", "refcrp", "float64", 64, failures)
    assert "... and 10 more; a report in a file has them all." in report.text()
    assert "case-29" not in report.text()
    assert "case-29" in report.markdown()


def test_what_one_failure_looks_like():
    def looks_like(*clues):
        return Outcome(
            "id", "", "zplus", "dense", "fail", "wrong", tuple(Clue(*clue) for clue in clues)
        ).looks_like

    assert looks_like() == ""
    assert looks_like(("bias", "no bias"), ("mistake", "it is wrong")) == "no bias; or it is wrong"
    dialects = [("dialect a", "matches dialect a: no bias"), ("dialect b", "matches dialect b: no bias")]
    assert looks_like(("bias", "no bias"), *dialects) == "matches dialects a, b: no bias"
    assert looks_like(("dialect a", "matches dialect a")) == "matches dialect a"


def test_networks_come_last():
    outcomes = [
        Outcome(str(k), "", *key, "pass")
        for k, key in enumerate([("network", "LRP"), ("zplus", "dense"), ("flat", "dense")])
    ]
    report = Report("a:b", "refcrp", "float64", 64, tuple(outcomes))
    assert [group.rule for group in report.groups] == ["flat", "zplus", "network"]
