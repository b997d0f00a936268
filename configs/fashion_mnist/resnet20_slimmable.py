# Slimmable ResNet-20 on Fashion-MNIST: one model of a quarter, half and all of the channels.
_base_ = ['./resnet20.py']

model = dict(
    _delete_=True,
    type='SlimmableNetwork',
    architecture=_base_.model,
    mutator=dict(
        type='SlimmableChannelMutator',
        channel_unit_cfg=dict(
            type='SlimmableChannelUnit',
            default_args=dict(candidate_choices=[0.25, 0.5, 1.0]))))

val_cfg = dict(type='SlimmableValLoop')
test_cfg = dict(type='SlimmableValLoop')
