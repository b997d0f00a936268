#!/usr/bin/env python3
"""Prunes every model of torchvision that Torch-Pruning lists, and detectors of the YOLO kind, to half their MACs, and runs
the results in ONNX Runtime.

    cargo build --release && cargo build --release -p occam-space --example exact
    tools/check_pruning.py [--models FOLDER] [--exact target/release/examples/exact] [--json FILE] [MODEL ..]

The models are those of tools/pruning_models.py, exported to FOLDER where it lacks them (18 GB in all; without it each is
exported for the run alone). Needs torch, torchvision, onnx and onnxruntime. For each model: units, how many can be pruned,
the part of the MACs that depends on them, MACs before and after, seconds from file to units and from there to the
widths, and whether the pruned file runs with the outputs of the original: as many, of the same types and sizes (detectors
return as many boxes as they find), finite and not all equal.

With --exact each model also loses 4 of 10 channels of every unit whose removal can be exact (those that a layer takes mean and
variance over are left out, and counted), and must compute what the whole model computes with zeros in their place, within
1e-4 of the largest number of each output. Detectors select boxes by score, where rounding may change which: of them what goes
into the selections is compared as well, and an output only where it has as many boxes.
"""
import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime

import pruning_models

SELECTS = ("TopK", "NonMaxSuppression")


def session(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 2
    # Optimized graphs of large models take their weights twice.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run(path):
    """Outputs by name, for inputs that are the same for every file of the same sizes."""
    own = session(path)
    random = np.random.default_rng(0)
    feeds = {i.name: random.random([d if isinstance(d, int) else 1 for d in i.shape], np.float32) for i in own.get_inputs()}
    return dict(zip([o.name for o in own.get_outputs()], own.run(None, feeds)))


def with_selected(path):
    """The file with what goes into a selection by score as further outputs."""
    model = onnx.load(str(path), load_external_data=False)
    given = {o.name for o in model.graph.output} | {i.name for i in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in SELECTS:
            for name in node.input[:2 if node.op_type == "NonMaxSuppression" else 1]:
                if name not in given:
                    given.add(name)
                    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    out = path.with_suffix(".selected.onnx")
    onnx.save(model, str(out))
    return out


def exact(tool, model, folder):
    """The largest difference, relative to the largest output, and how many units lost channels and how many could not."""
    told = subprocess.run([tool, str(folder), str(model)], capture_output=True, text=True)
    small, zeros = folder / f"{model.stem}.small.onnx", folder / f"{model.stem}.zeros.onnx"
    if not small.exists():
        return "FAILED: " + (told.stdout + told.stderr).strip()[-300:]
    with_boxes = model.stem in pruning_models.DETECTORS
    if with_boxes:
        small, zeros = with_selected(small), with_selected(zeros)
    a, b = run(small), run(zeros)
    worst, compared = 0.0, 0
    for name, wanted in b.items():
        found = a[name]
        if wanted.dtype != np.float32 or wanted.size == 0:
            continue
        if found.shape != wanted.shape:
            if with_boxes:
                continue
            return f"FAILED: {name} is {found.shape} in place of {wanted.shape}"
        compared += 1
        difference = np.abs(found - wanted).max() / max(1.0, np.abs(wanted).max())
        worst = max(worst, difference)
    if compared == 0:
        return "FAILED: nothing could be compared"
    # What was selected differs where two scores are equal but for rounding; what it was selected from must not.
    pruned, left_out = re.search(r"(\d+) units pruned, (\d+) left out", told.stdout).groups()
    return f"{worst:.1e} ({pruned}, {left_out} left out)" if worst < 1e-4 else f"FAILED: differs by {worst:.1e}"


def check(args, name, model, folder):
    small = folder / "small.onnx"
    run_ = subprocess.run([args.occam, "prune", str(model), "--macs", "0.5", "-o", str(small), "--json"],
                          capture_output=True, text=True)
    if run_.returncode:
        return {"state": "FAILED: " + (run_.stdout + run_.stderr).strip()[-400:]}
    told = json.loads(run_.stdout.splitlines()[-1])
    before, after = told["before"]["macs"], told["after"]["macs"]
    row = {
        "units": told["of"], "prunable": len(told["units"]), "share": 1 - told["fixed"]["macs"] / before,
        "before": before, "after": after, "left": after / before,
        "trace": told["times"]["read"] + told["times"]["trace"],
        "decide": told["times"]["importance"] + told["times"]["solve"], "times": told["times"],
    }
    wanted, found = run(model), run(small)
    boxes = name in pruning_models.DETECTORS
    wrong = []
    if list(wanted) != list(found):
        wrong.append(f"outputs {list(found)} in place of {list(wanted)}")
    for key in set(wanted) & set(found):
        a, b = wanted[key], found[key]
        if a.dtype != b.dtype or (a.shape[1:] != b.shape[1:] if boxes else a.shape != b.shape):
            wrong.append(f"{key} is {b.dtype}{b.shape} in place of {a.dtype}{a.shape}")
        if b.dtype == np.float32 and (not np.isfinite(b).all() or (b.size > 1 and np.ptp(b) == 0)):
            wrong.append(f"{key} is not finite or all equal")
        if a.size and not b.size:
            wrong.append(f"{key} is empty")
    if after > 0.5 * before:
        wrong.append(f"{after / before:.4f} of the MACs are left")
    if args.exact:
        row["exact"] = exact(args.exact, model, folder)
        if row["exact"].startswith("FAILED"):
            wrong.append(row["exact"])
    return row | {"state": "FAILED: " + "; ".join(wrong) if wrong else "ok"}


HEAD = ["model", "units", "prunable", "share of MACs", "MACs", "after", "left", "file to units s", "to widths s", "exact", "result"]


def line(name, row):
    if "units" not in row:
        return [name] + [""] * (len(HEAD) - 2) + [row["state"]]
    return [name, str(row["units"]), str(row["prunable"]), f"{100 * row['share']:.1f} %", f"{row['before'] / 1e6:.0f} M",
            f"{row['after'] / 1e6:.0f} M", f"{row['left']:.4f}", f"{row['trace']:.3f}", f"{row['decide']:.3f}",
            row.get("exact", ""), row["state"]]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--occam", default="target/release/occam")
    parser.add_argument("--models", type=pathlib.Path, metavar="FOLDER")
    parser.add_argument("--exact", metavar="PROGRAM", help="the example `exact` of occam-space")
    parser.add_argument("--json", metavar="FILE", help="write the rows here too")
    parser.add_argument("names", nargs="*", metavar="MODEL")
    args = parser.parse_args()
    rows = {}
    print("| " + " | ".join(HEAD) + " |\n|" + "---|" * len(HEAD), flush=True)
    for name in args.names or pruning_models.by_size(pruning_models.LISTED) + pruning_models.MORE:
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            models = args.models or folder
            model = models / f"{name}.onnx"
            try:
                if not model.exists():
                    pruning_models.export_apart(name, models)
                rows[name] = check(args, name, model, folder)
            except Exception as error:  # one model that fails is a row of the table
                rows[name] = {"state": f"FAILED: {type(error).__name__}: {str(error)[:300]}"}
        print("| " + " | ".join(line(name, rows[name])) + " |", flush=True)
        if args.json:
            pathlib.Path(args.json).write_text(json.dumps(rows, indent=1) + "\n")
    good = sum(row["state"] == "ok" for row in rows.values())
    print(f"\n{good} of {len(rows)} models are pruned and run")
    sys.exit(0 if good == len(rows) else 1)


if __name__ == "__main__":
    main()
