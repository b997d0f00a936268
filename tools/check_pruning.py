#!/usr/bin/env python3
"""Prunes every model of torchvision that Torch-Pruning lists to half its MACs and runs the result in ONNX Runtime.

    tools/check_pruning.py [--occam target/release/occam] [--largest 400] [MODEL ..]

Needs torch, torchvision and onnxruntime. Weights are random. For each model: units, how many can be pruned, the part of the
MACs that is left, seconds for the whole command, and the shapes of outputs before and after, which must be equal. The file with
zeros in place of what goes is compared by the project's own tests.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import onnxruntime
import torch
import torchvision

warnings.filterwarnings("ignore")
CLASSIFIERS = [
    m for m in torchvision.models.list_models(module=torchvision.models) if not m.startswith(("quantized", "raft"))
]
SEGMENTERS = torchvision.models.list_models(module=torchvision.models.segmentation)
DETECTORS = ["ssd300_vgg16", "ssdlite320_mobilenet_v3_large", "retinanet_resnet50_fpn", "fasterrcnn_resnet50_fpn",
             "fasterrcnn_mobilenet_v3_large_320_fpn", "fcos_resnet50_fpn"]


def export(name, path):
    torch.manual_seed(0)
    options = {"weights": None}
    if name in SEGMENTERS + DETECTORS:
        options["weights_backbone"] = None
    if name in ("googlenet", "inception_v3"):
        options.update(init_weights=False, aux_logits=False)
    model = torchvision.models.get_model(name, **options).eval()
    size = 299 if name == "inception_v3" else 320 if name in DETECTORS else 224
    images = torch.rand(1, 3, size, size)
    argument = ([images[0]],) if name in DETECTORS else (images,)
    torch.onnx.export(model, argument, path, dynamo=False, opset_version=17)
    return images


def outputs(path, images):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    x = images.numpy()
    return session.run(None, {given.name: x[0] if len(given.shape) == 3 else x})


def check(occam, name, folder, largest):
    path, small = str(folder / "model.onnx"), str(folder / "small.onnx")
    images = export(name, path)
    megabytes = pathlib.Path(path).stat().st_size / 1e6
    if megabytes > largest:
        return f"{megabytes:.0f} MB, more than --largest"
    units = json.loads(subprocess.run([occam, "inspect", path, "--units", "--json"], check=True, capture_output=True).stdout)
    run = subprocess.run([occam, "prune", path, "--macs", "0.5", "-o", small, "--json"], capture_output=True, text=True)
    if run.returncode:
        return "FAILED: " + (run.stdout + run.stderr).strip()[-300:]
    told = json.loads(run.stdout)
    part = told["after"]["macs"] / told["before"]["macs"]
    before, after = outputs(path, images), outputs(small, images)
    # Detectors return as many boxes as they find.
    same = all(a.shape[1:] == b.shape[1:] if name in DETECTORS else a.shape == b.shape for a, b in zip(before, after))
    finite = all(np.isfinite(a).all() for a in after if a.dtype == np.float32)
    state = "ok" if same and len(before) == len(after) and finite and part <= 0.5 else "FAILED"
    return f"{state}: {len(units['units'])} units, {units['prunable']} prunable, {part:.4f} of MACs, {told['seconds']:.2f} s"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--occam", default="target/release/occam")
    parser.add_argument("--largest", type=float, default=400, help="models of more megabytes are left out")
    parser.add_argument("models", nargs="*")
    args = parser.parse_args()
    failed = 0
    for name in args.models or CLASSIFIERS + SEGMENTERS + DETECTORS:
        with tempfile.TemporaryDirectory() as folder:
            try:
                result = check(args.occam, name, pathlib.Path(folder), args.largest)
            except Exception as error:  # one model that cannot be exported is a row of the table
                result = f"FAILED: {type(error).__name__}: {str(error)[:200]}"
        failed += result.startswith("FAILED")
        print(f"{name}: {result}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
