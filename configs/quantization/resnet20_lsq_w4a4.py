# Weights and activations of 4 bits, with grids that learn (LSQ): twelve epochs from the trained ResNet-20, which also teaches.
# occam train configs/quantization/resnet20_lsq_w4a4.py --cfg-options model.float_checkpoint=work_dirs/resnet20/epoch_12.safetensors
_base_ = ['../fashion_mnist/resnet20.py']

four_bits = dict(
    w_observer=dict(type='LSQPerChannelObserver'),
    a_observer=dict(type='LSQObserver'),
    w_fake_quant=dict(type='LearnableFakeQuantize'),
    a_fake_quant=dict(type='LearnableFakeQuantize'),
    w_qscheme=dict(qdtype='qint8', bit=4, is_symmetry=True, is_symmetric_range=True),
    a_qscheme=dict(qdtype='quint8', bit=4, is_symmetry=False))

# The first and the last layer keep 8 bits, as is usual.
eight_bits = dict(
    w_observer=dict(type='LSQPerChannelObserver'),
    a_observer=dict(type='LSQObserver'),
    w_fake_quant=dict(type='LearnableFakeQuantize'),
    a_fake_quant=dict(type='LearnableFakeQuantize'),
    w_qscheme=dict(qdtype='qint8', bit=8, is_symmetry=True, is_symmetric_range=True),
    a_qscheme=dict(qdtype='quint8', bit=8, is_symmetry=False))

model = dict(
    _delete_=True,
    type='MMArchitectureQuant',
    architecture=_base_.model,
    float_checkpoint=None,
    float_teacher=dict(tau=2, loss_weight=1),
    quantizer=dict(
        type='OpenVINOQuantizer',
        global_qconfig=four_bits,
        overrides=[('backbone.conv1', eight_bits), ('head.fc', eight_bits)]))

optim_wrapper = dict(
    _delete_=True,
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4, nesterov=True))

train_cfg = dict(_delete_=True, type='LSQEpochBasedLoop', max_epochs=12, val_interval=1)
val_cfg = dict(_delete_=True, type='QATValLoop')
