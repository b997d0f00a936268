# resnetv1d152 on ImageNet: 256 images a step.
_base_ = [
    '../_base_/models/resnetv1d152.py',
    '../_base_/datasets/imagenet_bs32_pil_resize.py',
    '../_base_/schedules/imagenet_bs256.py',
    '../_base_/default_runtime.py',
]
