"""Checks exported models in ONNX's own checker and in ONNX Runtime, against PyTorch.

    cargo run -p occam-io --example export_examples /tmp/occam-onnx
    python crates/io/tests/check_onnx.py /tmp/occam-onnx

Needs numpy, onnx, onnxruntime, safetensors, torch. What each case computes is written down here a second time, in
PyTorch, so that the models' own attributes are not trusted.
"""

import pathlib
import re
import sys

import numpy as np
import onnx
import onnxruntime as ort
import torch
import torch.nn.functional as F
from safetensors import safe_open

TOLERANCE = 1e-5


def batch_norm(x, w, prefix=""):
    stats = [w[prefix + k] for k in ("running_mean", "running_var", "weight", "bias")]
    return F.batch_norm(x, *stats, training=False, eps=1e-5)


def small_classifier(x, w):
    x = F.conv2d(x, w["backbone.conv.weight"], stride=2, padding=1)
    x = batch_norm(x, w, "backbone.bn.").relu().mean((2, 3))
    return F.linear(x, w["fc.weight"], w["fc.bias"])


def names(x, w):
    y = x + w["weight"]
    return y, y, x, w["weight"], y * w["weight"]


def pool(x, kind, kernel, stride, padding, ceil):
    if kind == "max":
        return F.max_pool2d(x, kernel, stride, padding, ceil_mode=ceil)
    return F.avg_pool2d(x, kernel, stride, padding, ceil_mode=ceil, count_include_pad=kind == "include")


def shuffle(x, groups):
    """Channels taken from the groups in turn."""
    return torch.stack(x.chunk(groups, 1), 2).flatten(1, 2)


def adaptive_pad(x, kernel, stride, dilation=(1, 1), corner=False):
    pads = []
    for size, k, s, d in reversed(list(zip(x.shape[2:], kernel, stride, dilation))):
        total = max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
        before = 0 if corner else total // 2
        pads += [before, total - before]
    return F.pad(x, pads)


CASES = {
    "small_classifier": small_classifier,
    "names": names,
    "Activation": lambda x, w: x.relu(),
    "AdaptivePad": lambda x, w: adaptive_pad(x, (3, 5), (2, 2), (2, 1)),
    "BatchNorm": batch_norm,
    "Binary": lambda x, w: x + w["other"],
    "ChannelShuffle": lambda x, w: shuffle(x, 2),
    "Concat": lambda x, w: torch.cat([x, w["other"]], 0),
    # Padding 1, 1 above and below, 2, 2 at the sides.
    "Conv": lambda x, w: F.conv2d(
        F.pad(x, (2, 2, 1, 1)), w["weight"], w["bias"], stride=(2, 1), dilation=(1, 2), groups=2
    ),
    "Dropout": lambda x, w: x,
    "ExpandBatch": lambda x, w: x.expand(len(w["like"]), -1, -1),
    "Flatten": lambda x, w: x.flatten(1),
    "GemPool": lambda x, w: x.clamp(min=1e-6).pow(w["p"]).mean((2, 3), keepdim=True).pow(1 / w["p"]),
    "GlobalAvgPool": lambda x, w: x.mean((2, 3), keepdim=True),
    "LayerNorm": lambda x, w: F.layer_norm(x, x.shape[-1:], w["weight"], w["bias"], 1e-6),
    "Linear": lambda x, w: F.linear(x, w["weight"], w["bias"]),
    "MatMul": lambda x, w: x @ w["other"].mT,
    "Pool": lambda x, w: F.max_pool2d(x, 3, 2, 1),
    "Scale": lambda x, w: x / 4,
    "Slice": lambda x, w: x[:, 1:3],
    "Softmax": lambda x, w: x.softmax(1),
    "Transpose": lambda x, w: x.permute(0, 2, 3, 1),
    "Unflatten": lambda x, w: x.unflatten(1, (3, 4)),
    "relu6": lambda x, w: F.relu6(x),
    "leaky_relu": lambda x, w: F.leaky_relu(x, 0.1),
    "elu": lambda x, w: F.elu(x, 0.7),
    "sigmoid": lambda x, w: x.sigmoid(),
    "tanh": lambda x, w: x.tanh(),
    "hard_sigmoid": lambda x, w: F.hardsigmoid(x),
    "hard_sigmoid_wide": lambda x, w: ((x + 1) / 2).clamp(-0.5, 1.5),
    "hard_swish": lambda x, w: F.hardswish(x),
    "silu": lambda x, w: F.silu(x),
    "gelu": lambda x, w: F.gelu(x),
    "gelu_tanh": lambda x, w: F.gelu(x, approximate="tanh"),
    "tokens": lambda x, w: torch.cat([w["token"].expand(len(x), -1, -1), x], 1),
    "layer_norm_4d": lambda x, w: F.layer_norm(x, x.shape[-1:], w["weight"], w["bias"], 1e-6),
    "matmul": lambda x, w: x @ w["other"],
    "matmul_transposed": lambda x, w: x @ w["other"].mT,
    "softmax_last": lambda x, w: x.softmax(-1),
    "transpose_free": lambda x, w: x.permute(0, 3, 1, 2),
    "unflatten_free": lambda x, w: x.unflatten(1, (2, 2)),
    "shuffle_free": lambda x, w: shuffle(x, 2),
    "shuffle_2d": lambda x, w: shuffle(x, 3),
    "slice_free": lambda x, w: x[:, 2:],
    "slice_last": lambda x, w: x[..., :5],
    "mul": lambda x, w: x * w["other"],
    "flatten_2": lambda x, w: x.flatten(2),
    "flatten_4": lambda x, w: x[..., None],
    "flatten_free": lambda x, w: x.flatten(2),
    "linear_4d": lambda x, w: F.linear(x, w["weight"], w["bias"]),
    "linear_1d": lambda x, w: F.linear(x, w["weight"]),
    "linear_no_bias": lambda x, w: F.linear(x, w["weight"]),
    "external": lambda x, w: F.linear(x, w["weight"], w["bias"]),
    "depthwise": lambda x, w: F.conv2d(F.pad(x, (2, 0, 0, 1)), w["weight"], groups=4),
}


