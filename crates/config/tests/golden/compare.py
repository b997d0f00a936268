"""Compares occam-config with mmengine on every config of installed projects.

    python compare.py SITE_PACKAGES PRINT_BINARY [PROJECT ...]

Run with a Python that has mmengine, the projects (mmrazor unless named) and what they build on.
PRINT_BINARY is this crate's example `print`. Tuples count as lists, as in JSON. Prints each
difference and, last, the numbers.
"""

import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

from golden import as_json, load


def run(binary, *arguments):
    done = subprocess.run([binary, *map(str, arguments)], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def main():
    site_packages, binary = Path(sys.argv[1]).absolute(), sys.argv[2]
    roots = [site_packages / project / ".mim" / "configs" for project in sys.argv[3:] or ["mmrazor"]]
    paths = [path for root in roots for path in sorted(root.rglob("*.py"))]
    counts = dict(equal=0, different=0, both_fail=0, only_ours_fails=0, only_theirs_fails=0, not_read_back=0)
    for path in paths:
        name = path.relative_to(site_packages)
        try:
            theirs = as_json(load(path))
        except Exception as error:  # whatever mmengine raises
            theirs, their_error = None, f"{type(error).__name__}: {error}"
        code, out, our_error = run(binary, path, site_packages)
        if code not in (0, 1):
            raise SystemExit(f"{name}: exit code {code}\n{our_error}")
        if code != 0:
            outcome = "both_fail" if theirs is None else "only_ours_fails"
        elif theirs is None:
            outcome = "only_theirs_fails"
        else:
            outcome = "equal" if json.dumps(json.loads(out)) == json.dumps(theirs) else "different"
        counts[outcome] += 1
        if outcome != "equal":
            print(f"{outcome}: {name}")
            if theirs is None:
                print(f"  mmengine: {their_error[:300]}")
            if code != 0:
                print("  occam: " + our_error.strip().replace("\n", "\n         "))
            continue
        # What we print as Python must mean the same to mmengine.
        _, text, _ = run(binary, "--python", path, site_packages)
        with tempfile.TemporaryDirectory() as folder:
            printed = Path(folder) / "printed.py"
            printed.write_text(text)
            again = as_json(load(printed))
        if json.dumps(again, sort_keys=True) != json.dumps(theirs, sort_keys=True):
            counts["not_read_back"] += 1
            print(f"not read back: {name}")
    print(counts)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
