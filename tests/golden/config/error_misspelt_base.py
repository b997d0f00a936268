_base_ = [
    'more_base.json',
    './setings_base.py',
]
