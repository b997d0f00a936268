# deit-base-distilled on ImageNet: 512 images a step.
_base_ = './deit-base_ft-16xb32_in1k-384px.py'
model = dict(backbone=dict(type='DistilledVisionTransformer'), head=dict(type='DeiTClsHead'))
