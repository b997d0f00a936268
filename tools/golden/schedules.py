#!/usr/bin/env python3
"""Goldens of the schedules: mmengine's own, stepped as its runner steps them.

    python tools/golden/schedules.py

Every case trains 300 iterations in epochs of `epoch_length`. `base` holds learning rate, momentum and weight decay of the
optimizer, `values` those that each iteration used, but only the kinds that change, as changes: `[iteration, value]`
wherever a value differs from the one before. After every epoch a validation gives an element of
`fill("figure", [300], 0.4, 1)`, the first after the first. The configs are what a user writes; `end` defaults to `max_epochs` or
`max_iters`, as in `Runner.build_param_scheduler`, and the defaulted value is used before conversion to iterations.
"""

import warnings

warnings.filterwarnings("ignore")

import copy

import mmengine.optim  # registers the schedulers
import torch
from mmengine.registry import PARAM_SCHEDULERS

import formula
from files import write_json

ITERATIONS = 300

BY_ITER = dict(by_epoch=False)
CONVERTED = dict(by_epoch=True, convert_to_iter_based=True)

# Every case: the length of an epoch, and the schedulers in the order of the config.
CASES = {
    "constant_iter": (30, [dict(type="ConstantLR", factor=0.1, end=40, **BY_ITER)]),
    "constant_epoch": (10, [dict(type="ConstantLR", begin=3, end=20)]),
    "constant_converted": (10, [dict(type="ConstantLR", factor=0.5, end=4, **CONVERTED)]),
    "cosine_iter": (30, [dict(type="CosineAnnealingLR", T_max=300, **BY_ITER)]),
    "cosine_iter_eta_min_ratio": (30, [dict(type="CosineAnnealingLR", T_max=250, eta_min_ratio=0.05, **BY_ITER)]),
    "cosine_iter_begin_end": (30, [
        dict(type="CosineAnnealingLR", T_max=40, eta_min=0.01, begin=10, end=50, **BY_ITER)]),
    "cosine_iter_past_t_max": (30, [dict(type="CosineAnnealingLR", T_max=35, eta_min=0.01, **BY_ITER)]),
    "cosine_epoch": (6, [dict(type="CosineAnnealingLR", T_max=50, by_epoch=True)]),
    "cosine_epoch_begin_end": (4, [dict(type="CosineAnnealingLR", eta_min=0.002, begin=3, end=63, by_epoch=True)]),
    "cosine_converted_begin": (6, [dict(type="CosineAnnealingLR", T_max=40, begin=2, **CONVERTED)]),
    "cosine_converted_default_t_max": (6, [dict(type="CosineAnnealingLR", begin=2, **CONVERTED)]),
    "cosine_momentum": (6, [dict(type="CosineAnnealingMomentum", T_max=300, eta_min=0.5, **BY_ITER)]),
    "cosine_weight_decay": (5, [
        dict(type="CosineAnnealingParamScheduler", param_name="weight_decay", eta_min=1e-5, by_epoch=True)]),
    "restart_iter": (30, [
        dict(type="CosineRestartLR", periods=[100, 150], restart_weights=[1, 0.5], eta_min=0.001, **BY_ITER)]),
    "restart_epoch_ratio": (6, [
        dict(type="CosineRestartLR", periods=[10, 20, 20], restart_weights=[1, 1, 0.3], eta_min_ratio=0.1)]),
    "restart_converted": (6, [dict(type="CosineRestartLR", periods=[45], eta_min=0.0, **CONVERTED)]),
    "exponential_iter": (30, [dict(type="ExponentialLR", gamma=0.99, **BY_ITER)]),
    "exponential_epoch": (6, [dict(type="ExponentialLR", gamma=0.9, begin=5, end=30)]),
    "exponential_momentum": (6, [dict(type="ExponentialMomentum", gamma=0.95)]),
    "multi_step_iter": (30, [dict(type="MultiStepLR", milestones=[100, 200, 250], gamma=0.2, **BY_ITER)]),
    "multi_step_repeated": (6, [dict(type="MultiStepLR", milestones=[3, 3, 6], gamma=0.5, by_epoch=True)]),
    "multi_step_begin_end": (6, [dict(type="MultiStepLR", milestones=[10, 20, 40], begin=5, end=50, **BY_ITER)]),
    "multi_step_converted": (6, [dict(type="MultiStepLR", milestones=[3, 36], **CONVERTED)]),
    "multi_step_momentum": (6, [dict(type="MultiStepMomentum", milestones=[10, 36], gamma=0.9)]),
    "step_iter": (30, [dict(type="StepLR", step_size=40, gamma=0.5, **BY_ITER)]),
    "step_epoch": (6, [dict(type="StepLR", step_size=7, begin=3)]),
    "step_converted": (6, [dict(type="StepLR", step_size=7, gamma=0.3, end=40, **CONVERTED)]),
    "step_momentum": (6, [dict(type="StepMomentum", step_size=9, gamma=0.8)]),
    "linear_iter": (30, [dict(type="LinearLR", start_factor=0.01, end=120, **BY_ITER)]),
    "linear_iter_defaults": (30, [dict(type="LinearLR", **BY_ITER)]),
    "linear_iter_end_factor": (30, [
        dict(type="LinearLR", start_factor=1.0, end_factor=0.1, begin=5, end=245, **BY_ITER)]),
    "linear_epoch": (6, [dict(type="LinearLR", start_factor=0.1, end=15, by_epoch=True)]),
    "linear_converted": (6, [dict(type="LinearLR", start_factor=0.1, end=15, **CONVERTED)]),
    "linear_momentum": (6, [dict(type="LinearMomentum", start_factor=0.5, end=100, **BY_ITER)]),
    "poly_iter": (30, [dict(type="PolyLR", power=0.9, eta_min=1e-4, **BY_ITER)]),
    "poly_epoch": (6, [dict(type="PolyLR", begin=5, end=45)]),
    "poly_converted": (6, [dict(type="PolyLR", power=2.0, eta_min=1e-3, end=45, **CONVERTED)]),
    "poly_momentum": (6, [dict(type="PolyMomentum", power=0.5, eta_min=0.1, **BY_ITER)]),
    "one_cycle_iter": (30, [dict(type="OneCycleLR", eta_max=0.5, total_steps=300, **BY_ITER)]),
    "one_cycle_three_phases": (30, [dict(type="OneCycleLR", eta_max=0.5, three_phase=True, pct_start=0.25, **BY_ITER)]),
    "one_cycle_linear": (30, [
        dict(type="OneCycleLR", eta_max=1.0, anneal_strategy="linear", pct_start=0.4, div_factor=10.0,
             final_div_factor=100.0, begin=20, end=280, **BY_ITER)]),
    "one_cycle_converted": (6, [dict(type="OneCycleLR", eta_max=0.5, total_steps=50, **CONVERTED)]),
    "one_cycle_epoch": (6, [dict(type="OneCycleLR", eta_max=0.5, three_phase=True)]),
    "one_cycle_then_cosine": (6, [
        dict(type="OneCycleLR", eta_max=0.5, end=100, **BY_ITER),
        dict(type="CosineAnnealingLR", begin=100, eta_min_ratio=0.1, **BY_ITER)]),
    "warmup_iter_cosine_iter": (30, [
        dict(type="LinearLR", start_factor=0.001, begin=0, end=50, **BY_ITER),
        dict(type="CosineAnnealingLR", T_max=250, eta_min=0.0005, begin=50, end=300, **BY_ITER)]),
    "warmup_converted_cosine_epoch": (6, [
        dict(type="LinearLR", start_factor=0.01, begin=0, end=5, **CONVERTED),
        dict(type="CosineAnnealingLR", T_max=45, begin=5, end=50, by_epoch=True)]),
    "warmup_converted_cosine_converted": (6, [
        dict(type="LinearLR", start_factor=0.01, begin=0, end=5, **CONVERTED),
        dict(type="CosineAnnealingLR", T_max=45, eta_min=0.001, begin=5, end=50, **CONVERTED)]),
    "warmup_iter_multi_step_epoch": (6, [
        dict(type="LinearLR", start_factor=0.25, begin=0, end=50, **BY_ITER),
        dict(type="MultiStepLR", milestones=[20, 40], gamma=0.1, by_epoch=True)]),
    "warmup_iter_cosine_iter_overlapping": (30, [
        dict(type="LinearLR", start_factor=0.1, begin=0, end=100, **BY_ITER),
        dict(type="CosineAnnealingLR", T_max=300, **BY_ITER)]),
    "three_in_a_row": (6, [
        dict(type="ConstantLR", factor=0.5, begin=0, end=10, **CONVERTED),
        dict(type="PolyLR", power=0.9, begin=10, end=30, eta_min=0.01, by_epoch=True),
        dict(type="ExponentialLR", gamma=0.8, begin=30, end=50, by_epoch=True)]),
    "rate_and_momentum": (6, [
        dict(type="LinearLR", start_factor=0.1, end=100, **BY_ITER),
        dict(type="LinearMomentum", start_factor=0.9, end=100, **BY_ITER),
        dict(type="CosineAnnealingLR", begin=100, **BY_ITER),
        dict(type="CosineAnnealingMomentum", begin=100, eta_min=0.7, **BY_ITER)]),
    "plateau": (6, [dict(type="ReduceOnPlateauLR", monitor="figure", patience=2, factor=0.5)]),
    "plateau_greater": (6, [
        dict(type="ReduceOnPlateauLR", monitor="figure", rule="greater", patience=1, factor=0.3, threshold=0.05,
             threshold_rule="abs", cooldown=3, min_value=1e-4)]),
    "plateau_range": (6, [
        dict(type="LinearLR", start_factor=0.1, end=30, **BY_ITER),
        dict(type="ReduceOnPlateauLR", monitor="figure", patience=0, threshold=0.1, begin=5, end=30, eps=1e-3)]),
    "plateau_momentum": (6, [dict(type="ReduceOnPlateauMomentum", monitor="figure", patience=3, factor=0.9)]),
    "betas": (6, [dict(type="LinearMomentum", start_factor=0.5, end=100, **BY_ITER)]),
}

