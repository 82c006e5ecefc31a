"""Writes dashboards/metrics/*.json and dashboards/flows/*.json; `--check` only says whether they are what the code makes."""

import json
import sys
from pathlib import Path

from .boards import make_all
from .schema import ROOT


def files() -> dict[Path, str]:
    made = {}
    for board in make_all():
        path = ROOT / "dashboards" / board.folder / f"{board.uid.removeprefix('helios-')}.json"
        made[path] = json.dumps(board.json(), indent=2, ensure_ascii=False) + "\n"
    return made


def differences() -> list[str]:
    """Files that are missing, differ, or that nothing makes."""
    made = files()
    wrong = [str(path) for path, text in made.items() if not path.exists() or path.read_text() != text]
    return wrong + [str(path) for path in (ROOT / "dashboards").glob("*/*.json") if path not in made]


def main(arguments: list[str]) -> int:
    if arguments == ["--check"]:
        wrong = differences()
        if wrong:
            print("dashboards: run 'make dashboards'; not what the code makes:", *wrong, sep="\n  ", file=sys.stderr)
        return 1 if wrong else 0
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for path in (ROOT / "dashboards").glob("*/*.json"):
        if path not in files():
            path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
