#!/usr/bin/env python3
"""Check what the quickstart's summary claims.

    python3 tools/check_quickstart.py WORK

The distilled student must beat the student alone, in the mean over the seeds that both were trained with; the exported
files must be well-formed ONNX with an open batch. Prints the figures and exits 1 where something does not hold. Needs
onnx.
"""

import json
import statistics
import sys
from pathlib import Path

import onnx


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    work = Path(sys.argv[1])
    summary = json.loads((work / "summary.json").read_text())
    models = {model["name"]: model for model in summary["models"]}
    alone, taught = models["student"], models["student distilled"]
    if alone["seeds"] != taught["seeds"]:
        sys.exit(f"different seeds: {alone['seeds']} and {taught['seeds']}")
    gains = [b - a for a, b in zip(alone["top1_seeds"], taught["top1_seeds"])]
    mean, spread = statistics.mean(gains), statistics.stdev(gains)
    print(f"distillation gains {mean:+.2f} ± {spread:.2f} points over seeds {alone['seeds']}")
    good = mean > 0
    for model in models.values():
        proto = onnx.load(work / model["file"])
        onnx.checker.check_model(proto, full_check=True)
        batch = proto.graph.input[0].type.tensor_type.shape.dim[0]
        opset = proto.opset_import[0].version
        print(f"{model['file']}: opset {opset}, batch {batch.dim_param or batch.dim_value}")
        good = good and bool(batch.dim_param)
    sys.exit(not good)


if __name__ == "__main__":
    main()
