# ResRep: compactors behind the first convolution of each block learn which channels go, until half of the MACs are left. Give the
# trained ResNet-20 with --cfg-options load_from=FILE. The exported model has no compactors.
_base_ = ['./resnet20.py']

model = dict(
    _delete_=True,
    type='ResRep',
    architecture=_base_.model,
    target=dict(macs=0.6),
    lasso=5e-3,
    begin=0.1,
    mask_interval=25)

# Compactors are pulled by the lasso alone, not by weight decay.
optim_wrapper = dict(
    optimizer=dict(lr=0.05),
    paramwise_cfg=dict(custom_keys={'compactor': dict(decay_mult=0.0)}))
