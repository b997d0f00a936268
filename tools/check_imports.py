#!/usr/bin/env python3
"""Import torchvision's models as PyTorch exports them, run them, write them and run what was written in ONNX Runtime.

    python tools/check_imports.py [--only resnet18 ..] [--exporter legacy|dynamo] [--detection] [--json]

For every classification family of torchvision (random weights, seed 0), by both exporters of PyTorch: ONNX Runtime's outputs
on random images are what `occam run` and `occam run --engine` must give within 1e-4 of the largest element, and the file
that `occam convert` writes from it must give the same in ONNX Runtime. With `--detection` the detection and segmentation
models instead, which are imported and run, as far as PyTorch exports them: torch.export refuses torchvision's detectors, since
what they compute depends on how many boxes there are. Needs torch, torchvision, onnx, onnxscript, onnxruntime and a release build, or
the program that the variable OCCAM names.
Exits 1 where one fails.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import torchvision
from torchvision.ops import FrozenBatchNorm2d

ROOT = Path(__file__).resolve().parent.parent
OCCAM = Path(os.environ.get("OCCAM", ROOT / "target" / "release" / "occam"))
TOLERANCE = 1e-4

# The smallest of every family; `--all` takes every model.
FAMILIES = [
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet", "inception_v3",
    "maxvit_t", "mnasnet1_0", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small", "regnet_x_400mf", "regnet_y_400mf",
    "resnet18", "resnet50", "resnext50_32x4d", "shufflenet_v2_x1_0", "squeezenet1_0", "squeezenet1_1", "swin_t", "swin_v2_t",
    "vgg11", "vgg11_bn", "vit_b_16", "wide_resnet50_2",
]  # fmt: skip
DETECTION = [
    "fasterrcnn_resnet50_fpn", "fasterrcnn_mobilenet_v3_large_320_fpn", "retinanet_resnet50_fpn",
    "ssdlite320_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large", "deeplabv3_resnet50", "fcn_resnet50",
    "lraspp_mobilenet_v3_large",
]  # fmt: skip


def model(name):
    torch.manual_seed(0)
    options = {"weights": None}
    if name in DETECTION:
        options["weights_backbone"] = None
    if name in ("googlenet", "inception_v3"):
        options["init_weights"] = True
    built = torchvision.models.get_model(name, **options).eval()
    # Some layers begin as zeros, and would hide what is before them.
    for p in built.parameters():
        if p.dim() > 1 and not p.any():
            torch.nn.init.normal_(p, std=0.02)
    # Fresh networks shrink their signal to nothing; statistics of their own keep it of size 1.
    calibrate(built, size(name))
    if name in DETECTION:
        spread(built, size(name))
    return built


def calibrate(built, side):
    # Norms that are frozen learn statistics as others, and are frozen again.
    frozen = [(p, n, m) for p in built.modules() for n, m in p.named_children() if isinstance(m, FrozenBatchNorm2d)]
    for parent, child, norm in frozen:
        setattr(parent, child, torch.nn.BatchNorm2d(norm.weight.numel(), eps=norm.eps))
    norms = [m for m in built.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    if not norms:
        return
    for m in norms:
        m.train()
        m.momentum = None
    # Images that differ, or what is normalized after pooling would be divided by nearly nothing.
    x = torch.rand(8, 3, side, side) * torch.linspace(0.2, 1.0, 8).view(8, 1, 1, 1)
    with torch.no_grad():
        backbone = getattr(built, "backbone", built)
        backbone(x)
    for parent, child, norm in frozen:
        learned = getattr(parent, child)
        norm.running_mean.copy_(learned.running_mean)
        norm.running_var.copy_(learned.running_var)
        setattr(parent, child, norm)
    built.eval()


def spread(built, side):
    """Makes the scores and boxes of a detector differ from place to place, as those of a trained one do.

    Fresh heads give all boxes nearly one score, and which of them come first is then a matter of rounding.
    """
    heads = {"cls_logits": 2.0, "cls_score": 2.0, "bbox_pred": 0.2, "bbox_reg": 0.2}
    found = [(m, size) for n, m in built.named_modules() for k, size in heads.items() if n.endswith(k) and hasattr(m, "weight")]
    for layer, deviation in found:
        outputs = []
        hook = layer.register_forward_hook(lambda _m, _i, y, outputs=outputs: outputs.append(y.flatten()))
        with torch.no_grad():
            built([picture(side)])
            layer.weight.mul_(deviation / max(torch.cat(outputs).std().item(), 1e-6))
        hook.remove()


def picture(side, seed=0):
    """An image that differs from place to place."""
    rng = torch.Generator().manual_seed(seed)
    parts = [torch.rand(1, 3, n, n, generator=rng) for n in (3, 9, 27, 81)]
    whole = sum(torch.nn.functional.interpolate(p, (side, side), mode="bicubic") for p in parts) / len(parts)
    return whole[0].clamp(0, 1)


def size(name):
    return {"inception_v3": 299, "ssdlite320_mobilenet_v3_large": 320, "fasterrcnn_mobilenet_v3_large_320_fpn": 320}.get(name, 224)


class Plain(torch.nn.Module):
    """A segmentation model whose dict of outputs is a tuple."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return tuple(self.inner(x).values())


