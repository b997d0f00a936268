"""Small models as PyTorch's exporters write them, and what ONNX Runtime makes of them: tests/golden/onnx/.

    PYTHONPATH=ONNXSCRIPT python tools/golden/onnx_models.py

`small.onnx` (legacy exporter, version 17), `small_11.onnx` (version 11, where GELU and layer normalization are written out) and
`small_dynamo.onnx` are one model with most patterns that are recognized; `arrays.npz` has an input and the output. Needs
torch, onnx, onnxscript and onnxruntime.
"""

import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import nn

FOLDER = Path(__file__).resolve().parent.parent.parent / "tests" / "golden" / "onnx"


class SqueezeExcite(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.reduce = nn.Conv2d(channels, 4, 1)
        self.expand = nn.Conv2d(4, channels, 1)

    def forward(self, x):
        y = torch.relu(self.reduce(nn.functional.adaptive_avg_pool2d(x, 1)))
        return x * nn.functional.hardsigmoid(self.expand(y))


class Mixer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.fc1 = nn.Linear(width, 2 * width)
        self.fc2 = nn.Linear(2 * width, width)

    def forward(self, x):
        return x + self.fc2(nn.functional.gelu(self.fc1(self.norm(x))))


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        self.bn2 = nn.BatchNorm2d(8)
        self.se = SqueezeExcite(8)
        self.mixer = Mixer(8)
        self.fc = nn.Linear(8 * 8 * 8, 5)

    def forward(self, x):
        x = self.pool(nn.functional.relu6(self.bn1(self.conv1(x))))
        x = x + nn.functional.hardswish(self.bn2(self.depthwise(x)))
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        x = nn.functional.silu(self.se(x))
        x = self.mixer(x.flatten(2).transpose(1, 2)).transpose(1, 2)
        return self.fc(x.reshape(n, -1))


def main():
    torch.manual_seed(0)
    model = Small()
    with torch.no_grad():
        for _ in range(8):
            model(torch.rand(16, 3, 32, 32))
    model.eval()
    x = torch.rand(2, 3, 32, 32)
    FOLDER.mkdir(exist_ok=True)
    warnings.simplefilter("ignore")
    axes = {"input": {0: "batch"}, "output": {0: "batch"}}
    # Without folding, so that batch normalization is there and can be trained.
    for name, opset in (("small", 17), ("small_11", 11)):
        torch.onnx.export(
            model, (x,), FOLDER / f"{name}.onnx", dynamo=False, opset_version=opset, dynamic_axes=axes, input_names=["input"],
            output_names=["output"], training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False,
        )  # fmt: skip
    program = torch.onnx.export(
        model, (x,), dynamo=True, dynamic_shapes=({0: torch.export.Dim("batch")},), input_names=["input"],
        output_names=["output"], verbose=False,
    )  # fmt: skip
    program.save(FOLDER / "small_dynamo.onnx")
    arrays = {"input": x.numpy()}
    for name in ("small", "small_11", "small_dynamo"):
        session = onnxruntime.InferenceSession(FOLDER / f"{name}.onnx", providers=["CPUExecutionProvider"])
        (found,) = session.run(None, {"input": arrays["input"]})
        difference = np.abs(found - arrays.setdefault("output", found)).max()
        print(name, (FOLDER / f"{name}.onnx").stat().st_size, "bytes, difference", difference)
    np.savez(FOLDER / "arrays.npz", **arrays)


if __name__ == "__main__":
    main()
