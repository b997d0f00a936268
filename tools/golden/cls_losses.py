#!/usr/bin/env python3
"""Goldens of mmcls's losses of soft and several labels, in float64.

    python tools/golden/cls_losses.py

Needs torch 1.13 and mmcls 1.0.0rc6. Six rows of five classes: scores `fill("cls_score", -3, 3)`; labels `hard`:
`labels("label", 6, 5)`, `soft`: `fill("soft", 0, 1)` divided by the sum of its row, `several`: 1 where
`fill("several", 0, 1)` is above 0.6. `class_weight` is `fill("class_weight", 0.5, 1.5)` and `pos_weight`
`fill("pos_weight", 0.5, 3)`, where a case says so. `{case}.loss` and `{case}.grad`; a loss that is not a scalar is
differentiated with the upstream gradient `fill("upstream", -1, 1)` of its shape.
"""

import warnings

warnings.filterwarnings("ignore")

import mmcls
import torch
from mmcls.models import build_loss
from mmcls.utils import register_all_modules

import formula
from files import f32, write_safetensors

ROWS, CLASSES = 6, 5
CE, LS, FOCAL, ASYM = "CrossEntropyLoss", "LabelSmoothLoss", "FocalLoss", "AsymmetricLoss"

# Every case: type and arguments; the labels; the arguments of the call.
CASES = {
    "soft": (CE, dict(use_soft=True), "soft", {}),
    "soft_of_hard_loss": (CE, {}, "soft", dict(avg_factor=4)),
    "soft_class_weight": (CE, dict(use_soft=True, class_weight=True, loss_weight=0.3), "soft", dict(avg_factor=4)),
    "soft_sum": (CE, dict(use_soft=True, reduction="sum"), "soft", {}),
    "soft_none": (CE, dict(use_soft=True, reduction="none"), "soft", {}),
    "sigmoid": (CE, dict(use_sigmoid=True), "several", {}),
    "sigmoid_avg_factor": (CE, dict(use_sigmoid=True), "several", dict(avg_factor=6)),
    "sigmoid_soft": (CE, dict(use_sigmoid=True), "soft", {}),
    "sigmoid_weights": (CE, dict(use_sigmoid=True, class_weight=True, pos_weight=True, loss_weight=0.7), "several", {}),
    "sigmoid_none": (CE, dict(use_sigmoid=True, reduction="none", pos_weight=True), "several", {}),
    "smooth": (LS, dict(label_smooth_val=0.1), "hard", {}),
    "smooth_classes": (LS, dict(label_smooth_val=0.1, num_classes=5, loss_weight=0.5), "hard", dict(avg_factor=6)),
    "smooth_soft": (LS, dict(label_smooth_val=0.2), "soft", {}),
    "smooth_classy": (LS, dict(label_smooth_val=0.1, mode="classy_vision"), "hard", {}),
    "smooth_several": (LS, dict(label_smooth_val=0.1, mode="multi_label"), "several", dict(avg_factor=6)),
    "smooth_several_softmax": (LS, dict(label_smooth_val=0.1, mode="multi_label", use_sigmoid=False), "several", {}),
    "smooth_sigmoid": (LS, dict(label_smooth_val=0.1, use_sigmoid=True), "soft", {}),
    "smooth_sum": (LS, dict(label_smooth_val=0.1, reduction="sum"), "hard", {}),
    "smooth_none": (LS, dict(label_smooth_val=0.1, reduction="none"), "hard", {}),
    "focal": (FOCAL, {}, "several", {}),
    "focal_hard": (FOCAL, dict(gamma=1.5, alpha=0.4, loss_weight=2.0), "hard", dict(avg_factor=6)),
    "focal_soft": (FOCAL, dict(gamma=0.0), "soft", {}),
    "focal_none": (FOCAL, dict(reduction="none"), "several", {}),
    "asymmetric": (ASYM, {}, "several", {}),
    "asymmetric_hard": (ASYM, dict(gamma_pos=1.0, gamma_neg=2.0, clip=None, loss_weight=0.5), "hard",
                        dict(avg_factor=6)),
    "asymmetric_softmax": (ASYM, dict(use_sigmoid=False, clip=0.1), "soft", {}),
    "asymmetric_none": (ASYM, dict(reduction="none", clip=0.0), "several", {}),
}


def labels(kind):
    if kind == "hard":
        return torch.from_numpy(formula.labels("label", ROWS, CLASSES))
    if kind == "several":
        return torch.from_numpy(formula.fill("several", (ROWS, CLASSES), 0.0, 1.0) > 0.6).double()
    weights = torch.from_numpy(formula.fill("soft", (ROWS, CLASSES), 0.0, 1.0)).double()
    return (weights / weights.sum(1, keepdim=True)).float().double()


def run(kind, arguments, label, call):
    arguments, call = dict(arguments), dict(call)
    for name, high in (("class_weight", 1.5), ("pos_weight", 3.0)):
        if arguments.get(name):
            arguments[name] = formula.fill(name, (CLASSES,), 0.5, high).tolist()
    if kind == LS and "reduction" in arguments:
        # The class keeps it and never uses it.
        call["reduction_override"] = arguments["reduction"]
    scores = torch.from_numpy(formula.fill("cls_score", (ROWS, CLASSES), -3.0, 3.0)).double().requires_grad_()
    loss = build_loss(dict(type=kind, **arguments))(scores, labels(label), **call)
    upstream = torch.ones((), dtype=torch.float64)
    if loss.ndim:
        upstream = torch.from_numpy(formula.fill("upstream", tuple(loss.shape), -1.0, 1.0)).double()
    loss.backward(upstream)
    return {"loss": f32(loss), "grad": f32(scores.grad)}


def main():
    torch.set_num_threads(1)
    register_all_modules()
    out, cases = {}, []
    for name, (kind, arguments, label, call) in CASES.items():
        for key, value in run(kind, arguments, label, call).items():
            out[f"{name}.{key}"] = value
        cases.append({"name": name, "loss": {"type": kind, **arguments}, "label": label, "call": call})
    write_safetensors("cls_losses.safetensors", out, {
        "script": "tools/golden/cls_losses.py", "versions": f"torch {torch.__version__}, mmcls {mmcls.__version__}",
        "cases": cases})


if __name__ == "__main__":
    main()
