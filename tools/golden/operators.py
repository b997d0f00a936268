#!/usr/bin/env python3
"""Goldens of operators that are not those of a convolutional network: outputs and gradients of torch's own, in float64.

    python tools/golden/operators.py

Every input of a case is `fill("{case}.{name}", shape, low, high)`. The gradients are those of
`sum(output * fill("{case}.upstream", shape, -1, 1))`. `operators.safetensors` holds `{case}.output` and
`{case}.grad.{name}`; its metadata the inputs of each case: name, shape, bounds.
"""

import numpy as np
import torch
import torch.nn.functional as F

import formula
from files import f32, write_safetensors

X = ("x", [2, 3, 5], -4.0, 4.0)


def adaptive_pad(x, kernel, stride, dilation, corner=False):
    pads = []
    for size, k, s, d in reversed(list(zip(x.shape[2:], kernel, stride, dilation))):
        total = max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
        before = 0 if corner else total // 2
        pads += [before, total - before]
    return F.pad(x, pads)


CASES = {
    "leaky_relu": ([X], lambda x: F.leaky_relu(x, 0.1)),
    "elu": ([X], lambda x: F.elu(x, 0.7)),
    "sigmoid": ([X], torch.sigmoid),
    "tanh": ([X], torch.tanh),
    "hard_sigmoid": ([X], F.hardsigmoid),
    "hard_sigmoid_wide": ([X], lambda x: ((x + 1) / 2).clamp(-0.5, 1.5)),
    "hard_swish": ([X], F.hardswish),
    "silu": ([X], F.silu),
    "gelu": ([X], F.gelu),
    "gelu_tanh": ([X], lambda x: F.gelu(x, approximate="tanh")),
    "mul_planes": ([("x", [2, 3, 4, 5], -1.0, 1.0), ("gate", [2, 3, 1, 1], 0.0, 1.0)], torch.mul),
    "layer_norm": ([("x", [2, 3, 8], -2.0, 2.0), ("weight", [8], 0.5, 1.5), ("bias", [8], -0.1, 0.1)],
                   lambda x, weight, bias: F.layer_norm(x, (8,), weight, bias, 1e-6)),
    "mat_mul": ([("a", [2, 3, 4, 5], -1.0, 1.0), ("b", [2, 3, 5, 6], -1.0, 1.0)], torch.matmul),
    "mat_mul_transposed": ([("a", [2, 3, 4, 5], -1.0, 1.0), ("b", [2, 3, 6, 5], -1.0, 1.0)],
                           lambda a, b: a @ b.transpose(-2, -1)),
    "softmax": ([("x", [2, 3, 4, 5], -3.0, 3.0)], lambda x: x.softmax(-1)),
    "softmax_middle": ([("x", [2, 3, 4, 5], -3.0, 3.0)], lambda x: x.softmax(2)),
    "scale": ([X], lambda x: x * 0.3),
    "transpose": ([("x", [2, 3, 4, 5], -1.0, 1.0)], lambda x: x.permute(0, 2, 3, 1)),
    "unflatten": ([("x", [2, 3, 8], -1.0, 1.0)], lambda x: x.reshape(2, 3, 4, 2)),
    "expand_batch": ([("x", [1, 2, 4], -1.0, 1.0), ("like", [3, 5], -1.0, 1.0)],
                     lambda x, like: x.expand(3, -1, -1) + 0 * like.sum()),
    "adaptive_pad": ([("x", [2, 2, 6, 7], -1.0, 1.0)], lambda x: adaptive_pad(x, (3, 5), (2, 2), (2, 1))),
    "adaptive_pad_corner": ([("x", [2, 2, 6, 7], -1.0, 1.0)],
                            lambda x: adaptive_pad(x, (4, 4), (4, 4), (1, 1), corner=True)),
}


def main():
    torch.set_num_threads(1)
    out, about = {}, {}
    for case, (inputs, function) in CASES.items():
        values = {name: torch.from_numpy(formula.fill(f"{case}.{name}", shape, low, high)).double().requires_grad_()
                  for name, shape, low, high in inputs}
        output = function(*values.values())
        upstream = torch.from_numpy(formula.fill(f"{case}.upstream", list(output.shape), -1.0, 1.0)).double()
        (output * upstream).sum().backward()
        out[f"{case}.output"] = f32(output)
        out.update({f"{case}.grad.{name}": f32(value.grad) for name, value in values.items()})
        about[case] = inputs
    out = {key: np.ascontiguousarray(value) for key, value in out.items()}
    write_safetensors("operators.safetensors", out, {
        "script": "tools/golden/operators.py", "versions": f"torch {torch.__version__}", "cases": about})


if __name__ == "__main__":
    main()
