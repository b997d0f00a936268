"""Every construct that configs are made of."""
_base_ = []

stage_ratio_1, stage_ratio_2 = 0.65, 0.6
channels = [int(64 * ratio) for ratio in (stage_ratio_1, stage_ratio_2) if ratio > 0.1]
arch = dict(
    type='Net',
    widths=[[c, c * 2] for c in channels],
    **dict(depth=18, groups=2**3),
    ratios=list(i / 12 for i in range(2, 13)),
)
axes = dict({0: 'batch', 2: 'width'}, name='input')
table = {**axes, -1: 'last'}
x = y = [1, 2, 3, 4, 5, 6]
y.append(-7 // 2)
head, tail = x[:-2], x[::-1][:2]
word = 'a' + 'b' * 3 + "c" 'd'
path = '/'.join(['data', 'train', str(arch['depth'])])
label = f'{path}_{arch["groups"]}'
numbers = (1e-05, 1E16, -0.0, 1., .5, 0x10, 1_000, 7 % -3, -7.5 // 2, 2**-1, round(2.5), round(-1.25, 1))
flags = dict(a=not [], b=1 < 2 <= 2, c=None is None, d='x' in 'xyz', e=0 or 'default', f=1 and [])
best = min(numbers) if len(numbers) > 3 else max(numbers)
pairs = {k: v for k, v in zip('abc', enumerate(sorted([3, 1, 2])))}
if arch.get('depth') == 18 and 'type' in arch:
    arch.update(deep=True, depth=34)
elif False:
    arch = None
else:
    arch['never'] = 1
assert arch['type'] == 'Net', 'the type'
alias = arch
alias['widths'][0] += [9]
alias.setdefault('extra', []).extend(reversed(channels))
del alias['groups']
total = sum(channels) + abs(-3)
import copy
from copy import deepcopy as duplicate
original = dict(items=[[1], dict(a=2)], pair=([3], ))
shallow, deep = copy.copy(original), copy.deepcopy(original)
shallow['items'][0].append(4)
shallow['new'] = duplicate(deep['pair'])
deep['pair'][0].append(5)
empty = dict(a={}, b=[], c=(), d='')
nested = dict(a=dict(b=dict(c=dict(d=[dict(e=(1, ))]))))
if __name__ == '__main__':
    original = None
