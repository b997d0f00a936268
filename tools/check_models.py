#!/usr/bin/env python3
"""Check in ONNX Runtime that exported models compute what Occam's executor computes.

    cargo run --release --example export_models FOLDER
    python3 tools/check_models.py FOLDER

FOLDER holds NAME.onnx, and NAME.safetensors with an `input` and the `output` for it. Prints a line for every model and
exits 1 if one differs by more than 1e-4 of the largest output. Needs numpy, onnx, onnxruntime and safetensors.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from safetensors.numpy import load_file

TOLERANCE = 1e-4


def check(path):
    """The largest difference relative to the largest output, and a description of the model."""
    onnx.checker.check_model(str(path), full_check=True)
    arrays = load_file(path.with_suffix(".safetensors"))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    difference = 0.0
    for batch in (1, len(arrays["input"])):
        found, = session.run(None, {name: arrays["input"][:batch]})
        wanted = arrays["output"][:batch]
        if found.shape != wanted.shape:
            raise ValueError(f"output {found.shape}, wanted {wanted.shape}")
        difference = max(difference, float(np.abs(found - wanted).max() / np.abs(wanted).max()))
    nodes = len(onnx.load(path, load_external_data=False).graph.node)
    return difference, f"{nodes} nodes, input {list(arrays['input'].shape)}"


def main(folder):
    paths = sorted(Path(folder).glob("*.onnx"))
    failed = not paths
    for path in paths:
        try:
            difference, about = check(path)
            fits = difference <= TOLERANCE
            print(f"{'ok  ' if fits else 'FAIL'} {path.stem}: {difference:.1e}; {about}")
        except Exception as error:  # every model is reported, whatever goes wrong in it
            fits = False
            print(f"FAIL {path.stem}: {type(error).__name__}: {error}")
        failed |= not fits
    print(f"onnxruntime {onnxruntime.__version__}, {len(paths)} models")
    sys.exit(failed)


if __name__ == "__main__":
    main(sys.argv[1])
