# seresnext101-32x4d on ImageNet: 256 images a step.
_base_ = [
    '../_base_/models/seresnext101_32x4d.py',
    '../_base_/datasets/imagenet_bs32_pil_resize.py',
    '../_base_/schedules/imagenet_bs256.py',
    '../_base_/default_runtime.py',
]
