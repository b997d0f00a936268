#!/usr/bin/env python3
"""Cut a class-balanced part out of Fashion-MNIST, still as four gzipped IDX files.

    python3 tools/make_fashion_mnist_small.py SRC DST

SRC holds the four files of the full set (https://github.com/zalandoresearch/fashion-mnist). DST gets the same
four names with the first 1,200 training and the first 200 test images of each class, in their original order.
The gzip headers carry no time and no name, so running it twice gives equal files. Needs only Python's own library.
"""

import gzip
import hashlib
import struct
import sys
from pathlib import Path

CLASSES = 10
PARTS = {"train": 1200, "t10k": 200}


def read_idx(path, rank):
    """The dimensions and the bytes of an unsigned-byte IDX file."""
    raw = gzip.decompress(path.read_bytes())
    magic, *shape = struct.unpack_from(f">{rank + 1}I", raw)
    if magic != 0x0800 + rank:
        sys.exit(f"{path}: magic {magic:#010x} is not that of a rank-{rank} unsigned-byte IDX file")
    body = raw[4 * (rank + 1):]
    size = 1
    for n in shape:
        size *= n
    if len(body) != size:
        sys.exit(f"{path}: the header says {size} bytes of data, {len(body)} follow")
    return shape, body


def write_idx(path, shape, body):
    """An unsigned-byte IDX file, compressed as far as zlib goes."""
    raw = struct.pack(f">{len(shape) + 1}I", 0x0800 + len(shape), *shape) + body
    with open(path, "wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        packed.write(raw)
    print(f"{path}: {path.stat().st_size} bytes, sha256 of the content {hashlib.sha256(raw).hexdigest()[:16]}")


def first_of_each_class(labels, per_class):
    """Indices, ascending, of the first `per_class` items of every class."""
    left = [per_class] * CLASSES
    kept = []
    for index, label in enumerate(labels):
        if left[label] > 0:
            left[label] -= 1
            kept.append(index)
    if any(left):
        sys.exit(f"too few images: {left} are missing, by class")
    return kept


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    source, target = map(Path, sys.argv[1:])
    target.mkdir(parents=True, exist_ok=True)
    for part, per_class in PARTS.items():
        image_name, label_name = f"{part}-images-idx3-ubyte.gz", f"{part}-labels-idx1-ubyte.gz"
        (_, height, width), pixels = read_idx(source / image_name, 3)
        _, labels = read_idx(source / label_name, 1)
        kept = first_of_each_class(labels, per_class)
        size = height * width
        write_idx(target / image_name, [len(kept), height, width],
                  b"".join(pixels[i * size:(i + 1) * size] for i in kept))
        write_idx(target / label_name, [len(kept)], bytes(labels[i] for i in kept))


if __name__ == "__main__":
    main()
