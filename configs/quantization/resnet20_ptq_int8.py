# INT8 without training: ResNet-20 on Fashion-MNIST, calibrated by 32 batches. Give the trained ResNet-20:
# occam ptq configs/quantization/resnet20_ptq_int8.py work_dirs/resnet20/epoch_12.safetensors -o int8.onnx
_base_ = ['../fashion_mnist/resnet20.py']

model = dict(
    _delete_=True,
    type='MMArchitectureQuant',
    architecture=_base_.model,
    quantizer=dict(
        type='ONNXRuntimeQuantizer',
        global_qconfig=dict(
            w_observer=dict(type='PerChannelMinMaxObserver'),
            a_observer=dict(type='MovingAverageMinMaxObserver'),
            w_fake_quant=dict(type='FakeQuantize'),
            a_fake_quant=dict(type='FakeQuantize'),
            w_qscheme=dict(qdtype='qint8', bit=8, is_symmetry=True, is_symmetric_range=True),
            a_qscheme=dict(qdtype='quint8', bit=8, is_symmetry=False, averaging_constant=0.1))))

# Some of the training images, as they are evaluated.
test_cfg = dict(
    type='PTQLoop',
    calibrate_dataloader=dict(
        batch_size=32,
        num_workers=2,
        dataset=dict(
            type='FashionMNIST',
            data_prefix=_base_.train_dataloader.dataset.data_prefix,
            test_mode=False,
            pipeline=_base_.test_dataloader.dataset.pipeline),
        sampler=dict(type='DefaultSampler', shuffle=True)),
    calibrate_steps=32)
