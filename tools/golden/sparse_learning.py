#!/usr/bin/env python3
"""Goldens of sparse learning and of sparsity: Torch-Pruning's regularizers and torch's magnitude masks.

    python tools/golden/sparse_learning.py

In an environment of torch 2.13 and torch-pruning 1.6.1. `sparse_learning.safetensors` holds

* `{regularizer}.{parameter}`: what `regularize` adds to the gradient of each parameter of `Net`, whose weights are those of
  the formula, from a gradient of 0 on. `growing` had three `update_reg` before; what it adds to scales of normalizations is
  lost, since `grad.data[idxs].add_` changes a copy;
* `mask.{case}.{weight}`: 1 where `torch.nn.utils.prune` leaves a weight of `fill(weight, -1, 1)`, 0 where it does not;
  `l1_{amount}` is `l1_unstructured` of each, `global_{amount}` is `global_unstructured` of all, and `runs` the larger two of
  each four along the inputs (axis 1), by `torch.topk`.
"""

import numpy as np
import torch
import torch.nn.functional as F
import torch_pruning as tp
from torch import nn
from torch.nn.utils import prune

import formula
from files import f32, write_safetensors


class Net(nn.Module):
    """A stream of eight channels with one block, and a linear layer behind a flattened map."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 12, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(12)
        self.conv3 = nn.Conv2d(12, 8, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(8)
        self.fc = nn.Linear(8 * 16, 5)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(x)))
        x = F.relu(self.bn3(self.conv3(y)) + x)
        return self.fc(x.flatten(1))


WEIGHTS = {"a.weight": (6, 8, 3, 3), "b.weight": (10, 4), "c.weight": (3, 12, 1, 1)}


def net():
    model = Net().eval()
    with torch.no_grad():
        for name, value in model.state_dict().items():
            value.copy_(torch.from_numpy(formula.parameter(name, tuple(value.shape))))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    return model


def regularized(make, act):
    model = net()
    pruner = make(model, torch.zeros(1, 3, 4, 4), ignored_layers=[model.fc])
    act(pruner, model)
    return {name: f32(parameter.grad) for name, parameter in model.named_parameters()}


def grown(pruner, model):
    for _ in range(3):
        pruner.update_reg()
    pruner.regularize(model)


def plain(pruner, model):
    pruner.regularize(model)


def regularizers():
    group = tp.importance.GroupMagnitudeImportance(p=2)
    algorithms = tp.pruner.algorithms
    cases = {
        "bn_l1": (lambda m, x, **k: algorithms.BNScalePruner(m, x, importance=group, reg=0.01, **k), plain),
        "bn_group": (lambda m, x, **k: algorithms.BNScalePruner(m, x, importance=group, reg=0.01, group_lasso=True, **k),
                     plain),
        "group_norm": (lambda m, x, **k: algorithms.GroupNormPruner(m, x, importance=group, reg=0.01, **k), plain),
        "growing": (lambda m, x, **k: algorithms.GrowingRegPruner(m, x, importance=group, reg=0.01, delta_reg=0.02, **k),
                    grown),
    }
    tensors = {}
    for case, (make, act) in cases.items():
        for name, gradient in regularized(make, act).items():
            tensors[f"{case}.{name}"] = gradient
    return tensors


def modules():
    made = {}
    for name, shape in WEIGHTS.items():
        module = nn.Module()
        module.weight = nn.Parameter(torch.from_numpy(formula.fill(name, shape, -1.0, 1.0)))
        made[name] = module
    return made


def masks():
    tensors = {}
    for amount in [0.3, 0.5, 0.85]:
        own = modules()
        for name, module in own.items():
            prune.l1_unstructured(module, "weight", amount)
            tensors[f"mask.l1_{amount}.{name}"] = f32(module.weight_mask)
        own = modules()
        prune.global_unstructured([(m, "weight") for m in own.values()], prune.L1Unstructured, amount=amount)
        for name, module in own.items():
            tensors[f"mask.global_{amount}.{name}"] = f32(module.weight_mask)
    for name, module in modules().items():
        along = module.weight.detach().movedim(1, -1)
        runs = along.reshape(-1, 4).abs()
        mask = torch.zeros_like(runs).scatter_(1, torch.topk(runs, 2, dim=1).indices, 1.0)
        tensors[f"mask.runs.{name}"] = f32(mask.reshape(along.shape).movedim(-1, 1).contiguous())
    return tensors


def main():
    torch.manual_seed(0)
    tensors = regularizers() | masks()
    versions = {"torch": torch.__version__.split("+")[0], "torch_pruning": "1.6.1"}
    write_safetensors("sparse_learning.safetensors", tensors,
                      {"weights": {name: list(shape) for name, shape in WEIGHTS.items()}, "versions": versions})
    assert all(np.isfinite(t).all() for t in tensors.values())


if __name__ == "__main__":
    main()
