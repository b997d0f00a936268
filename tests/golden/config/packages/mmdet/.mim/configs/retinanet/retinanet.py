detector = dict(type='RetinaNet', neck=dict(type='FPN', num_outs=5))
