from refcrp.arrays import Array

Pair = tuple[int, int]

def maxpool2d(
    x: Array,
    z: Array,
    winner: Array,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    first: int,
    end: int,
) -> None: ...
def maxpool2d_relevance(R: Array, share: Array, winner: Array, R_in: Array, first: int, end: int) -> None: ...
def avgpool2d(
    x: Array, counts: Array, z: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> None: ...
def avgpool2d_transpose(
    s: Array, counts: Array, x: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> None: ...
