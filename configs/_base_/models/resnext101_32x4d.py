# ResNeXt-101 with 32 groups of 4 channels, for 1000 classes.
_base_ = './resnet101.py'

model = dict(
    backbone=dict(type='ResNeXt', groups=32, width_per_group=4))
