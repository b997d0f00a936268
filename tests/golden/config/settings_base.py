"""What several of the configs beside this one build on."""
optimizer = dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4)
model = dict(type='Net', backbone=dict(type='ResNet', depth=50, out_indices=(3, )), neck=dict(type='GAP'))
hooks = [dict(type='Timer'), dict(type='Logger', interval=10)]
train_cfg = dict(by_epoch=True, max_epochs=100)
schedule = None
mean = [123.675, 116.28, 103.53]
