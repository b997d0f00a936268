#!/usr/bin/env python3
"""Goldens of the distillation losses: PyTorch in float64, each checked against mmrazor's own class.

    python tools/golden/distill_losses.py

Needs torch 1.13 and mmrazor 1.0.0. For a shape written `4x10`, the inputs are `fill("preds_S.4x10", -3, 3)` and
`fill("preds_T.4x10", -3, 3)`. A loss that is not a scalar is differentiated with the upstream gradient
`fill("upstream.4x10", -1, 1)`, a scalar one with 1.
"""

import warnings

warnings.filterwarnings("ignore")

import mmrazor
import torch
import torch.nn.functional as F
from mmrazor.models.losses import KLDivergence

import formula
from files import f32, write_safetensors

VERSIONS = f"torch {torch.__version__}, mmrazor {mmrazor.__version__}"
SHAPES = [(4, 10), (2, 5, 3, 3)]


def kl_divergence(preds_s, preds_t, tau, reduction, loss_weight):
    """`loss_weight * tau^2 * KL(softmax(T / tau) || softmax(S / tau))`, written out."""
    log_student = F.log_softmax(preds_s / tau, dim=1)
    log_teacher = F.log_softmax(preds_t / tau, dim=1)
    terms = loss_weight * tau**2 * log_teacher.exp() * (log_teacher - log_student)
    return {"none": lambda: terms, "sum": terms.sum, "mean": terms.mean,
            "batchmean": lambda: terms.sum() / len(terms)}[reduction]()


def differentiate(loss, tag, shape):
    """The value of `loss` and its gradients; no gradient is None."""
    inputs = [torch.from_numpy(formula.fill(f"preds_{side}.{tag}", shape, -3.0, 3.0)).double().requires_grad_()
              for side in "ST"]
    value = loss(*inputs)
    upstream = torch.ones((), dtype=torch.float64)
    if value.ndim:
        upstream = torch.from_numpy(formula.fill(f"upstream.{tag}", shape, -1.0, 1.0)).double()
    value.backward(upstream)
    return value.detach(), inputs[0].grad, inputs[1].grad


def main():
    torch.set_num_threads(1)
    loss_weight = 0.5
    out, cases = {}, []
    for shape in SHAPES:
        tag = "x".join(map(str, shape))
        for tau in (1.0, 4.0):
            for reduction in ("none", "batchmean", "sum", "mean"):
                arguments = dict(tau=tau, reduction=reduction, loss_weight=loss_weight)
                value, grad_s, grad_t = differentiate(lambda s, t: kl_divergence(s, t, **arguments), tag, shape)

                own = differentiate(KLDivergence(**arguments, teacher_detach=False), tag, shape)
                for ours, theirs in zip((value, grad_s, grad_t), own):
                    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)
                detached = differentiate(KLDivergence(**arguments), tag, shape)
                assert torch.equal(detached[0], own[0]) and torch.equal(detached[1], own[1]) and detached[2] is None

                name = f"{tag}.tau{tau:g}.{reduction}"
                out |= {f"{name}.value": f32(value), f"{name}.grad_S": f32(grad_s), f"{name}.grad_T": f32(grad_t)}
                cases.append({"name": name, "shape": list(shape), **arguments})
    write_safetensors("kl_divergence.safetensors", out, {
        "script": "tools/golden/distill_losses.py", "versions": VERSIONS, "cases": cases})


if __name__ == "__main__":
    main()
