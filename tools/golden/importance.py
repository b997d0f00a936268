"""How much the channels of a small ResNet matter, in float64: by Torch-Pruning 1.6 where it has the criterion, else by its formula.

    /opt/oracle/peers/bin/python tools/golden/importance.py

Weights, images and labels are those of the formula. Torch-Pruning is corrected in three places: its Taylor importance looks for
group normalizations where it means batch normalizations, its Hessian importance keeps the last image alone, and its activation
importance adds up images of linear layers where it means their mean. Writes tests/golden/importance.safetensors.
"""
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch_pruning as tp
from torch_pruning.pruner import function
from torchvision.models.resnet import BasicBlock

from files import write_safetensors
from formula import fill, labels, parameter

torch.set_default_dtype(torch.float64)


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.layer1 = nn.Sequential(BasicBlock(6, 6), BasicBlock(6, 6))
        down = nn.Sequential(nn.Conv2d(6, 12, 1, stride=2, bias=False), nn.BatchNorm2d(12))
        self.layer2 = nn.Sequential(BasicBlock(6, 12, stride=2, downsample=down), BasicBlock(12, 12))

    def forward(self, x):
        return self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x)))))


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(12, 5)

    def forward(self, x):
        return self.fc(x.mean((2, 3)))


class Net(nn.Module):
    """The names are those of an `ImageClassifier` with a `ResNet_CIFAR`."""

    def __init__(self):
        super().__init__()
        self.backbone, self.head = Backbone(), Head()

    def forward(self, x):
        return self.head(self.backbone(x))


model = Net()
model.load_state_dict({name: torch.from_numpy(parameter(name, list(t.shape)).astype(np.float64))
                       if not name.endswith("num_batches_tracked") else t for name, t in model.state_dict().items()})
model.eval()
images = torch.from_numpy(fill("images", [6, 3, 12, 12], -2.0, 2.0).astype(np.float64))
classes = torch.from_numpy(labels("labels", 6, 5))
modules = dict(model.named_modules())
graph = tp.DependencyGraph().build_dependency(model, images[:1])

# The layer that computes a unit first.
ROOTS = ["backbone.conv1", "backbone.layer1.0.conv1", "backbone.layer1.1.conv1", "backbone.layer2.0.conv1",
         "backbone.layer2.0.conv2", "backbone.layer2.1.conv1"]


def groups():
    for root in ROOTS:
        layer = modules[root]
        channels = layer.out_channels
        group = graph.get_pruning_group(layer, function.prune_conv_out_channels, list(range(channels)))
        yield f"{root}_(0, {channels})_{channels}", group


def gradients(x, y):
    model.zero_grad()
    F.cross_entropy(model(x), y).backward()


tensors = {}


def score(name, importance):
    for unit, group in groups():
        tensors[f"{name}.{unit}"] = importance(group).detach().numpy().astype(np.float64)


plain = dict(normalizer=None, group_reduction="mean")
score("group-l2", tp.importance.GroupMagnitudeImportance(p=2, **plain))
score("group-l1", tp.importance.GroupMagnitudeImportance(p=1, **plain))
score("bn-scale", tp.importance.BNScaleImportance(**plain))
torch.set_default_dtype(torch.float32)  # in which Torch-Pruning sums
score("lamp", tp.importance.LAMPImportance())
torch.set_default_dtype(torch.float64)

gradients(images, classes)
kept, function.prune_groupnorm_out_channels = function.prune_groupnorm_out_channels, function.prune_batchnorm_out_channels
score("taylor", tp.importance.GroupTaylorImportance(**plain))
function.prune_groupnorm_out_channels = kept


def members(group):
    """Layers with what they are to the channel: `out`, `in` or `scale`."""
    kinds = {function.prune_conv_out_channels: "out", function.prune_conv_in_channels: "in",
             function.prune_linear_in_channels: "in", function.prune_batchnorm_out_channels: "scale"}
    for dep, _ in group:
        if dep.handler in kinds:
            yield dep.target.module, kinds[dep.handler]


def by_channel(x, kind):
    return (x.transpose(0, 1) if kind == "in" else x).flatten(1).sum(1) if x.dim() > 1 else x


def filters(group):
    return [layer.weight.detach().flatten(1) for layer, kind in members(group) if kind == "out"]


score("taylor-group", lambda g: sum(by_channel(m.weight * m.weight.grad, k) for m, k in members(g)) ** 2)
score("l1", lambda g: sum(w.abs().mean(1) for w in filters(g)) / len(filters(g)))
score("l2", lambda g: sum((w**2).mean(1) for w in filters(g)) / len(filters(g)))
score("fpgm", lambda g: sum(torch.cdist(w, w).sum(1) for w in filters(g)) / len(filters(g)))

squares = {}
for x, y in zip(images, classes):
    gradients(x[None], y[None])
    for name, p in model.named_parameters():
        squares[name] = squares.get(name, 0) + p.grad**2 / len(images)
hessian = tp.importance.GroupHessianImportance(**plain)
for name, p in model.named_parameters():
    p.grad = squares[name].clone()
score("hessian", hessian)

# What layers read, and the gradients of factors on it, image by image.
gates, values = {}, {}


def gate(layer, inputs):
    x = inputs[0]
    values[layer] = x
    gates[layer] = torch.ones(x.shape[0], x.shape[1], *[1] * (x.dim() - 2), requires_grad=True)
    return x * gates[layer]


hooks = [m.register_forward_pre_hook(gate) for m in modules.values() if isinstance(m, (nn.Conv2d, nn.Linear))]
gradients(images, classes)
readers = lambda g: [m for m, kind in members(g) if kind == "in"]
joint = lambda g: sum(gates[m].grad.flatten(1) for m in readers(g))
score("fisher", lambda g: ((joint(g) * len(images)) ** 2).mean(0))
score("taylor-gate", lambda g: joint(g).sum(0) ** 2)


def sizes(group):
    """Of each value once, whoever reads it."""
    read = {values[m].data_ptr(): values[m] for m in readers(group)}.values()
    return sum(x.abs().transpose(0, 1).flatten(1).mean(1) for x in read) / len(read)


score("activation", sizes)
write_safetensors("importance.safetensors", tensors, {"version": tp.__version__})
