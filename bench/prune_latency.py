#!/usr/bin/env python3
"""Models pruned to half their time, and by MACs, against their originals in ONNX Runtime.

    cargo build --release
    python bench/prune_latency.py                        # all rows; the two by latency take a minute on two quiet cores
    python bench/prune_latency.py --only resnet50 --json

Exports models of torchvision with random weights and runs `occam prune` on them: MobileNetV2 and ResNet-50 with
`--latency 0.5`, ten models with `--macs 0.5 --measure`. Original and result are then measured here, by turns, in ONNX
Runtime's Python package, which Occam is pointed to as well; nothing of Occam's own measurement is used. `faster` is the
median over the rounds of the ratio of the medians of a round, with its least and largest; `told` is what Occam said.
`macs` is the part that is left. Occam's table of times is kept in the folder of `--cache`: a second run needs no
measurements for what it has seen. Needs torch, torchvision and onnxruntime. Nothing else should run meanwhile: `others`
tells how many cores were taken. Exits 1 where a model of the first kind is less than `--wanted` times as fast as its
original, or one of the second is slower.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
from speed import Others

ROOT = Path(__file__).resolve().parent.parent
BY_LATENCY = ["mobilenet_v2", "resnet50"]
BY_MACS = [
    "mobilenet_v2",
    "resnet50",
    "resnet18",
    "mobilenet_v3_large",
    "efficientnet_b0",
    "densenet121",
    "shufflenet_v2_x1_0",
    "mnasnet1_0",
    "squeezenet1_1",
    "regnet_y_400mf",
]


def export(name, folder):
    """The model as a file; one that is there is used again."""
    path = folder / f"{name}.onnx"
    if not path.exists():
        import torch
        import torchvision

        torch.manual_seed(0)
        model = torchvision.models.get_model(name, weights=None).eval()
        images = torch.rand(1, 3, 224, 224)
        part = path.with_suffix(".part")
        torch.onnx.export(model, (images,), part, dynamo=False, opset_version=17)
        part.rename(path)
    return path


def session(path, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    loaded = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    given = loaded.get_inputs()[0]
    x = np.random.default_rng(0).random(given.shape, dtype=np.float32)
    return lambda: loaded.run(None, {given.name: x})


def turn(run, runs):
    """Milliseconds of so many runs, after some that let the other model's threads come to rest."""
    settled = time.perf_counter()
    while time.perf_counter() - settled < 0.005:
        run()
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - started))
    return times


def compare(before, after, threads, seconds):
    """Times of both by turns: medians, fastest runs, and the ratios of the rounds."""
    both = [session(before, threads), session(after, threads)]
    for run in both:
        for _ in range(3):
            run()
    once = min(turn(both[0], 3)) / 1e3
    rounds = 15
    runs = max(3, int(seconds / rounds / 2 / once))
    times = [[], []]
    for index in range(rounds):
        for which in (0, 1) if index % 2 == 0 else (1, 0):
            times[which].append(turn(both[which], runs))
    ratios = sorted(statistics.median(b) / statistics.median(a) for b, a in zip(*times))
    flat = [sorted(t for r in side for t in r) for side in times]
    return {
        "before_ms": statistics.median(flat[0]),
        "after_ms": statistics.median(flat[1]),
        "faster": statistics.median(ratios),
        "least": ratios[0],
        "largest": ratios[-1],
        "fastest": flat[0][0] / flat[1][0],
    }


def row(name, option, args, folder):
    path, small = export(name, folder), folder / f"{name}{option[0]}.onnx"
    command = [args.occam, "prune", path, *option, "-o", small, "--json"]
    command += ["--threads", str(args.threads), "--runtime", "onnxruntime", "--latency-cache", args.cache]
    command = list(map(str, command))
    library = Path(onnxruntime.__file__).parent / "capi"
    started = time.perf_counter()
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "OCCAM_ONNXRUNTIME": str(library)}, check=False
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError((done.stdout + done.stderr).strip()[-300:])
    told = json.loads(done.stdout)
    others = Others()
    found = compare(path, small, args.threads, args.seconds)
    latency = told["latency"]
    return {
        "model": name,
        "option": " ".join(option),
        **found,
        "told": 1 / latency["part"],
        "predicted": latency["predicted_part"] and 1 / latency["predicted_part"],
        "macs": told["after"]["macs"] / told["before"]["macs"],
        "seconds": seconds,
        "models_profiled": latency["models_profiled"],
        "missed": latency["missed"],
        "others": others.cores(),
    }


def main():
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--occam", default=ROOT / "target/release/occam")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--latency", type=float, default=0.5, help="part of the time to leave")
    parser.add_argument("--macs", type=float, default=0.5, help="part of the MACs to leave")
    parser.add_argument("--wanted", type=float, default=1.9, help="how much faster the models of --latency must be")
    parser.add_argument("--seconds", type=float, default=6.0, help="time of a comparison")
    parser.add_argument("--folder", type=Path, help="where files are kept [default: a temporary folder]")
    parser.add_argument("--cache", type=Path, help="Occam's table of times [default: in the folder]")
    parser.add_argument("--only", action="append", help="a model; may be given several times")
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    args = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        args.cache = args.cache or folder / "latency.jsonl"
        rows = [(name, ["--latency", str(args.latency)]) for name in BY_LATENCY]
        rows += [(name, ["--macs", str(args.macs), "--measure"]) for name in BY_MACS]
        if not args.json:
            print(f"onnxruntime {onnxruntime.__version__}, {args.threads} threads, batch 1, 224 x 224")
            print(f"{'model':20} {'by':>16} {'before':>9} {'after':>9} {'faster':>7} {'rounds':>13} "
                  f"{'told':>6} {'macs':>6} {'s':>6} {'others':>7}", flush=True)
        for name, option in rows:
            if args.only and name not in args.only:
                continue
            try:
                found = row(name, option, args, folder)
            except Exception as error:  # one model that fails is a row of the table
                failed = True
                print(json.dumps({"model": name, "option": option, "error": str(error)}) if args.json
                      else f"{name:20} {option[0]}: FAILED: {error}", flush=True)
                continue
            wanted = args.wanted if option[0] == "--latency" else 1.0
            slow = found["faster"] < wanted
            failed |= slow
            if args.json:
                print(json.dumps(found), flush=True)
                continue
            others = "-" if found["others"] is None else f"{found['others']:.2f}"
            print(f"{name:20} {' '.join(option[:2]):>16} {found['before_ms']:7.2f}ms {found['after_ms']:7.2f}ms "
                  f"{found['faster']:6.2f}x {found['least']:5.2f}..{found['largest']:5.2f}x {found['told']:5.2f}x "
                  f"{found['macs']:6.3f} {found['seconds']:6.1f} {others:>7}{'  BELOW ' + str(wanted) if slow else ''}"
                  f"{'  ' + found['missed'] if found['missed'] else ''}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
