_base_ = ['more_base.json']
first = _base_.ratio
_base_ = ['nowhere.py']
_deprecation_ = dict(expected='other.py')
