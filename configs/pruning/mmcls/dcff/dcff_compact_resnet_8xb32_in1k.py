# The ResNet-50 that DCFF leaves, with the weights that its training wrote (fix_subnet_weight.pth), to measure, export and train.
_base_ = ['dcff_resnet_8xb32_in1k.py']

model = dict(
    _delete_=True,
    _scope_='mmrazor',
    type='sub_model',
    cfg=dict(cfg_path='mmcls::resnet/resnet50_8xb32_in1k.py', pretrained=False),
    fix_subnet=_base_.target_pruning_ratio,
    mode='mutator')
