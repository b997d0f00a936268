#!/usr/bin/env python3
"""Goldens of the optimizers: twenty steps of torch's and mmcls' own, in float64, with gradients from the formula.

    python tools/golden/optim.py

Parameters `weight` [5, 3] and `bias` [7] start at `fill(name, -1, 1)`; the gradient of step `k`, from 0, is
`fill("grad.{name}.{k}", -1, 1)`, the same whatever the parameters are. `optim.safetensors` holds for every
setting `{setting}.{name}`, the values after each step stacked along dimension 0. LARS, which mmselfsup has and is not
installed, follows the paper's formula.
"""

import numpy as np
import torch

import formula
from mmcls.engine.optimizers import Lamb
from files import write_safetensors

SHAPES = {"weight": (5, 3), "bias": (7,)}
STEPS = 20
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
    "sgd_lr_change": ("SGD", dict(momentum=0.9, weight_decay=0.05), [0.1] * 10 + [0.01] * 10),
    "adamw": ("AdamW", dict(), [0.01] * STEPS),
    "adamw_no_decay": ("AdamW", dict(weight_decay=0.0), [0.01] * STEPS),
    "adamw_betas_eps_decay": ("AdamW", dict(betas=(0.8, 0.95), eps=1e-3, weight_decay=0.1), CONSTANT),
    "adamw_amsgrad": ("AdamW", dict(betas=(0.5, 0.6), amsgrad=True), CONSTANT),
    "sgd_maximize": ("SGD", dict(momentum=0.9, weight_decay=0.05, maximize=True), CONSTANT),
    "adam": ("Adam", dict(), [0.01] * STEPS),
    "adam_weight_decay": ("Adam", dict(betas=(0.8, 0.95), eps=1e-3, weight_decay=0.1), CONSTANT),
    "adam_amsgrad": ("Adam", dict(betas=(0.5, 0.6), weight_decay=0.01, amsgrad=True), CONSTANT),
    "rmsprop": ("RMSprop", dict(), [0.01] * STEPS),
    "rmsprop_momentum": ("RMSprop", dict(alpha=0.9, momentum=0.9, weight_decay=0.05), [0.01] * STEPS),
    "rmsprop_centered": ("RMSprop", dict(alpha=0.9, eps=1e-3, centered=True), [0.01] * STEPS),
    "rmsprop_centered_momentum": ("RMSprop", dict(alpha=0.9, eps=0.0316, centered=True, momentum=0.9,
                                                  weight_decay=1e-3), [0.01] * STEPS),
    "adagrad": ("Adagrad", dict(), CONSTANT),
    "adagrad_decays": ("Adagrad", dict(lr_decay=0.1, weight_decay=0.05, initial_accumulator_value=0.2, eps=1e-3),
                       CONSTANT),
    "adadelta": ("Adadelta", dict(), [1.0] * STEPS),
    "adadelta_weight_decay": ("Adadelta", dict(rho=0.8, eps=1e-3, weight_decay=0.05), [0.5] * STEPS),
    "lamb": ("Lamb", dict(), [0.01] * STEPS),
    "lamb_plain": ("Lamb", dict(bias_correction=False, grad_averaging=False, betas=(0.5, 0.9), weight_decay=0.0,
                                max_grad_norm=100.0), [0.01] * STEPS),
    "lamb_always_adapt": ("Lamb", dict(weight_decay=0.0, always_adapt=True, trust_clip=True), CONSTANT),
    "lamb_trust_clip": ("Lamb", dict(weight_decay=0.1, trust_clip=True, eps=1e-3), CONSTANT),
    "lars": ("LARS", dict(momentum=0.9, weight_decay=1e-4), [1.0] * STEPS),
    "lars_nesterov": ("LARS", dict(momentum=0.9, nesterov=True, weight_decay=0.05, eta=0.02), [1.0] * STEPS),
    "lars_plain": ("LARS", dict(eta=0.01), [0.5] * STEPS),
    "lars_dampening": ("LARS", dict(momentum=0.8, dampening=0.3, weight_decay=0.01, eta=0.02, eps=1e-3),
                       [1.0] * STEPS),
    "adamw_lr_change": ("AdamW", dict(weight_decay=0.1), [0.1] * 10 + [0.01] * 10),
}


class LARS(torch.optim.Optimizer):
    """You et al., 2017, algorithm 1, with mmselfsup's arguments."""

    def __init__(self, params, lr, momentum=0.0, weight_decay=0.0, dampening=0.0, eta=0.001, nesterov=False, eps=1e-8):
        super().__init__(params, dict(lr=lr, momentum=momentum, weight_decay=weight_decay, dampening=dampening, eta=eta,
                                      nesterov=nesterov, eps=eps))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                weight, grad = p.norm(), p.grad.norm()
                ratio = group["eta"] * weight / (grad + group["weight_decay"] * weight + group["eps"])
                rate = group["lr"] * (ratio if weight > 0 and grad > 0 else 1.0)
                move = rate * (p.grad + group["weight_decay"] * p)
                if group["momentum"] != 0:
                    state = self.state[p]
                    first = "buffer" not in state
                    state["buffer"] = move if first else (
                        group["momentum"] * state["buffer"] + (1 - group["dampening"]) * move)
                    move = move + group["momentum"] * state["buffer"] if group["nesterov"] else state["buffer"]
                p -= move


OWN = {"Lamb": Lamb, "LARS": LARS}


def optimizer_class(kind):
    return OWN.get(kind) or getattr(torch.optim, kind)


def run(kind, arguments, rates):
    parameters = {name: torch.nn.Parameter(torch.from_numpy(formula.fill(name, shape, -1.0, 1.0)).double())
                  for name, shape in SHAPES.items()}
    optimizer = optimizer_class(kind)(parameters.values(), lr=rates[0], **arguments)
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
        defaults = optimizer_class(kind)([torch.zeros(1)], lr=rates[0], **arguments).defaults
        used = {key: value for key, value in defaults.items()
                if key not in ("lr", "foreach", "capturable", "differentiable", "fused")}
        about[setting] = {"type": kind, **used, "lr": rates}
    write_safetensors("optim.safetensors", out, {
        "script": "tools/golden/optim.py", "versions": f"torch {torch.__version__}", "settings": about})


if __name__ == "__main__":
    main()
