# VGG-19 for images of 224x224 pixels, for 1000 classes.
_base_ = './vgg11.py'

model = dict(backbone=dict(depth=19))
