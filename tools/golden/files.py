"""Writing goldens: safetensors and JSON with equal bytes on every run.

The safetensors package orders its metadata by a randomly seeded hash and is not in every environment; the format
is an 8-byte length, a JSON header and the data, so it is written here.
"""

import json
import struct
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "golden"
DTYPES = {"float64": "F64", "int64": "I64", "float32": "F32"}


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def report(path):
    print(f"{path}: {path.stat().st_size} bytes")


def write_json(name, rows):
    """A JSON list, one row a line."""
    GOLDEN.mkdir(parents=True, exist_ok=True)
    path = GOLDEN / name
    path.write_text("[\n" + ",\n".join(map(compact, rows)) + "\n]\n", encoding="utf-8")
    report(path)


def write_safetensors(name, tensors, metadata):
    """`tensors`: name to array, f64, i64 or f32. `metadata`: name to a string, or to a value stored as JSON."""
    GOLDEN.mkdir(parents=True, exist_ok=True)
    header = {"__metadata__": {key: value if isinstance(value, str) else compact(value)
                               for key, value in metadata.items()}}
    body = b""
    for key in sorted(tensors, key=lambda key: (-tensors[key].dtype.itemsize, key)):
        array = np.asarray(tensors[key])
        if not np.isfinite(array).all():
            raise ValueError(f"{name}: {key} is not finite")
        data = array.astype(array.dtype.newbyteorder("<")).tobytes()
        header[key] = {"dtype": DTYPES[array.dtype.name], "shape": list(array.shape),
                       "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    head = compact(header).encode()
    head += b" " * (-len(head) % 8)
    path = GOLDEN / name
    path.write_bytes(struct.pack("<Q", len(head)) + head + body)
    report(path)


def f32(tensor):
    """A torch tensor, or a number, as an f32 array."""
    return np.asarray(tensor.detach().numpy() if hasattr(tensor, "detach") else tensor).astype(np.float32)
