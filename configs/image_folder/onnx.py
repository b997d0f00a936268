# Any classifier in an ONNX file, fine-tuned on images in class folders; file, data_root and num_classes have to be set.
#
#     occam train configs/image_folder/onnx.py --cfg-options file=model.onnx data_root=DIR num_classes=5
_base_ = [
    '../_base_/datasets/image_folder.py',
    '../_base_/schedules/image_folder.py',
    '../_base_/default_runtime.py',
]

file = 'model.onnx'
lr = 0.005

model = dict(type='OnnxClassifier', path=file, num_classes={{_base_.num_classes}})

optim_wrapper = dict(optimizer=dict(lr=lr))

default_hooks = dict(
    logger=dict(interval=20),
    checkpoint=dict(max_keep_ckpts=3, save_best='auto'))
