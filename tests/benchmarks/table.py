"""Results as Markdown."""

from processes import IMPORT_AIM, IMPORT_AT_MOST

DISTURBED = 0.1  # cores that other processes used during a measurement


def report(machine, results, skipped, command):
    """The whole report: what it was measured on, one table for each number of threads, details."""
    parts = [f"Measured by `{command}`.", *head(machine)]
    parts += [f"Left out: {line}" for line in skipped]
    for threads in machine:
        rows = [r for r in results if r["threads"] == threads]
        compared = [r for r in rows if "ratio" in r]
        if compared:
            parts += [f"## {counted(threads)}", *comparison(compared)]
        parts += [f"{r['title']}, {counted(threads)}:\n\n" + shapes(r) for r in compared if r.get("details")]
        parts += [imports(r["imports"]) for r in rows if "imports" in r]
        parts += [f"**Failed**: {r['title']} against {r['peer']}: {r['error']}" for r in rows if "error" in r]
    return "\n\n".join(parts) + "\n"


def head(machine):
    """What the numbers were measured on; `machine` maps numbers of threads to descriptions."""
    first = next(iter(machine.values()))
    versions = ", ".join(f"{name} {version}" for name, version in first["versions"].items() if version != "-")
    lines = [
        f"- {first['processor']}, {first['cores']} cores, {' '.join(first['instructions'])}; {first['system']}",
        f"- {versions}; refcrp's kernels: {first['backend']}",
    ]
    for threads, about in machine.items():
        rates = [f"NumPy {about['numpy_rate']:.0f}"]
        if about["torch_rate"] is not None:
            rates.append(f"torch {about['torch_rate']:.0f}")
        lines.append(f"- float32 matrix product, {counted(threads)}: {' GFLOP/s, '.join(rates)} GFLOP/s")
    config = [f"```\n{first['config']}\n```"] if first["config"] else []
    return ["\n".join(lines), *config]


def comparison(rows):
    """The main table, what is slower than asked, and what was not measured in peace."""
    columns = ("work", "refcrp", "peer", "peer's", "peer / refcrp", "at least", "aim", "difference")
    cells = [
        (
            row["title"],
            f"{number(row['ours'])} {row['unit']}",
            row["peer"],
            f"{number(row['theirs'])} {row['unit']}",
            f"{row['ratio']:.2f}",
            wanted(row["at_least"]),
            wanted(row["aim"]),
            agreement(row),
        )
        for row in rows
    ]
    below = [against(row) for row in rows if row["at_least"] and row["ratio"] < row["at_least"]]
    notes = [f"Less than asked: {'; '.join(below)}."] if below else []
    disturbed = [
        f"{against(row)} ({row['others']:.1f} cores)" for row in rows if (row["others"] or 0) > DISTURBED
    ]
    notes += [f"Disturbed by other processes: {'; '.join(disturbed)}."] if disturbed else []
    return [markdown(columns, cells), *notes]


def against(row):
    """Name a row in a sentence."""
    return f"{row['title']}, against {row['peer']}"


def shapes(row):
    """Each convolution of a row."""
    cells = [
        (
            d["shape"],
            number(d["ours"]),
            f"{d['our_rate']:.0f}",
            number(d["theirs"]),
            f"{d['their_rate']:.0f}",
            f"{d['theirs'] / d['ours']:.2f}",
        )
        for d in row["details"]
    ]
    columns = ("convolution", "refcrp ms", "GFLOP/s", "torch ms", "GFLOP/s", "torch / refcrp")
    return markdown(columns, cells)


def imports(details):
    """What imports cost."""
    cells = []
    for d in details:
        is_ours = d["library"] == "refcrp"
        limits = (f"{IMPORT_AT_MOST:.0f}", f"{IMPORT_AIM:.0f}") if is_ours else ("", "")
        cells.append((f"`import {d['library']}`", number(d["ms"]), f"{d['above']:+.0f}", *limits))
    columns = ("fresh interpreter", "ms", "above NumPy alone", "at most", "aim")
    return "## Import\n\n" + markdown(columns, cells)


def markdown(columns, rows):
    """A Markdown table, numbers to the right."""
    rule = ["---", *["---:"] * (len(columns) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, rule, *rows))


def line(row):
    """A result in one line, while others are still being measured."""
    text = f"{counted(row['threads'])}, {row['name']}: "
    if "error" in row:
        return text + "failed"
    if "ratio" not in row:
        return text + "done"
    sides = f"{number(row['ours'])} and {number(row['theirs'])} {row['unit']}"
    others = "" if row["others"] is None else f"; others used {row['others']:.1f} cores"
    return f"{text}{sides}, ratio {row['ratio']:.2f}, difference {agreement(row) or '-'}{others}"


def number(value):
    """Three digits."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def wanted(value):
    """What a ratio should be."""
    return "" if value is None else f"{value:g}"


def agreement(row):
    """The largest difference over the largest value, and the same of the means."""
    if row["disagreement"] is None:
        return ""
    largest, mean = row["disagreement"]
    return f"{largest:.0e}, {mean:.0e}" + ("" if row["agrees"] else " **too much**")


def counted(threads):
    """1 thread, 2 threads."""
    return f"{threads} thread{'s' if threads != 1 else ''}"
