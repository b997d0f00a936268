# ResNet-20 on Fashion-MNIST whose blocks have half of their inner filters, each a sum of all of them (DCFF).
_base_ = ['./resnet20.py']

target_pruning_ratio = {
    'backbone.layer1.0.conv1_(0, 16)_16': 0.5,
    'backbone.layer1.1.conv1_(0, 16)_16': 0.5,
    'backbone.layer1.2.conv1_(0, 16)_16': 0.5,
    'backbone.layer2.0.conv1_(0, 32)_32': 0.5,
    'backbone.layer2.1.conv1_(0, 32)_32': 0.5,
    'backbone.layer2.2.conv1_(0, 32)_32': 0.5,
    'backbone.layer3.0.conv1_(0, 64)_64': 0.5,
    'backbone.layer3.1.conv1_(0, 64)_64': 0.5,
    'backbone.layer3.2.conv1_(0, 64)_64': 0.5,
}

model = dict(
    _delete_=True,
    type='DCFF',
    architecture=_base_.model,
    mutator_cfg=dict(
        type='DCFFChannelMutator',
        channel_unit_cfg=dict(
            type='DCFFChannelUnit', default_args=dict(choice_mode='ratio'))),
    target_pruning_ratio=target_pruning_ratio)

val_cfg = dict(type='ItePruneValLoop')
