# ResNet-50 on ImageNet whose layers compute with sums of their filters (Lin et al., 2021): 256 images a step, 120 epochs.
_base_ = [
    'mmcls::_base_/datasets/imagenet_bs32.py',
    'mmcls::_base_/schedules/imagenet_bs256.py',
    'mmcls::_base_/default_runtime.py',
]

# Parts of the channels that are left: of the first and second convolutions of the blocks, of the residual streams, and of both
# inner convolutions of the later blocks.
first = 0.65
second = 0.6
stream = 0.9
late = 0.7

target_pruning_ratio = {
    'backbone.layer1.0.conv1_(0, 64)_64': first,
    'backbone.layer1.0.conv2_(0, 64)_64': second,
    'backbone.layer1.0.conv3_(0, 256)_256': stream,
    'backbone.layer1.1.conv1_(0, 64)_64': first,
    'backbone.layer1.1.conv2_(0, 64)_64': second,
    'backbone.layer1.2.conv1_(0, 64)_64': first,
    'backbone.layer1.2.conv2_(0, 64)_64': second,
    'backbone.layer2.0.conv1_(0, 128)_128': first,
    'backbone.layer2.0.conv2_(0, 128)_128': second,
    'backbone.layer2.0.conv3_(0, 512)_512': stream,
    'backbone.layer2.1.conv1_(0, 128)_128': first,
    'backbone.layer2.1.conv2_(0, 128)_128': second,
    'backbone.layer2.2.conv1_(0, 128)_128': first,
    'backbone.layer2.2.conv2_(0, 128)_128': second,
    'backbone.layer2.3.conv1_(0, 128)_128': first,
    'backbone.layer2.3.conv2_(0, 128)_128': second,
    'backbone.layer3.0.conv1_(0, 256)_256': first,
    'backbone.layer3.0.conv2_(0, 256)_256': second,
    'backbone.layer3.0.conv3_(0, 1024)_1024': stream,
    'backbone.layer3.1.conv1_(0, 256)_256': first,
    'backbone.layer3.1.conv2_(0, 256)_256': second,
    'backbone.layer3.2.conv1_(0, 256)_256': first,
    'backbone.layer3.2.conv2_(0, 256)_256': second,
    'backbone.layer3.3.conv1_(0, 256)_256': late,
    'backbone.layer3.3.conv2_(0, 256)_256': late,
    'backbone.layer3.4.conv1_(0, 256)_256': late,
    'backbone.layer3.4.conv2_(0, 256)_256': late,
    'backbone.layer3.5.conv1_(0, 256)_256': late,
    'backbone.layer3.5.conv2_(0, 256)_256': late,
    'backbone.layer4.0.conv1_(0, 512)_512': late,
    'backbone.layer4.0.conv2_(0, 512)_512': late,
    'backbone.layer4.0.conv3_(0, 2048)_2048': stream,
    'backbone.layer4.1.conv1_(0, 512)_512': late,
    'backbone.layer4.1.conv2_(0, 512)_512': late,
    'backbone.layer4.2.conv1_(0, 512)_512': late,
    'backbone.layer4.2.conv2_(0, 512)_512': late,
}

model = dict(
    _scope_='mmrazor',
    type='DCFF',
    architecture=dict(cfg_path='mmcls::resnet/resnet50_8xb32_in1k.py', pretrained=False),
    mutator_cfg=dict(
        type='DCFFChannelMutator',
        channel_unit_cfg=dict(type='DCFFChannelUnit', default_args=dict(choice_mode='ratio'))),
    target_pruning_ratio=target_pruning_ratio,
    step_freq=1)

param_scheduler = dict(type='MultiStepLR', by_epoch=True, milestones=[30, 60, 90], gamma=0.1)
train_cfg = dict(by_epoch=True, max_epochs=120, val_interval=1)
val_cfg = dict(_delete_=True, type='mmrazor.ItePruneValLoop')
