#!/usr/bin/env python3
"""Goldens of DCFF: what mmrazor's `FuseConv2d` makes of its filters, and the temperatures of its schedule.

    python tools/golden/dcff.py

Needs torch 1.13 and mmrazor 1.0.0. The weight of case `c` is `parameter("c.weight", shape)`, its bias
`parameter("c.bias", [out])`, and the upstream gradient of the fused weight `fill("probe.c.weight", fused shape, -1, 1)`. The
original leaves open in which order it keeps the filters; here they are in that of the layer. A fused weight is computed as
`choice @ weight[:, :inputs]`, and is checked against the original's.
"""

import warnings

warnings.filterwarnings("ignore")

import mmrazor
import torch
from mmrazor.models.algorithms.pruning.dcff import DCFF
from mmrazor.models.architectures.dynamic_ops import FuseConv2d
from mmrazor.models.mutables import MutableChannelContainer, SimpleMutableChannel

import formula
from files import f32, write_safetensors

VERSIONS = f"torch {torch.__version__}, mmrazor {mmrazor.__version__}"

# Shape of the weight, groups, temperature, filters kept, inputs kept, bias.
CASES = {
    "dense": ((8, 6, 3, 3), 1, 1.0, 5, 4, True),
    "cold": ((8, 6, 3, 3), 1, 0.05, 5, 6, False),
    "pointwise": ((12, 8, 1, 1), 1, 0.3, 7, 8, True),
    "depthwise": ((10, 1, 3, 3), 10, 0.5, 6, 1, False),
}
TEMPERATURES = [(0, 120), (1, 120), (3, 120), (20, 120), (119, 120), (0, 4), (1, 4), (2, 4), (3, 4)]


def mutable(conv, attribute, channels, kept):
    """Gives a dynamic convolution a mutable attribute of which the first `kept` channels stay."""
    container = MutableChannelContainer(channels)
    channel = SimpleMutableChannel(channels)
    mask = torch.zeros(channels, dtype=torch.bool)
    mask[:kept] = True
    channel.current_choice = mask
    container.register_mutable(channel, 0, channels)
    conv.register_mutable_attr(attribute, container)


def case(name, shape, groups, tau, kept, inputs, bias):
    """The arrays of one case."""
    out, per_group, k, _ = shape
    static = torch.nn.Conv2d(per_group * groups, out, k, groups=groups, bias=bias).double()
    with torch.no_grad():
        static.weight.copy_(torch.from_numpy(formula.parameter(f"{name}.weight", shape)).double())
        if bias:
            static.bias.copy_(torch.from_numpy(formula.parameter(f"{name}.bias", (out,))).double())
    conv = FuseConv2d.convert_from(static).double()
    conv.load_state_dict(static.state_dict())
    mutable(conv, "out_channels", out, kept)
    if groups == 1:
        mutable(conv, "in_channels", per_group, inputs)
    theirs = conv.get_pooled_channel(tau)

    # All rows, and which of them were taken.
    conv.mutable_attrs["out_channels"].mutable_channels[(0, out)].current_choice = torch.ones(out, dtype=torch.bool)
    everything = conv.get_pooled_channel(tau)
    distances = torch.cdist(static.weight.reshape(out, -1), static.weight.reshape(out, -1))
    similarity = torch.softmax(-distances / tau, dim=1).detach()
    assert all(any(torch.allclose(row, other) for other in similarity) for row in everything)
    rows = sorted(int((similarity - row).abs().sum(dim=1).argmin()) for row in theirs)
    assert len(set(rows)) == kept
    choice = similarity[rows]

    mask = torch.zeros(out, dtype=torch.bool)
    mask[:kept] = True
    conv.mutable_attrs["out_channels"].mutable_channels[(0, out)].current_choice = mask
    conv.set_forward_args(choice=choice)
    fused, fused_bias, _ = conv.get_dynamic_params()
    written = (choice @ conv.weight[:, :inputs].reshape(out, -1)).reshape(fused.shape)
    torch.testing.assert_close(fused, written, rtol=1e-12, atol=1e-14)
    probe = torch.from_numpy(formula.fill(f"probe.{name}.weight", tuple(fused.shape), -1.0, 1.0)).double()
    (fused * probe).sum().backward()
    arrays = {f"{name}.similarity": f32(similarity), f"{name}.fused": f32(fused), f"{name}.grad": f32(conv.weight.grad)}
    if bias:
        arrays[f"{name}.fused_bias"] = f32(fused_bias)
    about = {"name": name, "shape": list(shape), "groups": groups, "tau": tau, "inputs": inputs, "rows": rows}
    return arrays, about


def main():
    torch.set_num_threads(1)
    arrays, cases = {}, []
    for name, keys in CASES.items():
        own, about = case(name, *keys)
        arrays |= own
        cases.append(about)
    temperatures = [[cur, last, DCFF._calc_temperature(None, cur, last)] for cur, last in TEMPERATURES]
    write_safetensors("dcff.safetensors", arrays, {
        "script": "tools/golden/dcff.py", "versions": VERSIONS, "cases": cases, "temperatures": temperatures})


if __name__ == "__main__":
    main()
