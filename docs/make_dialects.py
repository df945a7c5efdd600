"""Write docs/dialects.md from the dialects themselves, so that the page cannot drift; a test compares."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from refcrp.dialects import CHOICES, DIALECTS, REFCRP, SOURCES, Dialect

PAGE = Path(__file__).with_name("dialects.md")

HEAD = """\
# Dialects

The papers leave things open, and implementations have filled the gaps differently: two correct programs
print different numbers for the same network. refcrp keeps these choices as data. Each one is a named field of
`refcrp.Dialect`; `LRP(model, composite, dialect="zennit")` computes as zennit does, and a dialect of your own
is a record of your own:

```python
import refcrp as rc

x, labels = rc.load_digits()
lrp = rc.LRP(rc.load_model("lenet5"), rc.EpsilonPlusFlat(), dialect="zennit")
mine = rc.Dialect("mine", epsilon=1e-7, stabilizer="at zero", seed="output")
e = rc.LRP(rc.load_model("lenet5"), rc.EpsilonPlusFlat(), dialect=mine)(x[:1])
```

A rule or layer that the other implementation does not have is refused (`RuleCompatibilityError`). A rule of
your own keeps its own contributions, and its own stabilizer if it has one. `normalize_output_relevance=`
overrides the seed.

[How each library compares with its dialect](conformance.md) is measured; dialects marked *derived* are read
from the library's source and not compared with numbers it printed.

This page is written by `docs/make_dialects.py`.
"""


def page() -> str:
    """Give the whole page."""
    sections = [HEAD, *choices(), *dialects()]
    return "\n".join(sections)


def choices() -> Iterator[str]:
    """List every choice with its options."""
    yield "## The choices\n"
    for choice, options in CHOICES.items():
        yield f"**{choice}**\n"
        for option, meaning in options.items():
            own = " (refcrp's own)" if getattr(REFCRP, choice) == option else ""
            speakers = [name for name, dialect in DIALECTS.items() if says(dialect, choice, option)]
            others = f" So: {', '.join(speakers)}." if speakers else ""
            yield f"- `{option}`{own}: {meaning}.{others}"
        yield f"\nSource: {SOURCES[choice]}.\n"


def says(dialect: Dialect, choice: str, option: str) -> bool:
    """Tell whether another dialect than refcrp's, which has what the choice is about, chooses so."""
    has_it = not any(choice.startswith(word) for word in dialect.lacks)
    return dialect is not REFCRP and has_it and getattr(dialect, choice) == option


def dialects() -> Iterator[str]:
    """List every dialect with what it does otherwise."""
    yield "## The dialects\n"
    yield "| dialect | other than refcrp's own | not there | source |\n|---|---|---|---|"
    for name, dialect in DIALECTS.items():
        yield f"| {name} | {differences(dialect)} | {', '.join(dialect.lacks)} | {dialect.source} |"
    yield ""


def differences(dialect: Dialect) -> str:
    """Write the choices that differ from refcrp's own."""
    chosen = dialect.differences(REFCRP)
    return ", ".join(f"{field} = {value!r}" for field, value in chosen.items()) or "nothing"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
