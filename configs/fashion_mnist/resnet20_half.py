# ResNet-20 on Fashion-MNIST at half of its MACs: the least important channels go before the first step, by group norms. Give the
# trained ResNet-20 with --cfg-options load_from=FILE.
_base_ = ['./resnet20.py']

model = dict(
    _delete_=True,
    type='TargetPruneAlgorithm',
    architecture=_base_.model,
    target=dict(macs=0.5),
    importance='group-l2')

optim_wrapper = dict(optimizer=dict(lr=0.02))
val_cfg = dict(type='ItePruneValLoop')
