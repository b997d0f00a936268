# ResNet-101, for 1000 classes.
_base_ = './resnet50.py'

model = dict(backbone=dict(depth=101))
