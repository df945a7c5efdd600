# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: freethreading_compatible=True
"""Convolution, its adjoint, and the convolution's relevance step, as plain loops.

The wrappers in `refcrp.kernels` check the shapes and make the arrays contiguous; here is only the loop.
An output pixel (y, q) sees, through position (i, j) of the kernel, the input pixel
(y stride + i dilation - padding, q stride + j dilation - padding). For each (i, j) the output pixels that see
a pixel inside the image form a rectangle, so the inner loops need no test.
"""

from refcrp.kernels._window cimport Geometry, Span, as_geometry, inside

ctypedef fused real:
    float
    double


def conv2d(
    const real[:, :, :, ::1] x, const real[:, :, :, ::1] weight, const real[::1] bias, real[:, :, :, ::1] z,
    tuple kernel, tuple stride, tuple padding, tuple dilation, Py_ssize_t groups,
):
    """Write into `z` (n, o, oh, ow) `x` (n, c, h, w) cross-correlated with `weight`, plus `bias` (o)."""
    cdef Py_ssize_t n, o, c, i, j, y, q, first_channel, top, left
    cdef Geometry window = as_geometry(kernel, stride, padding, dilation)
    cdef Py_ssize_t stride_y = window.stride_y, stride_x = window.stride_x
    cdef Py_ssize_t outputs_per_group = weight.shape[0] // groups
    cdef Span rows, columns
    cdef real w
    with nogil:
        for n in range(z.shape[0]):
            for o in range(z.shape[1]):
                z[n, o, :, :] = bias[o]
                first_channel = o // outputs_per_group * weight.shape[1]
                for c in range(weight.shape[1]):
                    for i in range(window.kernel_y):
                        top = i * window.dilation_y - window.padding_y
                        rows = inside(top, stride_y, x.shape[2], z.shape[2])
                        for j in range(window.kernel_x):
                            left = j * window.dilation_x - window.padding_x
                            columns = inside(left, stride_x, x.shape[3], z.shape[3])
                            w = weight[o, c, i, j]
                            for y in range(rows.first, rows.end):
                                for q in range(columns.first, columns.end):
                                    z[n, o, y, q] += w * x[
                                        n, first_channel + c, y * stride_y + top, q * stride_x + left
                                    ]


def conv2d_transpose(
    const real[:, :, :, ::1] s, const real[:, :, :, ::1] weight, real[:, :, :, ::1] x,
    tuple kernel, tuple stride, tuple padding, tuple dilation, Py_ssize_t groups,
):
    """Write into `x` (n, c, h, w) the adjoint of `conv2d` at `s` (n, o, oh, ow)."""
    cdef Py_ssize_t n
    cdef Geometry window = as_geometry(kernel, stride, padding, dilation)
    with nogil:
        x[...] = 0
        for n in range(s.shape[0]):
            add_transposed(s[n], weight, x[n], window, groups)


def conv2d_relevance(
    const real[:, :, :, ::1] R, const real[:, :, :, ::1] denominator, const real[:, :, :, ::1] a,
    const real[:, :, :, ::1] weight, real[:, :, :, ::1] s, real[:, :, :, ::1] R_in,
    tuple kernel, tuple stride, tuple padding, tuple dilation, Py_ssize_t groups,
):
    """Write into `R_in` (m, c, h, w) the relevance a * conv2d_transpose(R / denominator).

    `R` (m, o, oh, ow) holds m = k n relevances, all n samples for each of k conditions; `denominator`
    (n, o, oh, ow) and `a` (n, c, h, w) belong to the samples. `s` (1, o, oh, ow) is room for R / denominator
    of one sample, so that it stays in the cache.
    """
    cdef Py_ssize_t m, n, o, c, y, q
    cdef Geometry window = as_geometry(kernel, stride, padding, dilation)
    with nogil:
        R_in[...] = 0
        for m in range(R.shape[0]):
            n = m % a.shape[0]
            for o in range(R.shape[1]):
                for y in range(R.shape[2]):
                    for q in range(R.shape[3]):
                        s[0, o, y, q] = R[m, o, y, q] / denominator[n, o, y, q]
            add_transposed(s[0], weight, R_in[m], window, groups)
            for c in range(a.shape[1]):
                for y in range(a.shape[2]):
                    for q in range(a.shape[3]):
                        R_in[m, c, y, q] *= a[n, c, y, q]


cdef void add_transposed(
    const real[:, :, ::1] s, const real[:, :, :, ::1] weight, real[:, :, ::1] x,
    Geometry window, Py_ssize_t groups,
) noexcept nogil:
    # One sample of conv2d_transpose: the loops of conv2d with reading and writing exchanged.
    cdef Py_ssize_t o, c, i, j, y, q, first_channel, top, left
    cdef Py_ssize_t stride_y = window.stride_y, stride_x = window.stride_x
    cdef Py_ssize_t outputs_per_group = weight.shape[0] // groups
    cdef Span rows, columns
    cdef real w
    for o in range(s.shape[0]):
        first_channel = o // outputs_per_group * weight.shape[1]
        for c in range(weight.shape[1]):
            for i in range(window.kernel_y):
                top = i * window.dilation_y - window.padding_y
                rows = inside(top, stride_y, x.shape[1], s.shape[1])
                for j in range(window.kernel_x):
                    left = j * window.dilation_x - window.padding_x
                    columns = inside(left, stride_x, x.shape[2], s.shape[2])
                    w = weight[o, c, i, j]
                    for y in range(rows.first, rows.end):
                        for q in range(columns.first, columns.end):
                            x[first_channel + c, y * stride_y + top, q * stride_x + left] += w * s[o, y, q]
