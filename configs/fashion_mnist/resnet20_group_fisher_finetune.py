# Fine-tunes the ResNet-20 that resnet20_group_fisher.py made narrower: pruned_path is the file that it wrote.
_base_ = ['./resnet20_group_fisher.py']

pruned_path = 'work_dirs/resnet20_group_fisher/flops_0.50.pth'

algorithm = _base_.model
algorithm.init_cfg = dict(type='Pretrained', checkpoint=pruned_path)

model = dict(_delete_=True, type='GroupFisherSubModel', algorithm=algorithm)

optim_wrapper = dict(optimizer=dict(lr=0.02))
custom_hooks = []
train_cfg = dict(max_epochs=4)
