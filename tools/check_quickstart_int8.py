#!/usr/bin/env python3
"""Quantize the models of a quickstart and run them in ONNX Runtime.

    python3 tools/check_quickstart_int8.py WORK [--occam FILE] [--data DIR]

Each model that WORK/summary.json names becomes one of 8 bit integers by `occam quantize`, on images of DIR (default: the part of
Fashion-MNIST that comes with the project), and another with 4 bit weights whose rounding is learned. ONNX Runtime, by its own
Python package, must classify the test images as well as the float file does: 8 bits at most 1 point worse, 4 bits at most
3 (a point is 20 of these images); and what it gives must be what Occam's simulation of the file gives (`occam test --runtime occam`): the same class for at
least 99 % of the images. Exits 1 where something does not hold. Needs numpy and onnxruntime.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench"))
from ptq import GREY_MEAN, GREY_STD, grey  # noqa: E402


def classes(path, images):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: images[i : i + 500]})[0].argmax(1) for i in range(0, len(images), 500)])


def simulated(args, path, images):
    name = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).get_inputs()[0].name
    np.savez(args.work / "int8.in.npz", **{name: images})
    run = [args.occam, "run", path, "--inputs", args.work / "int8.in.npz", "--outputs", args.work / "int8.out.npz"]
    subprocess.run([str(a) for a in run], check=True, stdout=subprocess.DEVNULL)
    with np.load(args.work / "int8.out.npz") as out:
        return out[out.files[0]].argmax(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--occam", type=Path, default=ROOT / "target/release/occam")
    parser.add_argument("--data", type=Path, default=ROOT / "data/fashion-mnist-small")
    args = parser.parse_args()
    images, labels = grey(args.data, "t10k")
    images = images.astype(np.float32)
    good = True
    for model in json.loads((args.work / "summary.json").read_text())["models"]:
        path = args.work / model["file"]
        exact = 100 * float((classes(path, images) == labels).mean())
        forms = {"8 bits": ([], 1.0), "4 bits": (["--bits", "4", "--rounding", "adaround", "--iterations", "2000"], 3.0)}
        for form, (flags, allowed) in forms.items():
            output = path.with_suffix(f".{form[0]}bit.onnx")
            command = [args.occam, "quantize", path, "--data", args.data, "--mean", GREY_MEAN, "--std", GREY_STD,
                       "--samples", "200", "--no-measure", *flags, "-o", output]
            subprocess.run([str(a) for a in command], check=True, stdout=subprocess.DEVNULL)
            found = classes(output, images)
            top = 100 * float((found == labels).mean())
            same = 100 * float((found == simulated(args, output, images)).mean())
            print(f"{model['name']:18} {exact:.2f} %, {form} {top:.2f} %, as simulated for {same:.1f} %", flush=True)
            good = good and top >= exact - allowed and same >= 99
    sys.exit(not good)


if __name__ == "__main__":
    main()
