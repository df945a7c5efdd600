"""Let the same Markdown be read here and in the repository, where links lead in and out of docs/.

Some files of the repository have a page of their own here. Links to them become links to that page, and the
page, which in the repository is one line that says where to look, gets the file's text.
"""

import os
import re
from pathlib import Path, PurePosixPath

DOCS = Path(__file__).parent.parent
ROOT = DOCS.parent

# A file of the repository, and the page that has its text.
TEXTS = {
    "CONTRIBUTING.md": "contributing",
    "CHANGELOG.md": "changelog",
    "tests/benchmarks/README.md": "benchmarks",
}
# A file of the repository, and the page that says the same.
PAGES = {file: f"docs/{page}.md" for file, page in TEXTS.items()} | {
    "README.md": "docs/index.md",
    "docs/README.md": "docs/index.md",
    "docs/decisions": "docs/decisions/index.md",
}
LINK = re.compile(r"\]\(([^)\s#]+)(#[^)\s]*)?\)")


def with_links(text, folder, page_folder):
    """Give the text of a file in `folder` as it must be on a page in `page_folder`, both below the root."""

    def target(link):
        path, anchor = link[1], link[2] or ""
        if ":" in path:
            return link[0]
        there = os.path.normpath(PurePosixPath(folder, path)).replace(os.sep, "/")
        there = PAGES.get(there, there)
        return f"]({os.path.relpath(there, page_folder).replace(os.sep, '/')}{anchor})"

    return LINK.sub(target, text)


def rewrite(app, docname, source):
    """Replace a page's source, before it is parsed."""
    page_folder = str(PurePosixPath("docs", docname).parent)
    for file, page in TEXTS.items():
        if docname == page:
            app.env.note_dependency(str(ROOT / file))
            text = (ROOT / file).read_text(encoding="utf-8")
            source[0] = with_links(text, str(PurePosixPath(file).parent), page_folder)
            return
    source[0] = with_links(source[0], page_folder, page_folder)


def setup(app):
    """Register with Sphinx."""
    app.connect("source-read", rewrite)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
