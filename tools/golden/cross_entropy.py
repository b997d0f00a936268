#!/usr/bin/env python3
"""Goldens of mmcls's `CrossEntropyLoss` with hard labels, in float64.

    python tools/golden/cross_entropy.py

Needs torch 1.13 and mmcls 1.0.0rc6. Six rows of five classes: scores `fill("cls_score", -3, 3)`, labels
`labels("label", 6, 5)`, with `class_weight` `fill("class_weight", 0.5, 1.5)` and a weight for each row
`fill("weight", 0.5, 1.5)` where a case says so. `{case}.loss` and `{case}.grad`; a loss that is not a scalar is
differentiated with the upstream gradient `fill("upstream", -1, 1)`.
"""

import warnings

warnings.filterwarnings("ignore")

import mmcls
import torch
from mmcls.models.losses import CrossEntropyLoss

import formula
from files import f32, write_safetensors

ROWS, CLASSES = 6, 5

# Every case: arguments of the class; arguments of the call, `weight` and `class_weight` by their formula;
# the rows whose label is -100.
CASES = {
    "mean": ({}, {}, []),
    "sum": (dict(reduction="sum"), {}, []),
    "none": (dict(reduction="none"), {}, []),
    "loss_weight": (dict(loss_weight=0.3), {}, []),
    "none_loss_weight": (dict(reduction="none", loss_weight=0.3), {}, []),
    "class_weight_mean": (dict(class_weight=True), {}, []),
    "class_weight_sum": (dict(class_weight=True, reduction="sum"), {}, []),
    "class_weight_none": (dict(class_weight=True, reduction="none"), {}, []),
    "weight_mean": ({}, dict(weight=True), []),
    "weight_none": (dict(reduction="none"), dict(weight=True), []),
    "avg_factor_mean": ({}, dict(avg_factor=4), []),
    "avg_factor_none": (dict(reduction="none"), dict(avg_factor=4), []),
    "everything": (dict(class_weight=True, loss_weight=0.3), dict(weight=True, avg_factor=4), []),
    "override": (dict(reduction="sum"), dict(reduction_override="mean", avg_factor=4), []),
    "ignored_mean": ({}, {}, [1, 4]),
    "ignored_class_weight_none": (dict(class_weight=True, reduction="none"), {}, [1, 4]),
}


def run(arguments, call, ignored):
    arguments, call = dict(arguments), dict(call)
    if arguments.get("class_weight"):
        arguments["class_weight"] = formula.fill("class_weight", (CLASSES,), 0.5, 1.5).tolist()
    if call.get("weight"):
        call["weight"] = torch.from_numpy(formula.fill("weight", (ROWS,), 0.5, 1.5))
    scores = torch.from_numpy(formula.fill("cls_score", (ROWS, CLASSES), -3.0, 3.0)).double().requires_grad_()
    labels = torch.from_numpy(formula.labels("label", ROWS, CLASSES))
    labels[ignored] = -100
    loss = CrossEntropyLoss(**arguments)(scores, labels, **call)
    upstream = torch.ones((), dtype=torch.float64)
    if loss.ndim:
        upstream = torch.from_numpy(formula.fill("upstream", (ROWS,), -1.0, 1.0)).double()
    loss.backward(upstream)
    return {"loss": f32(loss), "grad": f32(scores.grad)}


def main():
    torch.set_num_threads(1)
    try:
        run(dict(reduction="sum"), dict(avg_factor=4), [])
    except ValueError:
        pass
    else:
        raise AssertionError("mmcls refuses avg_factor with a sum")
    out, cases = {}, []
    for name, (arguments, call, ignored) in CASES.items():
        for key, value in run(arguments, call, ignored).items():
            out[f"{name}.{key}"] = value
        cases.append({"name": name, "loss": arguments, "call": call, "ignored_rows": ignored})
    write_safetensors("cross_entropy.safetensors", out, {
        "script": "tools/golden/cross_entropy.py", "versions": f"torch {torch.__version__}, mmcls {mmcls.__version__}",
        "labels": formula.labels("label", ROWS, CLASSES).tolist(), "cases": cases})


if __name__ == "__main__":
    main()
