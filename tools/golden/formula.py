#!/usr/bin/env python3
"""Numbers from a name: the inputs and weights of every golden, computed and never stored.

Element `i` of the tensor called `name` is

    seed = FNV-1a 64 of the UTF-8 name
    z    = splitmix64(seed + (i + 1) * 0x9E3779B97F4A7C15)     modulo 2^64
    u    = (z >> 40) / 2^24                                    in [0, 1), exact in f32
    value = low + (high - low) * u                             in f64, then rounded to f32

so a test in any language repeats it bit for bit. Elements are numbered in row-major order, hence the values do
not depend on the shape. Run as a program, it writes a few of them to `formula.json`, for the other side's own test.
"""

import numpy as np

GAMMA = np.uint64(0x9E3779B97F4A7C15)


def fnv1a(name):
    """64-bit FNV-1a hash of the UTF-8 bytes of `name`."""
    state = 0xCBF29CE484222325
    for byte in name.encode():
        state = (state ^ byte) * 0x100000001B3 % 2**64
    return state


def splitmix64(z):
    """The output function of SplitMix64, elementwise over uint64."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def unit(name, shape):
    """Multiples of 2^-24 in [0, 1), as f64."""
    count = int(np.prod(shape, dtype=np.int64))
    steps = np.arange(1, count + 1, dtype=np.uint64)
    z = splitmix64(np.uint64(fnv1a(name)) + steps * GAMMA)
    return ((z >> np.uint64(40)).astype(np.float64) / 2**24).reshape(shape)


def fill(name, shape, low, high):
    """f32 values in [low, high]."""
    return (low + (high - low) * unit(name, shape)).astype(np.float32)


def labels(name, count, classes):
    """Class indices, as i64."""
    return np.floor(unit(name, (count,)) * classes).astype(np.int64)


def bounds(name, shape):
    """The range of a parameter or buffer, from the last part of its name and its rank."""
    kind = name.rsplit(".", 1)[-1]
    if kind == "weight" and len(shape) > 1:
        fan_in = int(np.prod(shape, dtype=np.int64)) // shape[0]
        high = float(np.sqrt(3.0 * 2.0 / fan_in))
        return -high, high
    if kind in ("weight", "running_var", "gamma", "layer_scale"):
        return 0.5, 1.5
    if kind in ("bias", "running_mean"):
        return -0.1, 0.1
    if kind in ("relative_position_bias_table", "absolute_pos_embed"):
        return -0.5, 0.5
    if kind in ("cls_token", "dist_token", "pos_embed"):
        return -0.5, 0.5
    raise KeyError(f"no range for {name} {shape}")


def parameter(name, shape):
    """The value of a parameter or buffer; a batch counter is 0."""
    if name.endswith(".num_batches_tracked"):
        return np.zeros(shape, np.int64)
    return fill(name, shape, *bounds(name, shape))


def image(shape):
    """The input of every model golden."""
    return fill("input", shape, -2.0, 2.0)


def main():
    from files import write_json

    cases = [("", [3], 0.0, 1.0), ("input", [5], -2.0, 2.0), ("größe", [2, 2], -0.1, 0.1)]
    cases += [(name, shape, *bounds(name, shape)) for name, shape in [
        ("backbone.conv1.weight", [4, 3, 1, 1]), ("backbone.bn1.weight", [3]), ("head.fc.bias", [3])]]
    write_json("formula.json", [
        {"name": name, "shape": shape, "low": low, "high": high, "fnv1a": f"{fnv1a(name):016x}",
         "bits": [f"{bits:08x}" for bits in fill(name, shape, low, high).view(np.uint32).ravel()],
         "labels_of_10": labels(name, int(np.prod(shape)), 10).tolist()}
        for name, shape, low, high in cases])


if __name__ == "__main__":
    main()
