_base_ = ['mmcls::resnet/resnet18.py', 'mmdet::retinanet/retinanet.py', './more_base.json']

teacher = _base_.model
student = dict(type='mmrazor.Wrapper', architecture=_base_.model, detector=_base_.detector)
student['architecture']['backbone']['depth'] = 34
preprocessor = _base_.data_preprocessor
model = dict(_scope_='mmrazor', _delete_=True, type='Distiller', architecture=teacher, none=[])
optim_wrapper = dict(optimizer=dict(lr=0.5))