# What each validation gives, one after every epoch.
FIGURES = formula.fill("figure", (ITERATIONS,), 0.4, 1.0)

# The optimizer: SGD but where `betas` should be moved.
BASE = dict(lr=0.1, momentum=0.9, weight_decay=0.05)


def build(config, optimizer, epoch_length):
    """As `Runner.build_param_scheduler` does."""
    config = copy.deepcopy(config)
    config.setdefault("end", ITERATIONS // epoch_length if config.get("by_epoch", True) else ITERATIONS)
    return PARAM_SCHEDULERS.build(config, default_args=dict(optimizer=optimizer, epoch_length=epoch_length))


def state(optimizer):
    group = optimizer.param_groups[0]
    momentum = group["betas"][0] if "betas" in group else group["momentum"]
    return dict(lr=group["lr"], momentum=momentum, weight_decay=group["weight_decay"])


def run(name, epoch_length, configs):
    parameters = [torch.nn.Parameter(torch.zeros(1))]
    if name == "betas":
        optimizer = torch.optim.AdamW(parameters, lr=BASE["lr"], betas=(BASE["momentum"], 0.999), weight_decay=0.05)
    else:
        optimizer = torch.optim.SGD(parameters, **BASE)
    schedulers = [build(config, optimizer, epoch_length) for config in configs]
    rows = []
    for iteration in range(1, ITERATIONS + 1):
        rows.append(state(optimizer))
        optimizer.step()
        for scheduler in schedulers:
            if not scheduler.by_epoch:
                scheduler.step()
        if iteration % epoch_length == 0:
            for scheduler in schedulers:
                if scheduler.by_epoch:
                    scheduler.step()
            for scheduler in schedulers:
                if getattr(scheduler, "need_val_args", False):
                    scheduler.step(dict(figure=float(FIGURES[iteration // epoch_length - 1])))
    values = {}
    for key in BASE:
        column = [row[key] for row in rows]
        changes = [[i, v] for i, v in enumerate(column) if i == 0 or v != column[i - 1]]
        if changes != [[0, BASE[key]]]:
            values[key] = changes
    return values


def main():
    write_json("schedules.json", [
        {"name": name, "base": BASE, "epoch_length": epoch_length, "max_epochs": ITERATIONS // epoch_length,
         "max_iters": ITERATIONS, "param_scheduler": configs, "values": run(name, epoch_length, configs)}
        for name, (epoch_length, configs) in CASES.items()])


if __name__ == "__main__":
    main()
