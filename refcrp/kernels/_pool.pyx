# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: freethreading_compatible=True
"""Max and average pooling with their adjoints, as plain loops; the wrappers are in `refcrp.kernels`."""

ctypedef fused real:
    float
    double


def maxpool2d(
    const real[:, :, :, ::1] x, real[:, :, :, ::1] z, Py_ssize_t[:, :, :, ::1] winner,
    tuple kernel, tuple stride, tuple padding, tuple dilation,
):
    """Write the largest value under each place of the window into `z`, its flat index into `winner`."""
    cdef Py_ssize_t n, c, y, q, i, j, row, column
    cdef Py_ssize_t kernel_y = kernel[0], kernel_x = kernel[1], stride_y = stride[0], stride_x = stride[1]
    cdef Py_ssize_t padding_y = padding[0], padding_x = padding[1]
    cdef Py_ssize_t dilation_y = dilation[0], dilation_x = dilation[1]
    with nogil:
        winner[...] = -1
        for n in range(z.shape[0]):
            for c in range(z.shape[1]):
                for y in range(z.shape[2]):
                    for q in range(z.shape[3]):
                        for i in range(kernel_y):
                            row = y * stride_y + i * dilation_y - padding_y
                            if row < 0 or row >= x.shape[2]:
                                continue
                            for j in range(kernel_x):
                                column = q * stride_x + j * dilation_x - padding_x
                                if column < 0 or column >= x.shape[3]:
                                    continue
                                if winner[n, c, y, q] < 0 or x[n, c, row, column] > z[n, c, y, q]:
                                    z[n, c, y, q] = x[n, c, row, column]
                                    winner[n, c, y, q] = row * x.shape[3] + column


def maxpool2d_transpose(
    const real[:, :, ::1] s, const Py_ssize_t[:, :, ::1] winner, real[:, :, ::1] x,
):
    """Add each value of `s` (m, c, places) to the pixel of `x` (m, c, pixels) that won; m = k n."""
    cdef Py_ssize_t m, n, c, p
    with nogil:
        x[...] = 0
        for m in range(s.shape[0]):
            n = m % winner.shape[0]
            for c in range(s.shape[1]):
                for p in range(s.shape[2]):
                    x[m, c, winner[n, c, p]] += s[m, c, p]


def avgpool2d(
    const real[:, :, :, ::1] x, const real[:, ::1] counts, real[:, :, :, ::1] z,
    tuple kernel, tuple stride, tuple padding, tuple dilation,
):
    """Write into `z` the sum of what the window sees, divided by `counts` (oh, ow)."""
    cdef Py_ssize_t n, c, y, q, i, j, row, column
    cdef Py_ssize_t kernel_y = kernel[0], kernel_x = kernel[1], stride_y = stride[0], stride_x = stride[1]
    cdef Py_ssize_t padding_y = padding[0], padding_x = padding[1]
    cdef Py_ssize_t dilation_y = dilation[0], dilation_x = dilation[1]
    cdef real total
    with nogil:
        for n in range(z.shape[0]):
            for c in range(z.shape[1]):
                for y in range(z.shape[2]):
                    for q in range(z.shape[3]):
                        total = 0
                        for i in range(kernel_y):
                            row = y * stride_y + i * dilation_y - padding_y
                            if row < 0 or row >= x.shape[2]:
                                continue
                            for j in range(kernel_x):
                                column = q * stride_x + j * dilation_x - padding_x
                                if 0 <= column < x.shape[3]:
                                    total = total + x[n, c, row, column]
                        z[n, c, y, q] = total / counts[y, q]


def avgpool2d_transpose(
    const real[:, :, :, ::1] s, const real[:, ::1] counts, real[:, :, :, ::1] x,
    tuple kernel, tuple stride, tuple padding, tuple dilation,
):
    """Write into `x` the adjoint of `avgpool2d` at `s`: the same loops with reading and writing exchanged."""
    cdef Py_ssize_t n, c, y, q, i, j, row, column
    cdef Py_ssize_t kernel_y = kernel[0], kernel_x = kernel[1], stride_y = stride[0], stride_x = stride[1]
    cdef Py_ssize_t padding_y = padding[0], padding_x = padding[1]
    cdef Py_ssize_t dilation_y = dilation[0], dilation_x = dilation[1]
    cdef real part
    with nogil:
        x[...] = 0
        for n in range(s.shape[0]):
            for c in range(s.shape[1]):
                for y in range(s.shape[2]):
                    for q in range(s.shape[3]):
                        part = s[n, c, y, q] / counts[y, q]
                        for i in range(kernel_y):
                            row = y * stride_y + i * dilation_y - padding_y
                            if row < 0 or row >= x.shape[2]:
                                continue
                            for j in range(kernel_x):
                                column = q * stride_x + j * dilation_x - padding_x
                                if 0 <= column < x.shape[3]:
                                    x[n, c, row, column] += part
