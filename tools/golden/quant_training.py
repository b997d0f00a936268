"""What the original's quantized models compute: writes `quant_training.safetensors`.

A small ResNet_CIFAR whose weights are those of the formula, in the original's MMArchitectureQuant:

- `ptq`: two batches calibrate it (evaluation mode), then a third is computed; grids, logits, and those of the deployed model.
- `qat`: two training passes, the weights unchanged: losses and gradients of the second, grids and running statistics after it.
- `lsq`: the same with LearnableFakeQuantize of 4 bits, whose first pass sets the grids.

AcademicQuantizer for trainings, TensorRTQuantizer for the deployed model: they round layers alone, which the original does
without a mistake (`quant_placements.py`). Run it in the environment of the original: `python tools/golden/quant_training.py`.
"""

import warnings

import torch
from mmengine.registry import init_default_scope

warnings.filterwarnings("ignore")
import mmcls.models  # noqa: E402, F401
import mmrazor.models  # noqa: E402, F401
from files import f32, write_safetensors  # noqa: E402
from formula import fill, labels, parameter  # noqa: E402
from mmcls.structures import ClsDataSample  # noqa: E402
from mmrazor.models.fake_quants import enable_param_learning, enable_static_estimate  # noqa: E402
from mmrazor.registry import MODELS  # noqa: E402
from quant_placements import TRACER, names, source  # noqa: E402
from torch.ao.quantization import disable_observer, enable_fake_quant, enable_observer  # noqa: E402

ARCHITECTURE = dict(
    type="mmcls.ImageClassifier",
    backbone=dict(
        type="mmcls.ResNet_CIFAR", depth=18, base_channels=4, stem_channels=4, num_stages=2, strides=(1, 2),
        dilations=(1, 1), out_indices=(1,), zero_init_residual=False),
    neck=dict(type="mmcls.GlobalAveragePooling"),
    head=dict(type="mmcls.LinearClsHead", num_classes=5, in_channels=8, loss=dict(type="mmcls.CrossEntropyLoss")),
)
LAYERS = ["backbone.conv1", "backbone.layer1.0.conv2", "backbone.layer2.0.downsample.0", "head.fc"]
PARAMS = [f"{layer}.weight" for layer in LAYERS] + [
    "backbone.bn1.weight", "backbone.bn1.bias", "backbone.layer1.0.bn2.weight", "head.fc.bias"]
VALUES = ["inputs", "backbone.conv1", "backbone.layer1.0.conv1", "view#0"]


def qconfig(kind, qdtype, symmetric, bit):
    fake, w, a = {
        "plain": ("FakeQuantize", "PerChannelMinMaxObserver", "MovingAverageMinMaxObserver"),
        "lsq": ("LearnableFakeQuantize", "LSQPerChannelObserver", "LSQObserver"),
    }[kind]
    more = dict(averaging_constant=0.1) if kind == "plain" else {}
    return dict(
        w_observer=dict(type=f"mmrazor.{w}"), a_observer=dict(type=f"mmrazor.{a}"),
        w_fake_quant=dict(type=f"mmrazor.{fake}"), a_fake_quant=dict(type=f"mmrazor.{fake}"),
        w_qscheme=dict(qdtype="qint8", bit=bit, is_symmetry=True, is_symmetric_range=True),
        a_qscheme=dict(qdtype=qdtype, bit=bit, is_symmetry=symmetric, **more))


def algorithm(quantizer):
    model = MODELS.build(dict(
        type="mmrazor.MMArchitectureQuant", architecture=ARCHITECTURE, quantizer=quantizer,
        input_shapes=(1, 3, 16, 16)))
    state = {k: v for k, v in model.architecture.state_dict().items()}
    for key, value in state.items():
        # Submodules of the traced graphs are the same tensors.
        if not key.endswith("num_batches_tracked"):
            value.copy_(torch.from_numpy(parameter(key, list(value.shape))))
    return model


def batch(name):
    inputs = torch.from_numpy(fill(name, [4, 3, 16, 16], -2.0, 2.0))
    return inputs, [ClsDataSample().set_gt_label(int(v)) for v in labels("label", 4, 5)]


def grids(out, prefix, graph):
    called = names(graph)
    for node in graph.graph.nodes:
        if node.op != "call_module":
            continue
        if node.target.startswith("activation_post_process"):
            value, m = called.get(source(node.args[0], graph)), getattr(graph, node.target)
        else:
            value, m = f"{node.target}.weight", getattr(graph.get_submodule(node.target), "weight_fake_quant", None)
        if m is not None and (value in VALUES or value.removesuffix(".weight") in LAYERS and value.endswith(".weight")):
            out[f"{prefix}.scale.{value}"] = m.scale.detach().reshape(-1)
            out[f"{prefix}.zero.{value}"] = m.zero_point.detach().reshape(-1).float()
            if m.scale.grad is not None:
                out[f"{prefix}.grad_scale.{value}"] = m.scale.grad.reshape(-1)


def train(out, prefix, model, before):
    model.train()
    params = dict(model.architecture.named_parameters())
    for step, name in enumerate(["input", "input2"]):
        before(model, step)
        model.zero_grad()
        inputs, samples = batch(name)
        loss = model(inputs, samples, "loss")["loss"]
        loss.backward()
    out[f"{prefix}.loss"] = loss.detach().reshape(1)
    for name in PARAMS:
        out[f"{prefix}.grad.{name}"] = params[name].grad
    for name in ["backbone.bn1.running_mean", "backbone.layer1.0.bn2.running_var"]:
        out[f"{prefix}.buffer.{name}"] = model.architecture.state_dict()[name].clone()
    grids(out, prefix, model.qmodels["loss"])


def main():
    init_default_scope("mmrazor")
    torch.set_num_threads(1)
    out = {}
    plain = qconfig("plain", "qint8", True, 8)
    model = algorithm(dict(type="mmrazor.TensorRTQuantizer", global_qconfig=plain, tracer=TRACER))
    model.eval()
    model.apply(enable_fake_quant)
    model.apply(enable_observer)
    with torch.no_grad():
        for name in ["input", "input2"]:
            model(*batch(name), "predict")
        model.apply(disable_observer)
        model.sync_qparams("predict")
        inputs, _ = batch("input3")
        out["ptq.logits"] = model(inputs, None, "tensor")
        grids(out, "ptq", model.qmodels["predict"])
        # Without mmdeploy the graph of all modes cannot be traced.
        prepare = model.quantizer.prepare
        model.quantizer.prepare = lambda m: prepare(m, {"mode": "tensor"})
        deployed = model.get_deploy_model().eval()
        out["deploy.logits"] = deployed(inputs, None, "tensor")
        for layer in LAYERS:
            m = deployed.get_submodule(layer)
            out[f"deploy.{layer}.weight"], out[f"deploy.{layer}.bias"] = m.weight.clone(), m.bias.clone()

    academic = dict(type="mmrazor.AcademicQuantizer", tracer=TRACER)

    def observe(model, step):
        model.apply(enable_fake_quant)
        model.apply(enable_observer)

    own = qconfig("plain", "quint8", False, 8)
    train(out, "qat", algorithm(dict(academic, qconfig_mapping=dict(_global_=own))), observe)

    def learn(model, step):
        model.apply(enable_param_learning if step else enable_static_estimate)

    own = qconfig("lsq", "quint8", True, 4)
    train(out, "lsq", algorithm(dict(academic, qconfig_mapping=dict(_global_=own))), learn)
    write_safetensors("quant_training.safetensors", {k: f32(v) for k, v in out.items()}, {})


if __name__ == "__main__":
    main()