def reference(case):
    if match := re.fullmatch(r"pool_(\w+)_(\d)_(\d)_(\d)(_ceil)?(_free)?", case):
        kind, *sizes = match.groups()[:4]
        return lambda x, w: pool(x, kind, *map(int, sizes), ceil=match[5] is not None)
    if match := re.fullmatch(r"(same|corner)_(\d)_(\d)(_free)?", case):
        kernel, stride = int(match[2]), int(match[3])
        return lambda x, w: adaptive_pad(x, [kernel] * 2, [stride] * 2, corner=match[1] == "corner")
    if match := re.fullmatch(r"uneven_(\w+)", case):
        return lambda x, w: pool(x, match[1], (2, 4), (4, 3), 1, ceil=True)
    return CASES[case.split("@")[0]]


def check(path):
    onnx.checker.check_model(str(path), full_check=True)
    model = onnx.load(path)
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    assert model.producer_name == "occam" and model.ir_version >= 8
    assert [(p.key, p.value) for p in model.metadata_props] == [("case", path.stem)]

    with safe_open(path.with_suffix(".safetensors"), "pt") as file:
        weights = {k: file.get_tensor(k) for k in file.keys()}
        assert file.metadata() == {"case": path.stem}
    x = weights.pop("input")
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    for name, tensor in weights.items():
        assert np.array_equal(stored[name], tensor.numpy()), f"initializer {name} differs"

    wanted = reference(path.stem)(x, weights)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = session.run(None, {"input": x.numpy()})
    assert len(found) == len(wanted)
    error = 0.0
    for f, w in zip(found, wanted):
        assert f.shape == tuple(w.shape), f"shape {f.shape}, PyTorch has {tuple(w.shape)}"
        error = max(error, float(np.abs(f - w.numpy()).max()))
    assert error <= TOLERANCE, f"differs from PyTorch by {error:.1e}"
    return error


def main(folder):
    paths = sorted(pathlib.Path(folder).glob("*.onnx"))
    failed, largest = 0, 0.0
    for path in paths:
        try:
            largest = max(largest, check(path))
        except Exception as e:  # every case is reported, whatever goes wrong in it
            failed += 1
            print(f"FAILED {path.stem}: {type(e).__name__}: {e}")
    versions = f"onnx {onnx.__version__}, onnxruntime {ort.__version__}, torch {torch.__version__}"
    print(f"{len(paths) - failed} of {len(paths)} models passed; largest difference {largest:.1e} ({versions})")
    return 1 if failed or not paths else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
