from refcrp.arrays import Array

Pair = tuple[int, int]

def conv2d(
    x: Array,
    weight: Array,
    bias: Array,
    z: Array,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> None: ...
def conv2d_transpose(
    s: Array, weight: Array, x: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> None: ...
def conv2d_relevance(
    R: Array,
    denominator: Array,
    a: Array,
    weight: Array,
    s: Array,
    R_in: Array,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> None: ...
