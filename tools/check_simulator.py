#!/usr/bin/env python3
"""Count where `occam run --integers` and ONNX Runtime differ on quantized models.

    cargo build --release
    python3 tools/check_simulator.py OCCAM MODEL.onnx ... [--images N] [--quantized]

MODEL.onnx are float models of images, which are quantized here with onnxruntime.quantization (unsigned activations, signed
weights with a scale a channel; calibrated on noise), or quantized files with --quantized. All values that are rounded become
outputs, so that each layer's integers are compared, on N random images. Prints a line for every model and exits 1 where an
integer differs. Needs numpy, onnx and onnxruntime.
"""

import argparse
import logging
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

# Its warnings are of layers whose scales need no axis.
logging.disable(logging.WARNING)

INTEGERS = (TensorProto.UINT8, TensorProto.INT8)


def quantize(path, target, folder):
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Noise(CalibrationDataReader):
        def __init__(self, name, shape):
            rng = np.random.default_rng(0)
            self.rest = iter([{name: rng.standard_normal(shape).astype(np.float32)} for _ in range(4)])

        def get_next(self):
            return next(self.rest, None)

    prepared = Path(folder) / "prepared.onnx"
    quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
    name, shape = image_input(onnx.load(prepared))
    quantize_static(
        str(prepared), str(target), Noise(name, shape), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)


def image_input(model):
    """Name and shape of the input; sizes that are left open are 1, of images 224."""
    given = {t.name for t in model.graph.initializer}
    value = next(v for v in model.graph.input if v.name not in given)
    dims = [d.dim_value for d in value.type.tensor_type.shape.dim]
    return value.name, [d or (224 if i > 1 else 1) for i, d in enumerate(dims)]


def expose(path, target):
    """Makes every rounded value an output, and gives their names."""
    model = onnx.load(path)
    weights = {t.name for t in model.graph.initializer}
    types = {t.name: t.data_type for t in model.graph.initializer}
    known = {o.name for o in model.graph.output}
    names = []
    for node in model.graph.node:
        if node.op_type != "QuantizeLinear" or node.input[0] in weights or node.output[0] in known:
            continue
        kind = types.get(node.input[2], TensorProto.UINT8) if len(node.input) > 2 else TensorProto.UINT8
        if kind in INTEGERS:
            names.append(node.output[0])
            model.graph.output.append(helper.make_tensor_value_info(node.output[0], kind, None))
    onnx.save(model, target)
    return names


def check(occam, path, images, folder):
    name, shape = image_input(onnx.load(path))
    file = Path(folder) / "exposed.onnx"
    names = expose(path, file)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    sessions = [onnxruntime.InferenceSession(str(p), options, providers=["CPUExecutionProvider"]) for p in (path, file)]
    differ, total, layers, floats, rng = 0, 0, {}, 0.0, np.random.default_rng(1)
    for _ in range(images):
        image = rng.standard_normal(shape).astype(np.float32)
        np.savez(Path(folder) / "in.npz", **{name: image})
        subprocess.run(
            [occam, "run", file, "--integers", "x86-vnni", "--inputs", Path(folder) / "in.npz", "--outputs",
             Path(folder) / "out.npz"], check=True, stdout=subprocess.DEVNULL)
        found = np.load(Path(folder) / "out.npz")
        wanted = dict(zip([o.name for o in sessions[1].get_outputs()], sessions[1].run(None, {name: image})))
        for key in names:
            wrong = int((found[key] != wanted[key]).sum())
            differ, total = differ + wrong, total + wanted[key].size
            if wrong:
                layers[key] = layers.get(key, 0) + wrong
        # What the file gives as it is, without the outputs that were added.
        for output, array in zip(sessions[0].get_outputs(), sessions[0].run(None, {name: image})):
            floats = max(floats, float(np.abs(array - found[output.name]).max() / max(np.abs(array).max(), 1e-30)))
    return differ, total, layers, floats, len(names)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("occam")
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--quantized", action="store_true")
    arguments = parser.parse_args()
    failed = False
    for path in arguments.models:
        with tempfile.TemporaryDirectory() as folder:
            try:
                file = path
                if not arguments.quantized:
                    file = Path(folder) / "quantized.onnx"
                    quantize(path, file, folder)
                differ, total, layers, floats, count = check(arguments.occam, file, arguments.images, folder)
                first = next(iter(layers), None)
                where = f", first in {first}; in {len(layers)} values" if first else ""
                print(f"{'FAIL' if differ else 'ok  '} {path.stem}: {differ} of {total} integers of {count} values differ"
                      f"{where}; outputs differ by {floats:.1e}", flush=True)
                failed |= differ > 0
            except Exception as error:  # every model is reported, whatever goes wrong in it
                print(f"FAIL {path.stem}: {type(error).__name__}: {error}", flush=True)
                failed = True
    print(f"onnxruntime {onnxruntime.__version__}, {len(arguments.models)} models")
    sys.exit(failed)


if __name__ == "__main__":
    main()
