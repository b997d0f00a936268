# ResNet-20 on Fashion-MNIST, of whose blocks half of the inner channels go before the first step: those with the smallest
# filters. Give the trained ResNet-20 with --cfg-options load_from=FILE.
_base_ = ['./resnet20.py']

target_pruning_ratio = {
    'backbone.layer1.0.conv1_(0, 16)_16': 0.5,
    'backbone.layer1.1.conv1_(0, 16)_16': 0.5,
    'backbone.layer1.2.conv1_(0, 16)_16': 0.5,
    'backbone.layer2.0.conv1_(0, 32)_32': 0.5,
    'backbone.layer2.1.conv1_(0, 32)_32': 0.5,
    'backbone.layer2.2.conv1_(0, 32)_32': 0.5,
    'backbone.layer3.0.conv1_(0, 64)_64': 32,
    'backbone.layer3.1.conv1_(0, 64)_64': 32,
    'backbone.layer3.2.conv1_(0, 64)_64': 32,
}

model = dict(
    _delete_=True,
    type='ItePruneAlgorithm',
    architecture=_base_.model,
    mutator_cfg=dict(
        type='ChannelMutator',
        channel_unit_cfg=dict(
            type='L1MutableChannelUnit',
            default_args=dict(choice_mode='ratio'))),
    target_pruning_ratio=target_pruning_ratio)

optim_wrapper = dict(optimizer=dict(lr=0.02))
val_cfg = dict(type='ItePruneValLoop')
