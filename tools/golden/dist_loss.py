#!/usr/bin/env python3
"""Goldens of DISTLoss: mmrazor's own class in float64.

    python tools/golden/dist_loss.py

Needs torch 1.13 and mmrazor 1.0.0. For a shape written `4x10`, the inputs are `fill("preds_S.4x10", -3, 3)` and
`fill("preds_T.4x10", -3, 3)`.
"""

import warnings

warnings.filterwarnings("ignore")

import mmrazor
import torch
from mmrazor.models.losses import DISTLoss

import formula
from files import f32, write_safetensors


VERSIONS = f"torch {torch.__version__}, mmrazor {mmrazor.__version__}"


def main():
    torch.set_num_threads(1)
    out, cases = {}, []
    for shape in [(4, 10), (7, 3)]:
        tag = "x".join(map(str, shape))
        for keys in (dict(), dict(tau=4.0, loss_weight=0.5), dict(inter_loss_weight=2.0, intra_loss_weight=0.25, tau=2.0)):
            name = f"{tag}.{len(cases)}"
            student, teacher = (
                torch.from_numpy(formula.fill(f"preds_{side}.{tag}", shape, -3.0, 3.0)).double().requires_grad_()
                for side in "ST")
            value = DISTLoss(**keys)(student, teacher)
            value.backward()
            out[f"{name}.value"] = f32(value.detach().reshape(1))
            out[f"{name}.grad_S"] = f32(student.grad)
            cases.append(dict(name=name, shape=list(shape), **keys))
    write_safetensors("dist_loss.safetensors", out, {
        "script": "tools/golden/dist_loss.py", "versions": VERSIONS, "cases": cases})


if __name__ == "__main__":
    main()
