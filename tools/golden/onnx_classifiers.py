"""Small classifiers as a user brings them, and what ONNX Runtime or PyTorch makes of them: tests/golden/onnx/.

    python tools/golden/onnx_classifiers.py

All take images of 1x28x28 and know 10 classes. `classifier.onnx` is made for one image, has it in a `Reshape`, has batch
normalization and ends in a `Softmax`; `classifier_f16.onnx` is the same in half precision; `tokens.onnx` is a transformer
with a learned token, made for one image; `classifier_qdq.onnx` fakes quantization of weights and activations.
`classifiers.npz` has three images, and what the models make of them. Needs torch, onnx and onnxruntime.
"""

import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.transformers.float16 import convert_float_to_float16
from torch import nn

FOLDER = Path(__file__).resolve().parent.parent.parent / "tests" / "golden" / "onnx"


class Classifier(nn.Module):
    def __init__(self, last=True):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 12, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(12, eps=1e-3, momentum=0.2)
        self.pool = nn.AvgPool2d(2)
        self.fc = nn.Linear(12 * 9, 10)
        self.last = last

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        x = self.pool(torch.relu(self.bn2(self.conv2(x))))
        x = self.fc(x.view(int(x.shape[0]), -1))
        return torch.softmax(x, 1) if self.last else x


class Tokens(nn.Module):
    def __init__(self, width=8, heads=2):
        super().__init__()
        self.patch = nn.Conv2d(1, width, 7, stride=7)
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.position = nn.Parameter(torch.randn(1, 17, width))
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.head = nn.Linear(width, 10)
        self.heads = heads

    def forward(self, x):
        n = int(x.shape[0])
        x = self.patch(x).reshape(n, 8, 16).transpose(1, 2)
        x = torch.cat([self.token.expand(n, -1, -1), x], 1) + self.position
        # Tokens come first and images second, heads beside images, as nn.MultiheadAttention has them.
        q, k, v = self.qkv(self.norm(x)).transpose(0, 1).chunk(3, 2)
        q, k, v = (t.reshape(17, n * self.heads, 4).transpose(0, 1) for t in (q, k, v))
        y = torch.softmax(q @ k.transpose(1, 2) / 2, 2) @ v
        y = self.out(y.transpose(0, 1).reshape(17 * n, 8)).reshape(17, n, 8)
        x = x + y.transpose(0, 1)
        return self.head(x[:, 0])


def export(model, name, output):
    torch.onnx.export(
        model, (torch.rand(1, 1, 28, 28),), FOLDER / name, dynamo=False, opset_version=17, input_names=["image"],
        output_names=[output], training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False,
    )  # fmt: skip
    proto = onnx.load(FOLDER / name)
    onnx.helper.set_model_props(proto, {"labels": "fashion", "made": "for a test"})
    proto.graph.node[0].doc_string = "the first"
    onnx.save(proto, FOLDER / name)
    return proto


def quantized(model):
    """Convolution and linear layer with weights and inputs that are rounded to 8 bits and back."""
    nodes, initializers = [], []

    def constant(name, array):
        initializers.append(numpy_helper.from_array(array, name))
        return name

    def fake(name, value, scale, zero, axis=None):
        attributes = {} if axis is None else {"axis": axis}
        pair = [constant(f"{name}.scale", scale), constant(f"{name}.zero", zero)]
        nodes.append(helper.make_node("QuantizeLinear", [value, *pair], [f"{name}.q"], f"{name}.quantize", **attributes))
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}.q", *pair], [f"{name}.dq"], f"{name}.dequantize", **attributes))
        return f"{name}.dq"

    def weight(name, tensor):
        array = tensor.detach().numpy()
        # The largest elements of every channel lie outside of the range.
        scale = (np.abs(array.reshape(array.shape[0], -1)).max(1) / 150).astype(np.float32)
        return fake(name, constant(name, array), scale, np.zeros(array.shape[0], np.int8), 0)

    x = fake("image", "image", np.float32(1 / 64), np.uint8(128))
    kernel = weight("conv1.weight", model.conv1.weight)
    nodes.append(helper.make_node("Conv", [x, kernel], ["conv1.out"], "conv1", pads=[1] * 4, strides=[2] * 2))
    nodes.append(helper.make_node("Relu", ["conv1.out"], ["relu.out"], "relu"))
    y = fake("relu", "relu.out", np.float32(1 / 256), np.uint8(0))
    nodes.append(helper.make_node("GlobalAveragePool", [y], ["pool.out"], "pool"))
    nodes.append(helper.make_node("Flatten", ["pool.out"], ["flat.out"], "flat"))
    fc = nn.Linear(8, 10)
    bias = constant("fc.bias", fc.bias.detach().numpy())
    nodes.append(helper.make_node("Gemm", ["flat.out", weight("fc.weight", fc.weight), bias], ["scores"], "fc", transB=1))
    images = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 28, 28])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 10])
    graph = helper.make_graph(nodes, "quantized", [images], [scores], initializers)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(proto)
    onnx.save(proto, FOLDER / "classifier_qdq.onnx")


def run(name, images):
    session = onnxruntime.InferenceSession(FOLDER / name, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    images = images.astype(np.float16 if "float16" in given.type else np.float32)
    return np.concatenate([session.run(None, {given.name: image[None]})[0] for image in images]).astype(np.float32)


def main():
    torch.manual_seed(0)
    warnings.simplefilter("ignore")
    images = torch.randn(3, 1, 28, 28)
    model, tokens = Classifier(), Tokens()
    with torch.no_grad():
        for _ in range(8):
            model(torch.randn(16, 1, 28, 28))
    model.eval(), tokens.eval()
    proto = export(model, "classifier.onnx", "probabilities")
    export(tokens, "tokens.onnx", "scores")
    half = convert_float_to_float16(proto, keep_io_types=True)
    onnx.save(half, FOLDER / "classifier_f16.onnx")
    quantized(model)
    arrays = {"images": images.numpy()}
    for name in ("classifier", "classifier_f16", "tokens", "classifier_qdq"):
        arrays[name] = run(f"{name}.onnx", arrays["images"])
        print(name, (FOLDER / f"{name}.onnx").stat().st_size, "bytes", arrays[name].shape)
    with torch.no_grad():
        print("differences", np.abs(arrays["classifier"] - model(images).numpy()).max(), np.abs(arrays["tokens"] - tokens(images).numpy()).max())
    np.savez(FOLDER / "classifiers.npz", **arrays)


if __name__ == "__main__":
    main()
