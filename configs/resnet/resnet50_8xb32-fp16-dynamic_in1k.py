# resnet50 on ImageNet: 256 images a step.
_base_ = ['./resnet50_8xb32_in1k.py']
optim_wrapper = dict(type='AmpOptimWrapper', loss_scale='dynamic')
