model = dict(backbone=dict(depth=18))
depth = model.backbone.depth
