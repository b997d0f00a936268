#!/usr/bin/env python3
"""Tries every config of a folder without its data, and says what keeps the others from running.

    python tools/try_configs.py configs
    python tools/try_configs.py SITE_PACKAGES/mmrazor/.mim/configs --config-path SITE_PACKAGES --only mmcls

Runs `occam train CONFIG --dry-run` for each file that is not a base. `--batch N` makes batches small, so that large
models fit into memory. A config that is refused since it names an unknown component is listed under that component;
any other refusal is printed whole. Exits with 1 if a config failed in another way than by an unknown component or a
missing file.
"""

import argparse
import collections
import json
import pathlib
import re
import subprocess
import sys
import time


def message(output):
    """What a command with `--json` says is wrong, with its place and advice; empty where it says nothing."""
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    errors = [line for line in lines if line.get("event") == "error"]
    if not errors:
        return ""
    parts = [errors[-1].get(key) for key in ("location", "message", "help")]
    return "\n".join(str(part) for part in parts if part)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--config-path", action="append", default=[])
    parser.add_argument("--only", default="", help="take only paths that contain this")
    parser.add_argument("--batch", type=int, help="images of a batch instead of the config's")
    parser.add_argument("--occam", default="target/release/occam")
    parser.add_argument("--timeout", type=float, default=600)
    parser.add_argument("--json", type=pathlib.Path, help="write all results there")
    args = parser.parse_args()

    files = [p for p in sorted(args.folder.rglob("*.py")) if "_base_" not in p.parts and args.only in str(p)]
    results = {}
    for path in files:
        command = [args.occam, "train", str(path), "--dry-run", "--json"]
        for folder in args.config_path:
            command += ["--config-path", folder]
        if args.batch:
            command += ["--cfg-options", f"train_dataloader.batch_size={args.batch}",
                        f"val_dataloader.batch_size={args.batch}", f"test_dataloader.batch_size={args.batch}"]
        name = str(path.relative_to(args.folder))
        started = time.monotonic()
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=args.timeout)
            code, text = done.returncode, message(done.stdout)
        except subprocess.TimeoutExpired:
            code, text = -1, "ran into the time limit"
        seconds = time.monotonic() - started
        unknown = re.search(r'unknown ([a-z ]+) "([^"]+)"', text) if code else None
        if code == 0:
            kind = "passes"
        elif unknown:
            kind = f"unknown {unknown.group(1)} {unknown.group(2)}"
        else:
            kind = "refused"
        results[name] = dict(kind=kind, code=code, seconds=round(seconds, 1), text=text if code else "")
        print(f"{kind:40} {seconds:6.1f} s  {name}", flush=True)
        if kind == "refused":
            print("    " + "\n    ".join(text.strip().splitlines()[:12]), flush=True)

    print(f"\n{sum(r['kind'] == 'passes' for r in results.values())} of {len(results)} pass")
    for kind, count in collections.Counter(r["kind"] for r in results.values()).most_common():
        print(f"{count:4}  {kind}")
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))
    return int(any(r["kind"] == "refused" for r in results.values()))


if __name__ == "__main__":
    sys.exit(main())
