"""The shapes that configs of compression have: a search space, a teacher, hooks, quantization."""
_base_ = [
    'mmcls::resnet/resnet18.py',
    './more_base.json',
]

# a search space over a model of the base
stage_ratio_1, stage_ratio_2 = 0.65, 0.6
architecture = _base_.model
architecture['_scope_'] = 'mmcls'
architecture.backbone.depth = depth = 34
architecture.head.update(dict(num_classes=10, topk=(1, 5), loss=dict(type='LabelSmoothLoss')))
arch_setting = dict(
    kernel_size=[[3, 2, 2], [5, 3, 3], [7, 4, 3]],
    num_blocks=[[1, 2, 1], [3, 6, 1]],
    expand_ratio=[[1, 1, 1], [4, 6, 1]],
    num_out_channels=[[16, 24, 8], [int(64 * stage_ratio_1), int(64 * stage_ratio_2) + 1, 8 // 2]])
candidate_choices = list(i / 12 for i in range(2, 13))
supernet = dict(type='mmrazor.sub_model', cfg=architecture, mutable=dict(alias='stage_{}'.format(depth)))
names = [f'{stage}.{block}' for stage, blocks in enumerate((1, 2)) for block in range(blocks)]
table = {name: dict(choice=at * 0.25) for at, name in enumerate(names) if at}

# the statistics of the images in another order
mean = _base_.data_preprocessor['mean'][::-1]
pad_val = tuple(round(x) for x in mean)
halves = [round(0.5), round(1.5), round(2.5), round(-0.5), round(-1.5), round(0.125, 2), round(2.675, 2)]
_base_.train_pipeline[1].prob = 1 - 0.25
train_pipeline = _base_.train_pipeline[:-1] + [dict(type='RandomErasing', fill_color=mean, fill_std=pad_val)]

if hasattr(_base_, 'data_preprocessor') and not hasattr(_base_, 'never'):
    _base_.data_preprocessor.update({'mean': mean, 'deep': {'to_rgb': False, 'scales': (1, 2.0)}})
if hasattr(_base_, 'never'):
    never = _base_.never
custom_hooks = getattr(_base_, 'custom_hooks', []) + [dict(type='mmrazor.DumpSubnetHook', interval=-1)]
assert _base_.model.type == 'ImageClassifier', 'another model'

# what a deployed model is like
onnx_config = dict(
    dynamic_axes=dict({0: 'batch', 2: 'height', 3: 'width'}, name='input'),
    input_shape=None, opset=13, names=['input'] * 2, large=2**40, small=-1e-8)
qconfig = dict(w=dict(bit=8, is_symmetry=True, averaging_constant=.1), **dict(a=None))
label = f'{stage_ratio_1:.1f}_{depth:04d}_{1e6:.0e}_{"x":>3}_{names!r}'

model = dict(
    _scope_='mmrazor',
    _delete_=True,
    type='GroupFisherAlgorithm',
    architecture=dict(cfg_path='mmcls::resnet/resnet18.py', pretrained=False),
    teacher=architecture,
    teacher_ckpt='https://download.example/teacher.pth',
    pruned=dict(_delete_=True, type='Kept'),
    mutator=dict(parse_cfg=dict(type='ChannelAnalyzer', demo_input=(1, 3, 224, 224)), channel_unit_cfg={}))
default_hooks = dict(checkpoint=dict(_delete_=True, type='CheckpointHook', max_keep_ckpts=3))
optim_wrapper = dict(optimizer=dict(lr=0.004 * 1024 / 256), paramwise_cfg=dict(bias_decay_mult=0.))
model_wrapper_cfg = val_cfg = None
del depth
