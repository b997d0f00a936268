# ResNet-50 for 1000 classes, trained with softened labels.
_base_ = './resnet50.py'

model = dict(
    head=dict(
        loss=dict(
            _delete_=True,
            type='LabelSmoothLoss',
            label_smooth_val=0.1,
            loss_weight=1.0)))
