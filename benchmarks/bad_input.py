"""Number of bad inputs that end in the expected error, by family.

    python benchmarks/bad_input.py [--only TEXT]

Runs every case of tests/bad_input and checks exit code and error message, and that there is no
traceback, no output of a C library, no unfinished file and no changed input. Prints a table, and
each failed case with the reason; writes benchmarks/results/bad_input.csv if all cases ran.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "bad_input.csv"

sys.path.insert(0, str(ROOT))  # the table is one of the tests

from tests.bad_input import case as cases  # noqa: E402
from tests.bad_input import home  # noqa: E402
from tests.bad_input.table import CASES  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help="run only cases whose label contains this text")
    parser.add_argument(
        "--verbose", action="store_true", help="print the label of each case before it runs"
    )
    args = parser.parse_args()
    only = args.only
    chosen = [case for case in CASES if only in case.label]
    tried, passed, refused = Counter[str](), Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        workspace = home.make(root)
        for number, case in enumerate(chosen):
            room = root / f"case{number}"
            room.mkdir()
            if args.verbose:
                print(case.label, file=sys.stderr, flush=True)
            found = cases.complaints(case, room, workspace)
            tried[case.family] += 1
            passed[case.family] += not found
            refused[case.family] += case.exit_code != 0
            for complaint in found:
                print(f"{case.label}\n    {complaint}", file=sys.stderr)
    rows = [(family, tried[family], passed[family], refused[family]) for family in tried]
    rows.append(("all", tried.total(), passed.total(), refused.total()))
    print(f"{'family':<12}{'tried':>7}{'passed':>8}{'of them errors':>16}")
    for family, of_all, good, errors in rows:
        print(f"{family:<12}{of_all:>7}{good:>8}{errors:>16}")
    if not only:
        lines = [
            ",".join(map(str, row)) for row in [("family", "tried", "passed", "errors"), *rows]
        ]
        RESULTS.write_text("\n".join([*lines, ""]), encoding="utf-8")
    sys.exit(tried != passed)


if __name__ == "__main__":
    main()
