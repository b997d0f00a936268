#!/usr/bin/env python3
"""Check with ONNX Runtime that exported models have the accuracy that Occam reported.

    python3 tools/check_onnx.py WORK

WORK/summary.json says which models and which test images:

    {"models": [{"name": "dense", "file": "dense.onnx", "top1": 88.35}],
     "dataset": {"type": "FashionMNIST", "data_prefix": "data/fashion-mnist-small", "test_mode": true},
     "data_preprocessor": {"mean": [72.9], "std": [90.0]}}

`file` is relative to WORK, the paths of the dataset to the current directory; `top1` is in percent, `mean` and `std`
are of pixels from 0 to 255. Prints a line for every model, with the median latency of one image as information, and
exits 1 if a top-1 is more than 0.051 points off (one of 2,000 images) or a model cannot be run. Needs numpy and
onnxruntime.
"""

import gzip
import json
import statistics
import struct
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime

TOLERANCE = 0.051
BATCH = 500
THREADS = 2
TIMED_RUNS = 50
WARMUP_RUNS = 5


def read_idx(path, rank):
    """The array of an unsigned-byte IDX file."""
    raw = gzip.decompress(Path(path).read_bytes())
    magic, *shape = struct.unpack_from(f">{rank + 1}I", raw)
    if magic != 0x0800 + rank:
        sys.exit(f"{path}: magic {magic:#010x} is not that of a rank-{rank} unsigned-byte IDX file")
    return np.frombuffer(raw, np.uint8, offset=4 * (rank + 1)).reshape(shape)


def read_dataset(dataset, preprocessor):
    """Normalized images [N, 1, H, W] and their labels."""
    folder = Path(dataset.get("data_root") or "") / dataset["data_prefix"]
    images = read_idx(folder / "t10k-images-idx3-ubyte.gz", 3)[:, None]
    labels = read_idx(folder / "t10k-labels-idx1-ubyte.gz", 1)
    if len(images) != len(labels) or not len(labels):
        sys.exit(f"{len(images)} images, {len(labels)} labels")
    mean, std = (np.asarray(preprocessor[key], np.float32).reshape(1, -1, 1, 1) for key in ("mean", "std"))
    return (images.astype(np.float32) - mean) / std, labels


def open_session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def scores(session, images):
    return session.run(None, {session.get_inputs()[0].name: images})[0]


def top1(session, images, labels, batch):
    """Percent of the images whose largest score is at their label."""
    correct = 0
    for start in range(0, len(images), batch):
        part = images[start:start + batch]
        padding = np.zeros((batch - len(part), *part.shape[1:]), np.float32)
        output = scores(session, np.concatenate([part, padding]))[:len(part)]
        if output.ndim != 2 or not np.isfinite(output).all():
            raise ValueError(f"scores of shape {output.shape}, all finite: {np.isfinite(output).all()}")
        correct += int((output.argmax(1) == labels[start:start + batch]).sum())
    return 100.0 * correct / len(images)


def latency(session, images):
    """Median milliseconds of one run."""
    times = []
    for run in range(WARMUP_RUNS + TIMED_RUNS):
        start = time.perf_counter()
        scores(session, images)
        times.append(1000.0 * (time.perf_counter() - start))
    return statistics.median(times[WARMUP_RUNS:])


def check(work, model, file, reported, images, labels):
    """Prints the line of one file; whether it agrees."""
    try:
        session = open_session(work / file)
        fixed = session.get_inputs()[0].shape[0]
        batch, timed = (fixed, fixed) if isinstance(fixed, int) else (min(BATCH, len(images)), 1)
        measured = top1(session, images, labels, batch)
        milliseconds = latency(session, images[:timed])
    except Exception as error:  # onnxruntime's own errors share no base class
        print(f"FAIL {model['name']}: {file}: {error}")
        return False
    agrees = abs(measured - reported) <= TOLERANCE
    print(f"{'ok  ' if agrees else 'FAIL'} {file}: top-1 {measured:.2f} %, reported {reported:.2f} %; "
          f"{milliseconds:.3f} ms at batch {timed} with {THREADS} threads")
    return agrees


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    work = Path(sys.argv[1])
    summary = json.loads((work / "summary.json").read_text())
    if not summary["models"]:
        sys.exit(f"{work / 'summary.json'}: no models")
    images, labels = read_dataset(summary["dataset"], summary["data_preprocessor"])
    print(f"onnxruntime {onnxruntime.__version__}, {len(images)} images")
    results = []
    for model in summary["models"]:
        reported = dict(zip(model.get("files", []), model.get("top1_seeds", [])))
        reported[model["file"]] = model["top1"]
        results += [check(work, model, file, top, images, labels) for file, top in reported.items()]
    sys.exit(not all(results))


if __name__ == "__main__":
    main()
