#!/usr/bin/env python3
"""Compare how long Occam and Torch-Pruning take to decide which channels go.

    python bench/prune_speed.py --models FOLDER                     # every model of tools/pruning_models.py that FOLDER has
    python bench/prune_speed.py --models FOLDER --only resnet50 --torch resnet50 --rounds 9

Of Occam, for every model: `process`, the whole process of `occam inspect FILE --units --json`; `read`, from the file to its
layers; `units`, from there to the channel units; `norms`, of all weights; `widths`, from there to those at half the MACs; and
`decision`, the three together: groups and one global step with the model in memory. `file` is slicing the weights and encoding
the smaller file, which is not written. Files are in the page cache.

Of Torch-Pruning, for the models named by --torch, with the model in memory: `graph`, `BasePruner(..)`, which builds the
dependency graph, and `step`, one global step by the group norm at a ratio of 0.5. Both sides prune the same layers of the same
model. `ratio` is graph + step over Occam's decision, `with read` the same with reading the file on Occam's side; above 1, Occam
is faster.

All are medians over the rounds; both sides take turns. `others` is how many cores other processes kept busy meanwhile
(Linux): where it is not near 0 the times mean little. Needs torch, torchvision and torch-pruning. Exits 1 where a limit of
docs/performance.md is missed.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from speed import Others

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT / "tools"))
import pruning_models  # noqa: E402

# Whole process for ResNet-50 and the decision for any model, in seconds; and times Torch-Pruning's.
PROCESS, DECISION = 0.05, 1.0
RATIOS = {"resnet50": 20, "densenet121": 50}


def torch_worker(name, threads):
    """One graph and one global step in this process, printed as JSON."""
    import torch
    import torch_pruning

    torch.set_num_threads(threads)
    model, example = pruning_models.build(name)
    pruning_models.settle(model, example)
    ends = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m.out_features == 1000]
    importance = torch_pruning.importance.GroupMagnitudeImportance(p=2)
    start = time.perf_counter()
    pruner = torch_pruning.pruner.BasePruner(
        model, example[0], importance=importance, global_pruning=True, pruning_ratio=0.5, round_to=8,
        ignored_layers=ends)
    built = time.perf_counter()
    pruner.step()
    print(json.dumps({"graph": built - start, "step": time.perf_counter() - built}))


def torch_pruning(args, name):
    env = dict(os.environ, OMP_NUM_THREADS=str(args.threads), MKL_NUM_THREADS=str(args.threads))
    command = [sys.executable, str(HERE / "prune_speed.py"), "--torch-worker", name, "--threads", str(args.threads)]
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=args.timeout)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        print(f"{name}: Torch-Pruning fails: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def timed(command):
    """Standard output and seconds of a process."""
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {(done.stdout + done.stderr).strip()[-500:]}")
    return done.stdout, seconds


def occam(args, name):
    file = str(args.models / f"{name}.onnx")
    threads = ["--threads", str(args.threads)]
    units, process = timed([args.occam, "inspect", file, "--units", "--json", *threads])
    told, _ = timed([args.occam, "prune", file, "--macs", "0.5", "--dry-run", "--json", *threads])
    told = json.loads(told.splitlines()[-1])
    times = told["times"]
    return {
        "process": process,
        "read": times["read"],
        "units": times["trace"],
        "norms": times["importance"],
        "widths": times["solve"],
        "decision": times["trace"] + times["importance"] + times["solve"],
        "file": times["shrink"],
        "count": len(json.loads(units.splitlines()[-1])["units"]),
    }


def medians(rounds):
    return {key: statistics.median(r[key] for r in rounds) for key in rounds[0]} if rounds else {}


def measure(args, name):
    compared = name in args.torch
    others, own, peer = Others(), [], []
    for turn in range(args.rounds):
        own.append(occam(args, name))
        if compared and turn < args.torch_rounds:
            peer.append(torch_pruning(args, name))
    row = medians(own) | medians([p for p in peer if p])
    row["others"] = others.cores()
    if compared and all(peer):
        peers = row["graph"] + row["step"]
        row |= {"ratio": peers / row["decision"], "with read": peers / (row["decision"] + row["read"])}
    elif compared:
        row["note"] = f"Torch-Pruning does not finish in {args.timeout:.0f} s, or fails"
    return row


COLUMNS = ["process", "read", "units", "norms", "widths", "decision", "file", "graph", "step", "ratio", "with read", "others"]


def cells(row):
    def cell(key):
        value = row.get(key)
        if value is None:
            return "-"
        return f"{value:.1f}x" if key in ("ratio", "with read") else f"{value:.2f}" if key == "others" else f"{1e3 * value:.1f}"

    return [cell(key) for key in COLUMNS]


def missed(name, row):
    """What of the limits is not kept."""
    if name == "resnet50" and row["process"] > PROCESS:
        yield f"{name}: the process takes {1e3 * row['process']:.0f} ms, {1e3 * PROCESS:.0f} at most"
    if name in pruning_models.LISTED and row["decision"] > DECISION:
        yield f"{name}: units and decision take {row['decision']:.2f} s, {DECISION:.0f} at most"
    if "ratio" in row and row["ratio"] < RATIOS.get(name, 1):
        yield f"{name}: {row['ratio']:.1f} times as fast as Torch-Pruning, {RATIOS.get(name, 1)} at least"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--occam", default=str(ROOT / "target/release/occam"), help="the binary to measure")
    parser.add_argument("--models", type=Path, metavar="FOLDER", help="where tools/pruning_models.py put the models")
    parser.add_argument("--only", nargs="*", metavar="NAME", help="these models")
    parser.add_argument("--torch", nargs="*", default=["resnet50", "densenet121"], metavar="NAME",
                        help="the models that Torch-Pruning prunes too (default resnet50 densenet121)")
    parser.add_argument("--rounds", type=int, default=3, help="of Occam (default 3)")
    parser.add_argument("--torch-rounds", type=int, default=3, help="of Torch-Pruning (default 3)")
    parser.add_argument("--timeout", type=float, default=120, help="seconds for one run of Torch-Pruning (default 120)")
    parser.add_argument("--threads", type=int, default=2, help="of each side (default 2)")
    parser.add_argument("--json", metavar="FILE", help="write the rows here too")
    parser.add_argument("--torch-worker", metavar="NAME", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.torch_worker:
        return torch_worker(args.torch_worker, args.threads)
    if args.models is None:
        parser.error("--models FOLDER is needed")
    names = args.only or pruning_models.by_size(pruning_models.LISTED) + pruning_models.MORE
    names = [name for name in names if (args.models / f"{name}.onnx").exists()]
    if not names:
        sys.exit(f"{args.models} has none of the models; tools/pruning_models.py {args.models} exports them")
    print(f"{'ms':30}{'count':>6}" + "".join(f"{c:>10}" for c in COLUMNS), flush=True)
    rows = {}
    for name in names:
        rows[name] = measure(args, name)
        count = f"{rows[name]['count']:6.0f}"
        print(f"{name:30}{count}" + "".join(f"{c:>10}" for c in cells(rows[name])), rows[name].get("note", ""), flush=True)
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=1) + "\n")
    slow = [line for name, row in rows.items() for line in missed(name, row)]
    print("\n".join(slow) or "every limit is kept")
    return int(bool(slow))


if __name__ == "__main__":
    sys.exit(main())
