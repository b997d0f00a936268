# ResNet-20 on Fashion-MNIST that loses one channel every 5 iterations, the one on which the loss depends least for the
# multiply-accumulates that it costs, until half of these are left. Give the trained ResNet-20 with --cfg-options
# load_from=FILE; it writes flops_0.50.pth.
_base_ = ['./resnet20.py']

interval = 5

model = dict(
    _delete_=True,
    type='GroupFisherAlgorithm',
    architecture=_base_.model,
    interval=interval,
    mutator=dict(
        type='GroupFisherChannelMutator',
        channel_unit_cfg=dict(
            type='GroupFisherChannelUnit',
            default_args=dict(normalization_type='flops'))))

optim_wrapper = dict(optimizer=dict(lr=0.01))

custom_hooks = [
    dict(type='PruningStructureHook'),
    dict(
        type='ResourceInfoHook',
        interval=interval,
        demo_input=dict(type='DefaultDemoInput', input_shape=[1, 1, 28, 28]),
        save_ckpt_thr=[0.5]),
]