def export(name, exporter, path):
    built = model(name)
    side = size(name)
    detection = name in DETECTION
    if detection and ("deeplab" in name or "fcn" in name or "raspp" in name):
        built = Plain(built)
    x = picture(side)[None] if detection else torch.rand(2, 3, side, side)
    argument = ([x[0]],) if detection and not isinstance(built, Plain) else (x,)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if exporter == "legacy":
            axes = None if detection else {"input": {0: "batch"}, "output": {0: "batch"}}
            names = {} if detection else {"output_names": ["output"]}
            torch.onnx.export(built, argument, path, dynamo=False, input_names=["input"], dynamic_axes=axes, opset_version=17, **names)
        else:
            shapes = None if detection else ({0: torch.export.Dim("batch")},)
            torch.onnx.export(built, argument, path, dynamo=True, input_names=["input"], dynamic_shapes=shapes, external_data=False, verbose=False)


def occam(*arguments):
    start = time.perf_counter()
    done = subprocess.run([OCCAM, *map(str, arguments), "--json"], capture_output=True, text=True, timeout=900)
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    last = told[-1] if told else {}
    if done.returncode != 0:
        raise RuntimeError(last.get("message") or done.stderr.strip().splitlines()[-1:] or "failed")
    return last | {"wall": time.perf_counter() - start}


def difference(found, wanted):
    if found.shape != wanted.shape:
        return float("inf")
    if wanted.size == 0:
        return 0.0
    largest = np.abs(wanted).max() or 1.0
    return float(np.abs(found.astype("f8") - wanted.astype("f8")).max() / largest)


def detections(found, wanted):
    """The share of ONNX Runtime's detections that are among the found ones: same label, score and box but for rounding.

    Untrained models give many boxes of nearly one score, of which rounding decides which come first and which suppress which.
    """
    kinds = {len(v.shape): k for k, v in wanted.items()}
    boxes = kinds[2]
    others = [k for k in wanted if k != boxes]
    labels = next(k for k in others if wanted[k].dtype == np.int64)
    scores = next(k for k in others if wanted[k].dtype == np.float32)
    hits = 0
    for box, label, score in zip(wanted[boxes], wanted[labels], wanted[scores]):
        near = (found[labels] == label) & (np.abs(found[scores] - score) <= 1e-4)
        near &= np.abs(found[boxes] - box).max(axis=1, initial=0) <= 0.05
        hits += bool(near.any())
    return hits / max(len(wanted[scores]), 1)


def check(name, exporter, work):
    """A row of the table; raises where something does not hold."""
    path = work / "model.onnx"
    try:
        export(name, exporter, path)
    except Exception as error:  # noqa: BLE001: what PyTorch cannot export is not a matter of importing
        if name not in DETECTION:
            raise
        return {"model": name, "exporter": exporter, "not_exported": str(error).splitlines()[0][:120]}
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    inputs = {}
    for value in session.get_inputs():
        shape = [d if isinstance(d, int) else 2 for d in value.shape]
        drawn = rng.random(shape, dtype="f4")
        inputs[value.name] = picture(shape[-1], 1).numpy().reshape(shape) if name in DETECTION else drawn
    names = [o.name for o in session.get_outputs()]
    wanted = dict(zip(names, session.run(None, inputs)))
    np.savez(work / "in.npz", **inputs)
    row = {"model": name, "exporter": exporter}
    ran = occam("run", path, "--inputs", work / "in.npz", "--outputs", work / "out.npz")
    row["import_ms"], row["run_ms"] = ran["import_ms"], ran["run_ms"]
    found = np.load(work / "out.npz")
    if name.startswith(("fasterrcnn", "retinanet", "ssd")):
        row["detections"] = detections(found, wanted)
        return row
    row["interpreter"] = max(difference(found[n], wanted[n]) for n in names)
    if name in DETECTION:
        return row
    occam("run", path, "--engine", "--inputs", work / "in.npz", "--outputs", work / "engine.npz")
    found = np.load(work / "engine.npz")
    row["engine"] = max(difference(found[n], wanted[n]) for n in names)
    for kind, options in (("as_is", ["--as-is"]), ("recognized", [])):
        again = work / f"{kind}.onnx"
        occam("convert", path, again, *options)
        session = onnxruntime.InferenceSession(again, providers=["CPUExecutionProvider"])
        found = dict(zip([o.name for o in session.get_outputs()], session.run(None, inputs)))
        row[kind] = max(difference(found[n], wanted[n]) for n in names)
    told = occam("inspect", path)
    row["macs"], row["params"], row["kept"] = told["total"]["macs"], told["total"]["params"], told["kept"]
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--exporter", choices=["legacy", "dynamo"])
    parser.add_argument("--detection", action="store_true")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    names = args.only or (DETECTION if args.detection else FAMILIES)
    exporters = [args.exporter] if args.exporter else ["legacy", "dynamo"]
    failed = 0
    for name in names:
        for exporter in exporters:
            with tempfile.TemporaryDirectory() as folder:
                try:
                    row = check(name, exporter, Path(folder))
                except Exception as error:  # noqa: BLE001: whatever went wrong is a line of the table
                    row = {"model": name, "exporter": exporter, "error": str(error)[:300]}
            figures = [row.get(k) for k in ("interpreter", "engine", "as_is", "recognized") if k in row]
            bad = "error" in row or any(not f <= TOLERANCE for f in figures) or row.get("detections", 1) < 0.95
            failed += bad
            if args.json:
                print(json.dumps(row), flush=True)
                continue
            cells = " ".join(f"{k} {row[k]:.1e}" for k in ("interpreter", "engine", "as_is", "recognized") if k in row)
            cells += f"detections found {row['detections']:.0%}" if "detections" in row else ""
            times = f"import {row['import_ms']:.0f} ms run {row['run_ms']:.0f} ms" if "import_ms" in row else ""
            cells += f"not exported by PyTorch: {row['not_exported']}" if "not_exported" in row else ""
            print(f"{'FAIL' if bad else 'ok  '} {name:32} {exporter:6} {cells} {times} {row.get('kept', '')} {row.get('error', '')}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
