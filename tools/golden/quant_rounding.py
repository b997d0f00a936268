"""Roundings of weights, in float64: steps of AdaRound by PyTorch's autograd and Adam, GPTQ and SparseGPT as their authors have
them (the original's GPTQ and Quantizer, with the symmetric ranges of rows without negative elements mended), ranges of least
error, and the mean error that rounding adds.

    /work/env/peers/bin/python tools/golden/quant_rounding.py

Inputs are those of the formula. Writes tests/golden/quant_rounding.safetensors.
"""
import math

import numpy as np
import torch

from files import write_safetensors
from formula import fill

torch.set_default_dtype(torch.float64)
out = {}

# --- AdaRound: gradients of V and the weights after a few steps of Adam.
ROWS, COLUMNS, DATA = 6, 20, 64
w = torch.from_numpy(fill("ada.w", [ROWS, COLUMNS], -1.0, 1.0).astype(np.float64))
x = torch.from_numpy(fill("ada.x", [DATA, COLUMNS], -1.0, 1.0).astype(np.float64))
b = torch.from_numpy(fill("ada.b", [ROWS], -0.5, 0.5).astype(np.float64))
scale = torch.from_numpy(fill("ada.scale", [ROWS], 0.2, 0.3).astype(np.float64)).view(-1, 1)
LOW, HIGH = -4, 3
floor = torch.floor(w / scale)
rest = w / scale - floor
v = (-torch.log(1.2 / (rest + 0.1) - 1)).requires_grad_(True)


def h(v):
    return torch.clamp(torch.sigmoid(v) * 1.2 - 0.1, 0, 1)


def soft(v):
    return scale * torch.clamp(floor + h(v), LOW, HIGH)


def loss(v, beta):
    y, target = torch.relu(x @ soft(v).T + b), torch.relu(x @ w.T + b)
    error = ((y - target) ** 2).sum(1).mean()
    return error + 0.01 * (1 - (2 * h(v) - 1).abs().pow(beta)).sum()


loss(v, 12.0).backward()
out["ada.gradient"] = v.grad.clone()
out["ada.regularizer"] = (1 - (2 * h(v) - 1).abs().pow(12.0)).sum().detach().view(1)
optimizer = torch.optim.Adam([v], lr=1e-2)
for step in range(50):
    optimizer.zero_grad()
    loss(v, 20.0 - step * 0.3).backward()
    optimizer.step()
out["ada.v"], out["ada.soft"] = v.detach(), soft(v).detach()


# --- GPTQ
class Quantizer:
    def configure(self, bits, perchannel=False, sym=True, mse=False, norm=2.4, grid=100, maxshrink=0.8, trits=False):
        self.maxq = -1 if trits else 2 ** bits - 1
        self.perchannel, self.sym, self.mse, self.norm, self.grid, self.maxshrink = perchannel, sym, mse, norm, grid, maxshrink
        return self

    def find_params(self, x):
        rows = x.shape[0]
        x = x if self.perchannel else x.reshape(1, -1)
        xmin, xmax = np.minimum(x.min(1), 0), np.maximum(x.max(1), 0)
        if self.sym:
            xmax = np.maximum(-xmin, xmax)
            xmin = -xmax
        empty = (xmin == 0) & (xmax == 0)
        xmin[empty], xmax[empty] = -1, 1
        if self.maxq < 0:
            self.scale, self.zero = np.float32(xmax).astype(np.float64), np.float32(xmin).astype(np.float64)
        else:
            self.scale = np.float32((xmax - xmin) / self.maxq).astype(np.float64)
            self.zero = np.full_like(self.scale, (self.maxq + 1) / 2) if self.sym else np.round(-xmin / ((xmax - xmin) / self.maxq))
        if self.mse and self.maxq >= 0:
            best = np.full(x.shape[0], np.inf)
            for i in range(int(self.maxshrink * self.grid)):
                p = 1 - i / self.grid
                low, high = p * xmin, p * xmax
                s = np.float32((high - low) / self.maxq).astype(np.float64)
                z = np.round(-low / ((high - low) / self.maxq)) if not self.sym else self.zero
                q = np.clip(np.round(x / s[:, None]) + z[:, None], 0, self.maxq)
                error = (np.abs(s[:, None] * (q - z[:, None]) - x) ** self.norm).sum(1)
                better = error < best
                best[better], self.scale[better], self.zero[better] = error[better], s[better], z[better]
        if not self.perchannel:
            self.scale, self.zero = np.repeat(self.scale, rows), np.repeat(self.zero, rows)

    def quantize(self, x):
        if self.maxq < 0:
            return (x > self.scale / 2) * self.scale + (x < self.zero / 2) * self.zero
        return self.scale * (np.clip(np.round(x / self.scale) + self.zero, 0, self.maxq) - self.zero)


def prepare(w, h, actorder, percdamp):
    w, h = w.copy(), h.copy()
    dead = np.diag(h) == 0
    h[dead, dead] = 1
    w[:, dead] = 0
    perm = np.argsort(-np.diag(h), kind="stable") if actorder else np.arange(len(h))
    w, h = w[:, perm], h[perm][:, perm]
    h[np.arange(len(h)), np.arange(len(h))] += percdamp * np.mean(np.diag(h))
    inverse = np.linalg.cholesky(np.linalg.inv(h)).T
    return w, inverse, perm


