# ResNet-18 on images in class folders; data_root and num_classes are all that has to be set.
#
#     occam train configs/image_folder/resnet18.py --cfg-options data_root=DIR num_classes=5
_base_ = [
    '../_base_/models/resnet18.py',
    '../_base_/datasets/image_folder.py',
    '../_base_/schedules/image_folder.py',
    '../_base_/default_runtime.py',
]

model = dict(head=dict(num_classes={{_base_.num_classes}}, topk=(1, )))

default_hooks = dict(
    logger=dict(interval=20),
    checkpoint=dict(max_keep_ckpts=3, save_best='auto'))
