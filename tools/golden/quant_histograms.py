"""Ranges from histograms: writes `quant_histograms.safetensors`.

- `HistogramObserver.{qdtype}.{bit}.{symmetric}.{upsample_rate}`: least and largest element, scale and zero point of PyTorch's
  observer in f64 after the tensors of `DATA`, whose range grows twice; `.histogram` once for each rate. PyTorch searches for 256
  levels whatever the integers are; here it is told how many there are.
- `HistogramObserver.tail`: the same of `TAIL`, which has one element far from all others, for 8 bits.
- `percentile.{p}`: the range of onnxruntime's collector, and `.exact` NumPy's quantiles.
- `mse`: the least squared error of 4 bits among all ranges in steps of a hundredth of the whole one, by the elements themselves.
- `entropy`: the range of onnxruntime's collector, 2048 bins to 255 levels around 0.

Run it with torch 2.13 and onnxruntime 1.32.
"""

import numpy as np
import torch
from files import write_safetensors
from formula import unit
from onnxruntime.quantization.calibrate import HistogramCollector
from torch.ao.quantization.observer import HistogramObserver

COUNT = 20000


def bell(name, scale, count=COUNT):
    """Sums of four uniform numbers, with tails."""
    u = unit(name, (count, 4))
    x = (u.sum(1) - 2.0) * scale
    return (x * (1.0 + 0.5 * x * x)).astype(np.float32)


DATA = [bell("histogram.0", 0.5), bell("histogram.1", 1.0), np.maximum(bell("histogram.2", 0.75), 0), bell("histogram.3", 1.5)]
TAIL = [DATA[2], np.append(DATA[2], np.float32(60.0))]


def searched(qdtype, bit, symmetric, rate, data):
    """The observer of torch, and what it finds."""
    low = -(2 ** (bit - 1)) if qdtype == "qint8" else 0
    observer = HistogramObserver(
        dtype=getattr(torch, qdtype), quant_min=low, quant_max=low + 2**bit - 1,
        qscheme=torch.per_tensor_symmetric if symmetric else torch.per_tensor_affine,
        factory_kwargs=dict(dtype=torch.float64))
    observer.dst_nbins, observer.upsample_rate = 2**bit, rate
    for x in data:
        observer(torch.from_numpy(x).double())
    low, high = observer._non_linear_param_search()
    scale, zero = observer.calculate_qparams()
    return observer, np.array([low.item(), high.item(), scale.item(), zero.item()])


def torchs(out):
    torch.set_default_dtype(torch.float64)
    out["HistogramObserver.tail"] = searched("quint8", 8, False, 128, TAIL)[1]
    for qdtype in ("qint8", "quint8"):
        for bit in (3, 4, 6, 8):
            for symmetric in (True, False):
                for rate in (128, 16):
                    observer, found = searched(qdtype, bit, symmetric, rate, DATA)
                    out[f"HistogramObserver.{qdtype}.{bit}.{int(symmetric)}.{rate}"] = found
                    out[f"HistogramObserver.histogram.{rate}"] = observer.histogram.numpy().astype(np.float32)


def collected(method, **more):
    args = dict(symmetric=False, num_bins=2048, num_quantized_bins=255, percentile=99.9, scenario="same") | more
    collector = HistogramCollector(method, **args)
    for x in DATA:
        collector.collect({"x": x})
    found = collector.compute_collection_result()["x"]
    return np.array([float(found[0]), float(found[1])])


def mse(bit):
    x = np.concatenate(DATA).astype(np.float32)
    levels = 2**bit - 1

    def loss(low, high):
        scale = np.float32(max((high - low) / levels, 1.1920929e-07))
        zero = np.clip(-np.round(np.float32(low) / scale), 0, levels)
        q = np.clip(np.round(x / scale) + zero, 0, levels)
        return (((q - zero) * scale - x).astype(np.float64) ** 2).sum()

    low, high = min(x.min(), 0), max(x.max(), 0)
    return min(loss(low * i / 100, high * j / 100) for i in range(20, 101, 1) for j in range(20, 101, 1))


def main():
    out = {}
    torchs(out)
    # Between two elements whose order no rounding changes.
    for p in (99.00125, 99.90125, 99.99125):
        out[f"percentile.{p}"] = collected("percentile", percentile=p)
        x = np.concatenate(DATA).astype(np.float64)
        rest = (100 - p) / 200
        out[f"percentile.{p}.exact"] = np.quantile(x, [rest, 1 - rest], method="inverted_cdf")
    out["entropy"] = collected("entropy")
    out["mse"] = np.array([mse(4)])
    write_safetensors("quant_histograms.safetensors", out, {
        "script": "tools/golden/quant_histograms.py", "versions": f"torch {torch.__version__}, onnxruntime 1.32"})


if __name__ == "__main__":
    main()
