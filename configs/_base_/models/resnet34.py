# ResNet-34, for 1000 classes.
_base_ = './resnet18.py'

model = dict(backbone=dict(depth=34))
