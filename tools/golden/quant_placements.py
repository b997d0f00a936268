"""Where the original's quantizers put fake quantization: writes `quant_placements.json`.

For every model and quantizer the points of mode `tensor`, in the order of the graph: what is rounded, by whom it is read
rounded, the first value with the same grid, and the integers. A value is called by what makes it: a module by its path (one
that is fused by the path of its convolution or linear layer), a function or method by its name and its number among its like
(`add#3`, with the ReLU after it). Modules that do nothing are left out. Run it in the environment of the original:
`python tools/golden/quant_placements.py`.
"""

import json
import warnings
from pathlib import Path

import torch
from mmengine.registry import init_default_scope

warnings.filterwarnings("ignore")
import mmcls.models  # noqa: E402, F401
import mmrazor.models  # noqa: E402, F401
from mmrazor.registry import MODELS  # noqa: E402
from torch.ao.quantization import FakeQuantizeBase  # noqa: E402

SKIPPED = ["mmcls.models.heads.ClsHead._get_loss", "mmcls.models.heads.ClsHead._get_predictions"]

def classifier(backbone, channels, **head):
    return dict(
        type="mmcls.ImageClassifier",
        backbone=dict(backbone, type="mmcls." + backbone["type"]),
        neck=dict(type="mmcls.GlobalAveragePooling"),
        head=dict(
            type="mmcls.LinearClsHead",
            num_classes=10,
            in_channels=channels,
            loss=dict(type="mmcls.CrossEntropyLoss", loss_weight=1.0),
        ),
    )

MODELS_ = {
    "resnet18": classifier(dict(type="ResNet", depth=18, num_stages=4, out_indices=(3,), style="pytorch"), 512),
    "resnet50": classifier(dict(type="ResNet", depth=50, num_stages=4, out_indices=(3,), style="pytorch"), 2048),
    "mobilenet_v2": classifier(dict(type="MobileNetV2", widen_factor=1.0), 1280),

}

def qconfig(qdtype):
    return dict(
        w_observer=dict(type="mmrazor.PerChannelMinMaxObserver"),
        a_observer=dict(type="mmrazor.MovingAverageMinMaxObserver"),
        w_fake_quant=dict(type="mmrazor.FakeQuantize"),
        a_fake_quant=dict(type="mmrazor.FakeQuantize"),
        w_qscheme=dict(qdtype="qint8", bit=8, is_symmetry=True, is_symmetric_range=True),
        a_qscheme=dict(qdtype=qdtype, bit=8, is_symmetry=True, averaging_constant=0.1),
    )

TRACER = dict(type="mmrazor.CustomTracer", skipped_methods=SKIPPED)
QUANTIZERS = {
    "native": dict(type="mmrazor.TorchNativeQuantizer", global_qconfig=qconfig("quint8"), tracer=TRACER),
    "openvino": dict(type="mmrazor.OpenVINOQuantizer", global_qconfig=qconfig("quint8"), tracer=TRACER),
    "tensorrt": dict(type="mmrazor.TensorRTQuantizer", global_qconfig=qconfig("qint8"), tracer=TRACER),
    "academic": dict(type="mmrazor.AcademicQuantizer", qconfig_mapping={"_global_": qconfig("quint8")}, tracer=TRACER),
}

def module(root, path):
    for part in path.split("."):
        root = getattr(root, part)
    return root

def source(node, prepared):
    """What makes a value: rounding and modules that do nothing make none."""
    while node.op == "call_module" and isinstance(module(prepared, node.target), (FakeQuantizeBase, torch.nn.Identity)):
        node = node.args[0]
    return node


def names(prepared):
    """Node -> name."""
    found, counts = {}, {}
    for node in prepared.graph.nodes:
        if node.op == "call_module":
            m = module(prepared, node.target)
            if isinstance(m, (FakeQuantizeBase, torch.nn.Identity)):
                continue
            arg = source(node.args[0], prepared)
            # An activation after a sum has the name of a copy of the module that the tracer made.
            is_sum = isinstance(m, torch.nn.ReLU) and arg.op == "call_function"
            found[node] = found[arg] if is_sum else node.target
        elif node.op in ("call_function", "call_method"):
            kind = node.target if isinstance(node.target, str) else node.target.__name__
            counts[kind] = counts.get(kind, -1) + 1
            found[node] = f"{kind}#{counts[kind]}"
        else:
            found[node] = node.op if node.op == "output" else node.name
    return found


def points(prepared):
    called, groups, list_ = names(prepared), {}, []

    def readers(node):
        for user in node.users:
            m = module(prepared, user.target) if user.op == "call_module" else None
            if isinstance(m, torch.nn.Identity):
                yield from readers(user)
            elif not isinstance(m, FakeQuantizeBase) and not called[user].startswith("size"):
                yield called[user]

    def add(value, m, read, group, **more):
        old = next((p for p in list_ if p["value"] == value and p["group"] == group), None)
        if old is not None:
            old["readers"] = sorted(set(old["readers"]) | set(read))
            return
        low = getattr(m, "quant_min", None)
        low = m.activation_post_process.quant_min if low is None else low
        high = getattr(m, "quant_max", None)
        high = m.activation_post_process.quant_max if high is None else high
        list_.append(dict(value=value, readers=sorted(set(read)), group=group, low=low, high=high, **more))

    for node in prepared.graph.nodes:
        if node.op != "call_module":
            continue
        m = module(prepared, node.target)
        if isinstance(m, FakeQuantizeBase):
            group = groups.setdefault(id(m), called[source(node.args[0], prepared)])
            add(called[source(node.args[0], prepared)], m, readers(node), group)
        elif hasattr(m, "weight_fake_quant"):
            name = node.target + ".weight"
            add(name, m.weight_fake_quant, [node.target], name, module=type(m).__name__)
    return list_


def main():
    init_default_scope("mmrazor")
    out = {}
    for name, config in MODELS_.items():
        for backend, quantizer in QUANTIZERS.items():
            torch.manual_seed(0)
            model = MODELS.build(config)
            built = MODELS.build(quantizer)
            built.convert_batchnorm2d(model)
            try:
                found = {}
                for mode in ("tensor", "predict", "loss"):
                    found[mode] = points(built.prepare(model, {"mode": mode}))
            except Exception as error:  # What the original cannot do is part of what is to be known.
                print(name, backend, type(error).__name__, str(error)[:150])
                out[f"{name}.{backend}"] = None
                continue
            out[f"{name}.{backend}"] = found["tensor"]
            # Names of what comes after the head differ between modes.
            same = [
                [dict(p, readers=[r for r in p["readers"] if not r.startswith(("_get", "output"))]) for p in l]
                for l in found.values()
            ]
            print(name, backend, len(found["tensor"]), "equal in all modes:", same[0] == same[1] == same[2])
    path = Path(__file__).parents[2] / "tests/golden/quant_placements.json"
    lines = [f"  {json.dumps(k)}: [\n" + ",\n".join("    " + json.dumps(p) for p in v) + "\n  ]" if v is not None else f"  {json.dumps(k)}: null" for k, v in out.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")

if __name__ == "__main__":
    main()
