_base_ = ['settings_base.py', 'more_base.json']

model = _base_.model
backbone = model.backbone
backbone.depth = 101
_base_.optimizer.lr = _base_.optimizer['lr'] * 2
_base_.train_cfg.max_epochs //= 3
_base_.hooks[1].interval = 50
_base_.data.update(dict(batch_size=64, sampler=dict(type='S')))
_base_.data.sampler.shuffle = True
model['neck']['dims'] = out = [1, 2]
out.append(3)
plain = dict(a=1)
_base_.model.plain = plain
plain['a'] = 2
_base_.model.plain.b = 3
bgr_mean = _base_.mean[::-1]
rounded = tuple(round(x) for x in bgr_mean)
if hasattr(_base_, 'names'):
    _base_.names += ['c']
custom_hooks = getattr(_base_, 'custom_hooks', []) + [dict(type='H')]
popped = _base_.data.pop('workers')
missing = _base_.data.pop('absent')
copied = _base_.train_cfg.copy()
copied.extra = 1
import copy
cloned = copy.deepcopy(_base_.model)
cloned.neck.dims[0] = 7
shared = [cloned, cloned]
also = dict(_base_.train_cfg, more=2)
spread = dict(**_base_.data)
