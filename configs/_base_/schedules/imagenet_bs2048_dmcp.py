# 100 epochs of 2048 images a step for a supernet and the widths that it learns.
optim_wrapper = dict(
    constructor='mmrazor.SeparateOptimWrapperConstructor',
    architecture=dict(
        type='OptimWrapper',
        optimizer=dict(type='SGD', lr=0.5, momentum=0.9, weight_decay=3e-4),
        paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0)),
    mutator=dict(
        type='OptimWrapper',
        optimizer=dict(type='Adam', lr=0.5, weight_decay=1e-3)))

param_scheduler = [
    dict(type='LinearLR', start_factor=0.5, by_epoch=True, begin=0, end=10, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR', T_max=100, eta_min=0.08, by_epoch=True, begin=10, end=100,
        convert_to_iter_based=True),
]

train_cfg = dict(by_epoch=True, max_epochs=100, val_interval=1)
val_cfg = dict()
test_cfg = dict()
