"""Observers and fake quantizations of PyTorch and the original: writes `quant_observers.safetensors`.

Each observer sees three tensors `observer.0`, `.1`, `.2` of 4 x 6 x 5 elements, in the ranges of `RANGES`; for every scheme of
`schemes()`, in their order, its scales and zero points lie one after the other in `{observer}.scale` and `.zero`, and least and
largest elements in `.min` and `.max`.

Each fake quantization sees `fake.seen`, stops to observe (or begins to learn) and rounds `fake.x`: `{case}.y`, and by the gradient
`fake.dy` of it `{case}.dx`, where it learns `.ds` and `.dz`, too, and `.sizes`, the sums of the sizes of what is added to `.ds`:
its terms cancel, so that its last digits depend on the order of the sum. A learned zero point is moved by 0.3 first.

Run it in the environment of the original, torch 1.13.1.
"""

import torch
from files import f32, write_safetensors
from formula import fill
from mmrazor.models.fake_quants import LearnableFakeQuantize
from mmrazor.models.observers import LSQObserver, LSQPerChannelObserver
from mmrazor.structures.quantization import QSchemeHandler
from torch.ao.quantization import fake_quantize as fq
from torch.ao.quantization import observer as ob

SHAPE = [4, 6, 5]
RANGES = [(-1.0, 2.0), (-2.5, 0.5), (0.25, 3.0)]
OBSERVERS = {
    "MinMaxObserver": (ob.MinMaxObserver, {}),
    "PerChannelMinMaxObserver": (ob.PerChannelMinMaxObserver, {}),
    "MovingAverageMinMaxObserver": (ob.MovingAverageMinMaxObserver, dict(averaging_constant=0.1)),
    "MovingAveragePerChannelMinMaxObserver": (
        ob.MovingAveragePerChannelMinMaxObserver, dict(averaging_constant=0.1)),
    "LSQObserver": (LSQObserver, {}),
    "LSQPerChannelObserver": (LSQPerChannelObserver, {}),
}
CASES = [("qint8", 8, True), ("qint8", 3, False), ("quint8", 8, False), ("quint8", 4, True), ("quint8", 2, False)]


def schemes():
    for qdtype in ("qint8", "quint8"):
        for bit in range(2, 9):
            for symmetric in (True, False):
                for narrow in (False, True) if qdtype == "qint8" else (False,):
                    yield dict(qdtype=qdtype, bit=bit, is_symmetry=symmetric, is_symmetric_range=narrow)


def tensor(name, low, high):
    return torch.from_numpy(fill(name, SHAPE, low, high))


def observers(out):
    data = [tensor(f"observer.{i}", *r) for i, r in enumerate(RANGES)]
    for name, (kind, more) in OBSERVERS.items():
        scales, zeros = [], []
        for scheme in schemes():
            handler = QSchemeHandler(is_per_channel="PerChannel" in name, **scheme)
            observer = kind(**handler.to_observer_params(), **more)
            for x in data:
                observer(x)
            scale, zero = observer.calculate_qparams()
            scales.append(scale.reshape(-1))
            zeros.append(zero.reshape(-1))
        out[f"{name}.scale"] = f32(torch.cat(scales))
        out[f"{name}.zero"] = f32(torch.cat(zeros))
        out[f"{name}.min"], out[f"{name}.max"] = f32(observer.min_val.reshape(-1)), f32(observer.max_val.reshape(-1))


def fake_quant(out, case, module, learned, move_zero):
    seen, x, dy = tensor("fake.seen", -1.5, 1.0), tensor("fake.x", -2.0, 2.0), tensor("fake.dy", -1.0, 1.0)
    module(seen)
    if learned:
        module.enable_param_learning()
        if move_zero:
            module.zero_point.data += 0.3
    else:
        module.disable_observer()
    x.requires_grad_(True)
    y = module(x)
    y.backward(dy)
    out[f"{case}.y"], out[f"{case}.dx"] = f32(y), f32(x.grad)
    out[f"{case}.scale"], out[f"{case}.zero"] = f32(module.scale), f32(module.zero_point)
    if learned:
        out[f"{case}.ds"], out[f"{case}.sizes"] = f32(module.scale.grad), f32(sizes(module, x, dy))
        if move_zero:
            out[f"{case}.dz"] = f32(module.zero_point.grad)


def sizes(module, x, dy):
    """`g` times the sum of the sizes of the terms of the gradient of the scale, in f64."""
    x, dy, scale = (t.detach().double() for t in (x, dy, module.scale))
    low, high = module.quant_min, module.quant_max
    zero = module.zero_point.detach().double().round().clamp(low, high)
    if len(scale) > 1:
        scale, zero = scale.view(-1, 1, 1), zero.view(-1, 1, 1)
    q = (x / scale + zero).round()
    inside = (q >= low) & (q <= high)
    r = torch.where(inside, q - zero - x / scale, q.clamp(low, high) - zero)
    factor = 1.0 / (x.numel() * high) ** 0.5 if module.use_grad_scaling else 1.0
    terms = (dy * r).abs() * factor
    return terms.sum((1, 2)) if len(scale) > 1 else terms.sum().reshape(1)


def fake_quants(out):
    for by_channel in (False, True):
        of = "PerChannel" if by_channel else ""
        moving = ob.MovingAveragePerChannelMinMaxObserver if by_channel else ob.MovingAverageMinMaxObserver
        for qdtype, bit, symmetric in CASES:
            handler = QSchemeHandler(qdtype, bit, symmetric, by_channel)
            args = handler.to_observer_params()
            case = f"{qdtype}.{bit}.{'channel' if by_channel else 'tensor'}"
            plain = fq.FakeQuantize(observer=OBSERVERS[f"{of}MinMaxObserver"][0], **args)
            fake_quant(out, f"FakeQuantize.{case}", plain, False, False)
            fused = fq.FusedMovingAvgObsFakeQuantize(observer=moving, averaging_constant=0.1, **args)
            fake_quant(out, f"FusedMovingAvgObsFakeQuantize.{case}", fused, False, False)
            for scaled in (True, False):
                learnable = LearnableFakeQuantize(
                    observer=OBSERVERS[f"LSQ{of}Observer"][0], use_grad_scaling=scaled, zero_point_trainable=not scaled, **args)
                fake_quant(
                    out, f"LearnableFakeQuantize{'' if scaled else 'Unscaled'}.{case}", learnable, True, not scaled)
    fixed = fq.FixedQParamsFakeQuantize(ob.FixedQParamsObserver.with_args(
        scale=1 / 128, zero_point=128, dtype=torch.quint8, quant_min=0, quant_max=255))
    fake_quant(out, "FixedQParamsFakeQuantize.quint8.8.tensor", fixed, False, False)


def main():
    torch.set_num_threads(1)
    out = {}
    observers(out)
    fake_quants(out)
    write_safetensors("quant_observers.safetensors", out, {
        "script": "tools/golden/quant_observers.py", "versions": f"torch {torch.__version__}, mmrazor 1.0.0"})


if __name__ == "__main__":
    main()
