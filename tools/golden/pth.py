#!/usr/bin/env python3
"""Checkpoints as PyTorch and mmengine write them, for the reader of `io::pth`.

    archive.pth         torch.save of a state dict whose names all begin with `module.`
    legacy.pth          the same in the layout before PyTorch 1.6
    mmengine.pth        what a runner of mmengine saves: `state_dict`, `ema_state_dict`, `optimizer`, `message_hub`, `meta`
    mmengine_legacy.pth the same in the old layout
    protocol4.pth       nn.Parameter and an untyped storage, pickled by protocol 4
    module.pth          a whole nn.Module
    evil_*.pth          pickles that would run `posix.system`, in both layouts

Element `i` of a tensor is `i`; what is expected stands in the test.
"""

import argparse
import collections
import datetime
import os
import pathlib

import numpy as np
import torch

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden" / "pth"
KINDS = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int8, torch.uint8, torch.int32,
         torch.int64, torch.bool]


def state_dict():
    base = torch.arange(24, dtype=torch.float32)
    tensors = collections.OrderedDict()
    tensors["dense"] = base.reshape(2, 3, 4)
    tensors["transposed"] = base.reshape(4, 6).t()
    tensors["slice"] = base.reshape(4, 6)[1:3, ::2]
    tensors["expanded"] = base[5:6].expand(2, 3)
    tensors["scalar"] = torch.tensor(7)
    tensors["empty"] = torch.zeros(0, 3)
    for kind in KINDS:
        tensors[str(kind).split(".")[1]] = torch.arange(3).to(kind)
    return collections.OrderedDict((f"module.{name}", t) for name, t in tensors.items())


def mmengine():
    from mmengine.config import ConfigDict
    from mmengine.logging import HistoryBuffer, MessageHub

    layer = torch.nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.0, 1.0]]))
        layer.bias.copy_(torch.tensor([2.0]))
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    hub = MessageHub("golden")
    hub.update_scalar("train/loss", 0.5)
    averages = collections.OrderedDict((f"module.{k}", v + 1) for k, v in layer.state_dict().items())
    averages["steps"] = torch.tensor(3)
    return {
        "meta": {"epoch": 1, "cfg": "model = 1", "time": datetime.datetime(2024, 1, 2), "args": argparse.Namespace(a=1),
                 "seed": np.int64(3), "options": ConfigDict(a=dict(b=1)), "array": np.arange(3), "big": 1 << 80},
        "message_hub": hub.state_dict(),
        "history": HistoryBuffer([1, 2], [1, 1]),
        "optimizer": optimizer.state_dict(),
        "ema_state_dict": averages,
        "state_dict": layer.state_dict(),
    }


class Evil:
    def __reduce__(self):
        return os.system, ("echo this must never run",)


def main():
    FOLDER.mkdir(exist_ok=True)
    torch.save(state_dict(), FOLDER / "archive.pth")
    torch.save(state_dict(), FOLDER / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.manual_seed(0)
    torch.save(mmengine(), FOLDER / "mmengine.pth")
    torch.save(mmengine(), FOLDER / "mmengine_legacy.pth", _use_new_zipfile_serialization=False)
    parameters = {"model": {"w": torch.nn.Parameter(torch.arange(4.0)), "n": torch.arange(2, dtype=torch.int32)}}
    torch.save(parameters, FOLDER / "protocol4.pth", pickle_protocol=4)
    torch.save(torch.nn.Linear(1, 1), FOLDER / "module.pth")
    torch.save({"state_dict": Evil()}, FOLDER / "evil_legacy.pth", _use_new_zipfile_serialization=False)
    torch.save({"state_dict": Evil()}, FOLDER / "evil_archive.pth")


if __name__ == "__main__":
    main()
