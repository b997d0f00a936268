#!/usr/bin/env python3
"""Compares `occam config print` with mmengine on every config of installed OpenMMLab packages.

    python tools/compare_configs.py SITE_PACKAGES [--occam target/debug/occam] [--package NAME ...] [--json FILE]

Run with a Python that has mmengine and the packages of SITE_PACKAGES. Every `.py`, `.json` and `.yaml` file below
`SITE_PACKAGES/NAME/.mim/configs` counts, those of `_base_` folders too, for they are configs that resolve alone; model
index files (`metafile`, `Collections`) do not count. NAME is mmrazor unless given.

Two trees are compared with mmengine's, exactly: what `--json` prints, in the order of its keys, and what plain `print`
writes, read back by mmengine, where tuples, lists, integer keys, ints and floats are told apart. Nothing but configs
is read, and no module that a config names is imported.

One line a file that is not equal, then the totals; `--verbose` prints equal files too. Exit code 1 if a file that
mmengine resolves is not equal.
"""

import argparse
import json
import math
import signal
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

SECONDS_PER_FILE = 60

OUTCOMES = ("equal", "different", "not_read_back", "only_occam_fails", "only_mmengine_fails", "both_fail")


def load(path):
    """The config at `path`, as mmengine resolves it."""
    from mmengine.config import Config

    return Config.fromfile(str(path), import_custom_modules=False).to_dict()


def as_json(value):
    """As JSON has it: tuples as lists, keys as strings, no infinite numbers."""
    if isinstance(value, dict):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def exact(value):
    """A text that differs where types or values do, whatever the order of keys."""
    if isinstance(value, dict):
        entries = sorted((repr(key), exact(item)) for key, item in value.items())
        return "{" + ", ".join(f"{key}: {item}" for key, item in entries) + "}"
    if isinstance(value, (list, tuple)):
        return type(value).__name__ + "(" + ", ".join(map(exact, value)) + ")"
    return f"{type(value).__name__} {value!r}"


def first_difference(ours, theirs, path=""):
    """The first place where two JSON trees differ, for people."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in theirs:
            if key not in ours:
                return f"{path}.{key} is missing"
        for key in ours:
            if key not in theirs:
                return f"{path}.{key} should not be there"
        for key in theirs:
            found = first_difference(ours[key], theirs[key], f"{path}.{key}")
            if found:
                return found
        return f"{path}: other order of keys" if list(ours) != list(theirs) else ""
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for at, (a, b) in enumerate(zip(ours, theirs)):
            found = first_difference(a, b, f"{path}.{at}")
            if found:
                return found
        return ""
    return "" if exact(ours) == exact(theirs) else f"{path}: occam {ours!r}, mmengine {theirs!r}"


def occam(binary, site_packages, *arguments):
    # In an empty folder, for `configs/` where the command runs comes first in the search path.
    with tempfile.TemporaryDirectory() as folder:
        command = [binary, "config", "print", *map(str, arguments), "--config-path", site_packages]
        return subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=SECONDS_PER_FILE)


def compare(task):
    """Outcome and explanation for one file."""
    warnings.simplefilter("ignore")
    path, site_packages, binary = task
    signal.alarm(SECONDS_PER_FILE)
    try:
        theirs, their_error = load(path), None
    except Exception as error:  # whatever mmengine and the config raise
        theirs, their_error = None, f"{type(error).__name__}: {error}"
    signal.alarm(0)
    done = occam(binary, site_packages, path, "--json")
    if done.returncode not in (0, 2):
        return "different", f"exit code {done.returncode}: {done.stderr}"
    our_error = json.loads(done.stdout)["message"] if done.returncode else None
    if their_error:
        explanation = f"mmengine: {their_error[:300]}"
        if our_error:
            return "both_fail", f"{explanation}\n  occam: {our_error}"
        return "only_mmengine_fails", explanation
    if our_error:
        place = json.loads(done.stdout)["location"]
        return "only_occam_fails", f"occam: {place}: {our_error}"
    # As text, so that the order of keys counts and 1 is not 1.0.
    ours = json.loads(done.stdout)
    if json.dumps(ours) != json.dumps(as_json(theirs)):
        return "different", first_difference(ours, as_json(theirs))
    printed = occam(binary, site_packages, path).stdout
    with tempfile.TemporaryDirectory() as folder:
        again = Path(folder) / "printed.py"
        again.write_text(printed)
        try:
            read_back = load(again)
        except Exception as error:
            return "not_read_back", f"{type(error).__name__}: {error}"
    if exact(read_back) != exact(theirs):
        return "not_read_back", first_difference(as_json(read_back), as_json(theirs)) or "other types"
    return "equal", ""


def is_config(path):
    if path.suffix == ".py":
        return True
    if path.suffix not in (".json", ".yml", ".yaml"):
        return False
    text = path.read_text()
    return path.name not in ("metafile.yml", "metafile.yaml") and "Collections:" not in text and "Models:" not in text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("site_packages", type=Path)
    parser.add_argument("--occam", default="target/debug/occam")
    parser.add_argument("--package", action="append", metavar="NAME")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results of all files here")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    site_packages = arguments.site_packages.absolute()
    binary = str(Path(arguments.occam).absolute())
    results = {}
    with ProcessPoolExecutor(arguments.jobs) as pool:
        for package in arguments.package or ["mmrazor"]:
            root = site_packages / package / ".mim" / "configs"
            paths = [path for path in sorted(root.rglob("*")) if path.is_file() and is_config(path)]
            outcomes = pool.map(compare, [(path, str(site_packages), binary) for path in paths])
            files = {}
            for path, (outcome, explanation) in zip(paths, outcomes):
                name = path.relative_to(root).as_posix()
                files[name] = {"outcome": outcome, "explanation": explanation}
                if arguments.verbose or outcome != "equal":
                    print(f"{outcome}: {package}::{name}")
                if explanation:
                    print("  " + explanation)
            counts = Counter(file["outcome"] for file in files.values())
            totals = {"files": len(files), **{outcome: counts[outcome] for outcome in OUTCOMES}}
            print(f"{package}: " + ", ".join(f"{value} {name}" for name, value in totals.items()), flush=True)
            results[package] = {"totals": totals, "files": files}
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    wrong = ("different", "not_read_back", "only_occam_fails")
    sys.exit(any(result["totals"][outcome] for result in results.values() for outcome in wrong))


if __name__ == "__main__":
    main()
