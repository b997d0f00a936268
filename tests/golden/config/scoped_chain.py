_base_ = 'scoped.py'

teacher = dict(backbone=dict(depth=50))
default_hooks = dict(checkpoint=dict(interval=10))
