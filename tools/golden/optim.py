#!/usr/bin/env python3
"""Goldens of the optimizers: ten steps of torch's own, in float64, with gradients from the formula.

    python tools/golden/optim.py

Parameters `weight` [5, 3] and `bias` [7] start at `fill(name, -1, 1)`; the gradient of step `k`, from 0, is
`fill("grad.{name}.{k}", -1, 1)`, the same whatever the parameters are. `optim.safetensors` holds for every
setting `{setting}.{name}`, the ten values after each step stacked along dimension 0.
"""

import numpy as np
import torch

import formula
from files import write_safetensors

SHAPES = {"weight": (5, 3), "bias": (7,)}
STEPS = 10
CONSTANT = [0.1] * STEPS

# Every setting: the class of torch.optim, its arguments, and the learning rate of each step.
SETTINGS = {
    "sgd": ("SGD", {}, CONSTANT),
    "sgd_weight_decay": ("SGD", dict(weight_decay=0.05), CONSTANT),
    "sgd_momentum": ("SGD", dict(momentum=0.9), CONSTANT),
    "sgd_momentum_weight_decay": ("SGD", dict(momentum=0.9, weight_decay=0.05), CONSTANT),
    "sgd_dampening": ("SGD", dict(momentum=0.9, dampening=0.3, weight_decay=0.05), CONSTANT),
    "sgd_nesterov": ("SGD", dict(momentum=0.9, nesterov=True), CONSTANT),
    "sgd_nesterov_weight_decay": ("SGD", dict(momentum=0.9, nesterov=True, weight_decay=0.05), CONSTANT),
    "sgd_lr_change": ("SGD", dict(momentum=0.9, weight_decay=0.05), [0.1] * 5 + [0.01] * 5),
    "adamw": ("AdamW", dict(), [0.01] * STEPS),
    "adamw_no_decay": ("AdamW", dict(weight_decay=0.0), [0.01] * STEPS),
    "adamw_betas_eps_decay": ("AdamW", dict(betas=(0.8, 0.95), eps=1e-3, weight_decay=0.1), CONSTANT),
    "adamw_amsgrad": ("AdamW", dict(betas=(0.5, 0.6), amsgrad=True), CONSTANT),
    "adamw_lr_change": ("AdamW", dict(weight_decay=0.1), [0.1] * 5 + [0.01] * 5),
}


def run(kind, arguments, rates):
    parameters = {name: torch.nn.Parameter(torch.from_numpy(formula.fill(name, shape, -1.0, 1.0)).double())
                  for name, shape in SHAPES.items()}
    optimizer = getattr(torch.optim, kind)(parameters.values(), lr=rates[0], **arguments)
    history = {name: [] for name in SHAPES}
    for step, rate in enumerate(rates):
        optimizer.param_groups[0]["lr"] = rate
        for name, parameter in parameters.items():
            parameter.grad = torch.from_numpy(formula.fill(f"grad.{name}.{step}", SHAPES[name], -1.0, 1.0)).double()
        optimizer.step()
        for name, parameter in parameters.items():
            history[name].append(parameter.detach().numpy().copy())
    return {name: np.stack(values).astype(np.float32) for name, values in history.items()}


def main():
    torch.set_num_threads(1)
    out, about = {}, {}
    for setting, (kind, arguments, rates) in SETTINGS.items():
        for name, values in run(kind, arguments, rates).items():
            out[f"{setting}.{name}"] = values
        used = {key: getattr(torch.optim, kind)([torch.zeros(1)], lr=rates[0], **arguments).defaults[key]
                for key in (("momentum", "dampening", "nesterov", "weight_decay") if kind == "SGD"
                            else ("betas", "eps", "weight_decay", "amsgrad"))}
        about[setting] = {"type": kind, **used, "lr": rates}
    write_safetensors("optim.safetensors", out, {
        "script": "tools/golden/optim.py", "versions": f"torch {torch.__version__}", "settings": about})


if __name__ == "__main__":
    main()
