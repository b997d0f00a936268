"""Writes `onnx/quantized.onnx`, a network by ONNX Runtime's quantizer (QOperator), and `onnx/quantized.npz`, its input `x` and every
value that ONNX Runtime computes. Needs onnx 1.23 and onnxruntime 1.32; equal bytes on equal versions."""

import os

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, ValueInfoProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

FOLDER = os.path.join(os.path.dirname(__file__), "../../tests/golden/onnx")
RNG = np.random.default_rng(0)


def drawn(*shape, scale=None):
    return (RNG.standard_normal(shape) * (scale or np.prod(shape[1:]) ** -0.5)).astype(np.float32)


def network():
    node = helper.make_node
    weights = {
        "w1": drawn(8, 3, 3, 3),
        "b1": drawn(8, scale=0.1),
        "w2": drawn(8, 8, 3, 3),
        "b2": drawn(8, scale=0.1),
        "wf": drawn(10, 16),
        "bf": drawn(10, scale=0.1),
        "wm": drawn(10, 6),
    }
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
        node("LeakyRelu", ["c1"], ["l1"], alpha=0.1),
        node("Conv", ["l1", "w2", "b2"], ["c2"], pads=[1, 1, 1, 1]),
        node("Sigmoid", ["c2"], ["s"]),
        node("Mul", ["c2", "s"], ["m"]),
        node("Add", ["m", "l1"], ["a"]),
        node("AveragePool", ["a"], ["p"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("AveragePool", ["l1"], ["p2"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Concat", ["p", "p2"], ["cc"], axis=1),
        node("GlobalAveragePool", ["cc"], ["g"]),
        node("Flatten", ["g"], ["fl"]),
        node("Gemm", ["fl", "wf", "bf"], ["ge"], transB=1),
        node("MatMul", ["ge", "wm"], ["mm"]),
        node("Softmax", ["mm"], ["y"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 12, 12])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 6])],
        initializer=[numpy_helper.from_array(v, k) for k, v in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


class Batches(CalibrationDataReader):
    def __init__(self):
        self.batches = iter([{"x": drawn(4, 3, 12, 12, scale=1)} for _ in range(6)])

    def get_next(self):
        return next(self.batches, None)


def main():
    path = os.path.join(FOLDER, "quantized.onnx")
    quantize_static(
        network(),
        path,
        Batches(),
        quant_format=QuantFormat.QOperator,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    model = onnx.load(path)
    named = {o.name for o in model.graph.output}
    for name in (o for n in model.graph.node for o in n.output if o not in named):
        model.graph.output.append(ValueInfoProto(name=name))
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options)
    x = drawn(2, 3, 12, 12, scale=1)
    values = session.run(None, {"x": x})
    np.savez_compressed(
        os.path.join(FOLDER, "quantized.npz"), x=x, **{o.name: v for o, v in zip(session.get_outputs(), values)}
    )


main()
