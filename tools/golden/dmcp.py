#!/usr/bin/env python3
"""Goldens of DMCP: the groups of a unit, expected widths, gates of normalization, and the losses of FLOPs.

    python tools/golden/dmcp.py

Needs torch 1.13 and mmrazor 1.0.0. The architecture parameter of `n` groups is `fill("arch.n", [n], -0.5, 1)`, some elements of
which are below 0; `zeros` is the parameter as it starts. Gates are the outputs of mmrazor's `DMCPBatchNorm2d` in evaluation over
those without gates, differentiated with `fill("probe.gates", [channels], -1, 1)`.

FLOPs losses are mmrazor's own, but for `log_l1`, whose target it forgets to multiply by 10^6: there all is in units of 10^6, as
the authors' code has it. Of `inverted_log_l1`, which is not a number below the target, only values above it are stored.
"""

import math
import warnings

warnings.filterwarnings("ignore")

import mmrazor
import torch
from mmrazor.models.algorithms.pruning.dmcp import DMCP
from mmrazor.models.architectures.dynamic_ops.bricks.dynamic_norm import DMCPBatchNorm2d
from mmrazor.models.mutators import DMCPChannelMutator

import formula
from files import write_json

CHANNELS = [16, 24, 32, 64, 90, 144, 256, 2048]
RATES = [(0.1, 1, 0.05), (0.25, 1, 0.125), (0.5, 1, 0.5)]
FLOPS = [20.0, 90.0, 94.9, 95.0, 97.0, 100.0, 101.0, 280.0, 360.0]
TARGET = 100.0


class Mutator:
    """As much of a mutator as its methods read."""

    def __init__(self, rates):
        self.pruning_cfg = rates


def message(channels, rates):
    try:
        return DMCPChannelMutator._generate_arch_message(Mutator(rates), channels)
    except AssertionError:
        return None


def parameter(groups, zeros):
    values = torch.zeros(groups) if zeros else torch.from_numpy(formula.fill(f"arch.{groups}", (groups,), -0.5, 1.0))
    return values.double().requires_grad_()


def expected(channels, rates, zeros):
    """Expected width of a unit and its gradient."""
    attributes = message(channels, rates)
    mutator = Mutator(rates)
    arch = parameter(attributes[1], zeros)
    mutator.arch_params, mutator._arch_params_attr = {"0": arch}, {"0": attributes}
    width = DMCPChannelMutator._prune_by_arch(mutator, "expected", 0)
    width.backward()
    return {"kind": "expected", "channels": channels, "rates": list(rates), "groups": list(attributes), "zeros": zeros,
            "width": float(width), "grad": arch.grad.tolist()}


def gates(channels, rates, zeros):
    """What a normalization's outputs are multiplied by, and the gradient of its sum with a probe."""
    attributes = message(channels, rates)
    arch = parameter(attributes[1], zeros)
    norm = DMCPBatchNorm2d(channels).double().eval()
    x = torch.ones(1, channels, 1, 1, dtype=torch.float64)
    factors = (norm(x, arch_param=arch, arch_attr=attributes) / norm(x).detach()).flatten()
    probe = torch.from_numpy(formula.fill("probe.gates", (channels,), -1.0, 1.0)).double()
    (factors * probe).sum().backward()
    return {"kind": "gates", "channels": channels, "rates": list(rates), "zeros": zeros, "gates": factors.tolist(),
            "grad": arch.grad.tolist()}


class Algorithm:
    """As much of DMCP as its loss reads."""

    def __init__(self, kind, weight):
        self.flops_loss_type, self.flop_loss_weight, self.target_flops = kind, weight, TARGET


def log_l1(flops, weight):
    """The authors' loss, in units of 10^6."""
    error, lower = flops - TARGET, 0.95 * TARGET
    ratio = 0.1 if abs(error) > 200 else 1.0
    if flops < lower:
        return weight * torch.log(ratio * abs(error))
    if flops < TARGET:
        return weight * flops * 0
    return weight * torch.log(ratio * abs(flops - lower))


def loss(kind, flops, weight):
    """A loss at `flops` million, and its derivative by FLOPs."""
    x = torch.tensor(flops * 1e6, dtype=torch.float64, requires_grad=True)
    value = log_l1(x / 1e6, weight) if kind == "log_l1" else DMCP._compute_flops_loss(Algorithm(kind, weight), x)
    value.backward()
    return {"kind": "loss", "type": kind, "flops": flops * 1e6, "target": TARGET, "weight": weight, "value": float(value),
            "grad": float(x.grad)}


def main():
    torch.set_num_threads(1)
    rows = []
    for channels in CHANNELS:
        for rates in RATES:
            attributes = message(channels, rates)
            rows.append({"kind": "groups", "channels": channels, "rates": list(rates), "groups": attributes and list(attributes)})
    for zeros in (False, True):
        rows += [expected(channels, RATES[0], zeros) for channels in (24, 64, 90)] + [expected(32, RATES[1], zeros)]
        rows += [gates(64, RATES[0], zeros), gates(90, RATES[0], zeros), gates(32, RATES[1], zeros)]
    for kind in ("l1", "l2", "inverted_log_l1", "log_l1"):
        rows += [loss(kind, flops, 0.1) for flops in FLOPS if kind != "inverted_log_l1" or flops > TARGET]
    assert all(math.isfinite(row["value"]) for row in rows if row["kind"] == "loss")
    write_json("dmcp.json", rows)


if __name__ == "__main__":
    main()
