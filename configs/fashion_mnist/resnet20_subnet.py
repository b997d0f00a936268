# ResNet-20 on Fashion-MNIST at the widths of a subnet file: --cfg-options model.fix_subnet=FILE. Without one it has all channels.
_base_ = ['./resnet20.py']

model = dict(
    _delete_=True,
    type='sub_model',
    cfg=_base_.model,
    fix_subnet=dict(),
    mode='mutator')
