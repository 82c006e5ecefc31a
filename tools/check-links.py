#!/usr/bin/env python3
"""Checks a site's links: every relative link of every page leads to a file, and to an id in it where it names one.

Links to other sites are counted and not followed: they are not this repository's to mend, and a check that needs the network
fails for reasons of its own.
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# mdBook writes these two itself: all pages on one, and the page for addresses that do not exist, whose links begin at the root.
GENERATED = {"print.html", "404.html", "toc.html"}


class Page(HTMLParser):
    """The ids of a page, and where its links lead."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            if name in ("href", "src") and value:
                self.links.append(value)


def main() -> int:
    root = Path(sys.argv[1])
    pages = {path: Page(path) for path in sorted(root.rglob("*.html")) if path.name not in GENERATED}
    checked, others, broken = 0, 0, []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                others += 1
                continue
            target = path if not parts.path else (path.parent / unquote(parts.path)).resolve()
            target = target / "index.html" if target.is_dir() else target
            checked += 1
            if not target.exists():
                broken.append(f"{path.relative_to(root)}: {link} leads nowhere")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
                broken.append(f"{path.relative_to(root)}: {link} names no heading")
    for line in sorted(set(broken)):
        print(line, file=sys.stderr)
    print(f"{len(pages)} pages, {checked} links checked, {len(set(broken))} broken; {others} links to other sites not followed")
    if len(pages) < 10 or checked < 100:
        print(f"{root} does not look like the site", file=sys.stderr)
        return 1
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
