# resnet50 on ImageNet: 256 images a step.
_base_ = 'resnet50_8xb32-coslr_in1k.py'
custom_hooks = [dict(type='PreciseBNHook', num_samples=8192, interval=1, priority='ABOVE_NORMAL')]
