# deit-base on ImageNet: 1024 images a step.
_base_ = './deit-small_pt-4xb256_in1k.py'

model = dict(
    backbone=dict(type='VisionTransformer', arch='deit-base', drop_path_rate=0.1),
    head=dict(type='VisionTransformerClsHead', in_channels=768),
)

train_dataloader = dict(batch_size=64)
custom_hooks = [dict(type='EMAHook', momentum=4e-05, priority='ABOVE_NORMAL')]
