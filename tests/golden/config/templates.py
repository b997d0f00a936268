_base_ = ['settings_base.py']

work_dir = './work_dirs/{{ fileBasenameNoExtension }}'
name = '{{fileBasename}}{{ fileExtname }}'
epochs = {{'$OCCAM_UNSET_EPOCHS:12'}}
root = '{{$OCCAM_UNSET_ROOT:/data}}/imagenet'
copied = {{_base_.optimizer}}
nested = dict(backbone={{ _base_.model.backbone }}, list=[{{_base_.mean}}], depth={{_base_.model.backbone.depth}})
