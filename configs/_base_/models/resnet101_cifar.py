# ResNet-101 for images of 32x32 pixels, for 10 classes.
_base_ = './resnet50_cifar.py'

model = dict(backbone=dict(depth=101))