def gptq(w, h, quantizer, blocksize=128, percdamp=0.01, groupsize=-1, actorder=False, sparsity=None, nm=None):
    if quantizer is not None and groupsize == -1:
        dead = np.diag(h) == 0
        whole = w.copy()
        whole[:, dead] = 0
        quantizer.find_params(whole)
    w, u, perm = prepare(w, h, actorder, percdamp)
    columns = w.shape[1]
    result, scales, zeros, groups = np.zeros_like(w), [], [], []
    for i1 in range(0, columns, blocksize):
        i2 = min(i1 + blocksize, columns)
        block, err = w[:, i1:i2].copy(), np.zeros((w.shape[0], i2 - i1))
        ub = u[i1:i2, i1:i2]
        mask = np.zeros(block.shape, bool)
        if sparsity is not None:
            score = block ** 2 / np.diag(ub)[None] ** 2
            count = int(score.size * sparsity)
            mask.reshape(-1)[np.argsort(score, axis=None, kind="stable")[:count]] = True
        for i in range(i2 - i1):
            if quantizer is not None and groupsize != -1 and (i1 + i) % groupsize == 0:
                # Errors of this block so far reach all of it; of later blocks only what is done.
                full = w.copy()
                full[:, i1:i2] = block
                quantizer.find_params(full[:, i1 + i:i1 + i + groupsize])
                scales.append(quantizer.scale.copy())
                zeros.append(quantizer.zero.copy())
            groups.append(max(len(scales) - 1, 0))
            if nm is not None and (i1 + i) % nm[1] == 0:
                score = block[:, i:i + nm[1]] ** 2 / np.diag(ub)[None, i:i + nm[1]] ** 2
                for r in range(w.shape[0]):
                    mask[r, i + np.argsort(score[r], kind="stable")[:nm[0]]] = True
            column = block[:, i]
            q = column.copy() if quantizer is None else quantizer.quantize(column)
            q[mask[:, i]] = 0
            result[:, i1 + i] = q
            e = (column - q) / ub[i, i]
            err[:, i] = e
            block[:, i:] -= np.outer(e, ub[i, i:])
        w[:, i2:] -= err @ u[i1:i2, i2:]
    inverse = np.argsort(perm)
    return result[:, inverse], scales, zeros, np.array(groups)[inverse]


ROWS, COLUMNS, DATA = 8, 48, 200
w = fill("gptq.w", [ROWS, COLUMNS], -1.0, 1.0).astype(np.float64)
# Inputs that go together, as neighbouring pixels do.
x = fill("gptq.x", [DATA, COLUMNS], -1.0, 1.0).astype(np.float64)
x = x + np.roll(x, 1, 1) + np.roll(x, 2, 1) * np.linspace(0, 2, COLUMNS)
x[:, 7] = 0
hessian = 2.0 / DATA * x.T @ x
for name, config, options in [
    ("plain", dict(bits=4, perchannel=True, sym=False), dict(blocksize=16)),
    ("symmetric", dict(bits=3, perchannel=True), dict(blocksize=128)),
    ("tensor", dict(bits=4), dict(blocksize=16, actorder=True)),
    ("grouped", dict(bits=4, perchannel=True, sym=False), dict(blocksize=16, groupsize=8)),
    ("ordered", dict(bits=4, perchannel=True, sym=False), dict(blocksize=16, groupsize=16, actorder=True)),
    ("mse", dict(bits=2, perchannel=True, sym=False, mse=True), dict(blocksize=32)),
    ("trits", dict(bits=2, perchannel=True, trits=True), dict(blocksize=16)),
    ("sparse", None, dict(blocksize=16, sparsity=0.5)),
    ("runs", None, dict(blocksize=16, nm=(2, 4))),
    ("both", dict(bits=4, perchannel=True, sym=False), dict(blocksize=16, nm=(2, 4))),
]:
    quantizer = None if config is None else Quantizer().configure(**config)
    q, scales, zeros, groups = gptq(w, hessian, quantizer, **options)
    out[f"gptq.{name}"] = q
    if quantizer is not None:
        out[f"gptq.{name}.scale"] = np.array(scales) if scales else quantizer.scale
        out[f"gptq.{name}.zero"] = np.array(zeros) if zeros else quantizer.zero
    out[f"gptq.{name}.g_idx"] = groups.astype(np.int64)

# --- Ranges of least squared error, by channel, signed and symmetric of 4 bits without the least.
w = fill("range.w", [5, 40], -1.0, 1.0).astype(np.float64) ** 3
found = []
for row in np.float32(w):
    best = (math.inf, None)
    most = np.abs(row).max()
    for i in range(81):
        s = np.float32(np.float32(1 - np.float32(i) / np.float32(100)) * most / np.float32(7))
        error = ((np.clip(np.round(row / s), -7, 7) * s - row).astype(np.float64) ** 2).sum()
        if error < best[0]:
            best = (error, s)
    found.append(best[1])
out["range.scale"] = np.array(found, np.float64)

# --- The mean error of a convolution with groups whose weight is rounded, without padding: of the whole output by running it.
w = torch.from_numpy(fill("bias.w", [6, 2, 3, 3], -1.0, 1.0).astype(np.float64))
x = torch.from_numpy(fill("bias.x", [8, 4, 3, 3], 0.0, 1.0).astype(np.float64))
# Of constant planes the mean over windows is that over pixels.
x = x[:, :, :1, :1].expand(8, 4, 7, 7)
scale = w.abs().amax((1, 2, 3), keepdim=True) / 3
rounded = torch.clamp(torch.round(w / scale), -3, 3) * scale
difference = torch.nn.functional.conv2d(x, rounded - w, groups=2)
out["bias.shift"] = difference.mean((0, 2, 3))

arrays = {k: (t.numpy() if isinstance(t, torch.Tensor) else t) for k, t in out.items()}
write_safetensors("quant_rounding.safetensors", {k: (a if a.dtype == np.int64 else a.astype(np.float64)) for k, a in arrays.items()}, {"torch": torch.__version__})
