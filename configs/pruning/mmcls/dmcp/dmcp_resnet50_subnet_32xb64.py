# ResNet-50 at widths that DMCP found, trained on its own: --cfg-options model.fix_subnet=FILE, a file of model_sample/. Without one it
# has all channels.
_base_ = ['dmcp_resnet50_supernet_32xb64.py']

model = dict(_delete_=True, _scope_='mmrazor', type='sub_model', cfg=_base_.supernet, fix_subnet=dict(), mode='mutator')

optim_wrapper = dict(
    _delete_=True,
    optimizer=dict(type='SGD', lr=0.8, momentum=0.9, weight_decay=0.0001, nesterov=True),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0))

param_scheduler = [
    dict(type='LinearLR', start_factor=0.25, by_epoch=True, begin=0, end=2, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR', T_max=100, eta_min=1e-5, by_epoch=True, begin=2, end=100,
        convert_to_iter_based=True),
]

custom_hooks = None
