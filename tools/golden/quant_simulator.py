#!/usr/bin/env python3
"""Make tests/golden/quant/simulator.onnx and simulator.npz: a quantized model of many operators, and the integers that ONNX
Runtime gives for each of its rounded values on a random image.

    python3 tools/golden/quant_simulator.py

Needs numpy, onnx and onnxruntime 1.32 on a processor with VNNI.
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

FOLDER = Path(__file__).resolve().parents[2] / "tests" / "golden" / "quant"
SHAPE = (2, 3, 16, 16)


def model():
    rng = np.random.default_rng(0)
    nodes, weights = [], []

    def weight(name, *shape, scale=0.3):
        weights.append(numpy_helper.from_array((rng.standard_normal(shape) * scale).astype(np.float32), name))
        return name

    def node(op, inputs, output, **attributes):
        nodes.append(helper.make_node(op, inputs, [output], name=f"{op}_{output}", **attributes))
        return output

    def conv(x, y, out, inp, kernel, groups=1, stride=1):
        w = weight(f"{y}.w", out, inp // groups, kernel, kernel)
        b = weight(f"{y}.b", out)
        pad = kernel // 2
        return node("Conv", [x, w, b], y, kernel_shape=[kernel] * 2, pads=[pad] * 4, group=groups, strides=[stride] * 2)

    x = node("Relu", [conv("x", "c1", 8, 3, 3, stride=2)], "r1")
    pooled = node("MaxPool", [x], "mp", kernel_shape=[3, 3], pads=[1] * 4, strides=[1, 1])
    weights.append(numpy_helper.from_array(np.float32(0), "zero"))
    weights.append(numpy_helper.from_array(np.float32(6), "six"))
    depth = node("Clip", [conv(pooled, "c2", 8, 8, 3, groups=8), "zero", "six"], "r2")
    grouped = conv(depth, "c3", 8, 8, 3, groups=2)
    total = node("Relu", [node("Add", [grouped, x], "a1")], "r3")
    gate = node("Sigmoid", [conv(node("GlobalAveragePool", [total], "g1"), "c4", 8, 8, 1)], "s1")
    scaled = node("Mul", [total, gate], "m1")
    leaky = node("LeakyRelu", [conv(scaled, "c5", 4, 8, 1)], "l1", alpha=0.1)
    averaged = node("AveragePool", [scaled], "ap", kernel_shape=[3, 3], pads=[1] * 4, strides=[1, 1])
    joined = node("Concat", [leaky, averaged], "cc", axis=1)
    turned = node("Transpose", [joined], "t1", perm=[0, 2, 3, 1])
    product = node("MatMul", [turned, weight("mw", 12, 6)], "mm")
    soft = node("Softmax", [product], "sm", axis=-1)
    weights.append(numpy_helper.from_array(np.array([2, -1], np.int64), "flat"))
    rows = node("Reshape", [soft, "flat"], "rs")
    node("Gemm", [rows, weight("gw", 5, 384, scale=0.5), weight("gb", 5)], "y", transB=1)
    graph = helper.make_graph(
        nodes, "simulator", [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (2, 5))], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


class Noise(CalibrationDataReader):
    def __init__(self):
        rng = np.random.default_rng(1)
        self.rest = iter([{"x": rng.standard_normal(SHAPE).astype(np.float32)} for _ in range(4)])

    def get_next(self):
        return next(self.rest, None)


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    file = FOLDER / "simulator.onnx"
    onnx.save(model(), "/tmp/simulator_float.onnx")
    quantize_static(
        "/tmp/simulator_float.onnx", str(file), Noise(), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
    quantized = onnx.load(file)
    known = {t.name for t in quantized.graph.initializer}
    for n in quantized.graph.node:
        if n.op_type == "QuantizeLinear" and n.input[0] not in known:
            quantized.graph.output.append(helper.make_tensor_value_info(n.output[0], TensorProto.UINT8, None))
    onnx.save(quantized, file)
    image = np.random.default_rng(2).standard_normal(SHAPE).astype(np.float32)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = "/tmp/simulator_fused.onnx"
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    np.savez(FOLDER / "simulator.npz", x=image, **dict(zip(names, session.run(None, {"x": image}))))
    print([n.op_type for n in onnx.load("/tmp/simulator_fused.onnx").graph.node])
    print(len(names), "values", onnxruntime.__version__)


if __name__ == "__main__":
    main()
