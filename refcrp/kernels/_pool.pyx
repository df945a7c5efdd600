# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: freethreading_compatible=True
"""Max and average pooling with their adjoints, as plain loops; the wrappers are in `refcrp.kernels`.

For each place (y, q) of the window the positions (i, j) that see a pixel inside the image form a rectangle,
so the inner loops need no test.
"""

from refcrp.kernels._window cimport Geometry, Span, as_geometry, inside

ctypedef fused real:
    float
    double


def maxpool2d(
    const real[:, :, :, ::1] x, real[:, :, :, ::1] z, Py_ssize_t[:, :, :, ::1] winner,
    tuple kernel, tuple stride, tuple padding, tuple dilation,
):
    """Write the largest value under each place of the window into `z`, its flat index into `winner`."""
    cdef Py_ssize_t n, c, y, q, i, j, row, column, top, left
    cdef Geometry window = as_geometry(kernel, stride, padding, dilation)
    cdef Span rows, columns
    with nogil:
        winner[...] = -1
        for n in range(z.shape[0]):
            for c in range(z.shape[1]):
                for y in range(z.shape[2]):
                    top = y * window.stride_y - window.padding_y
                    rows = inside(top, window.dilation_y, x.shape[2], window.kernel_y)
                    for q in range(z.shape[3]):
                        left = q * window.stride_x - window.padding_x
                        columns = inside(left, window.dilation_x, x.shape[3], window.kernel_x)
                        for i in range(rows.first, rows.end):
                            row = top + i * window.dilation_y
                            for j in range(columns.first, columns.end):
                                column = left + j * window.dilation_x
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
    cdef Py_ssize_t n, c, y, q, i, j, row, column, top, left
    cdef Geometry window = as_geometry(kernel, stride, padding, dilation)
    cdef Span rows, columns
    cdef real total
    with nogil:
        for n in range(z.shape[0]):
            for c in range(z.shape[1]):
                for y in range(z.shape[2]):
                    top = y * window.stride_y - window.padding_y
                    rows = inside(top, window.dilation_y, x.shape[2], window.kernel_y)
                    for q in range(z.shape[3]):
                        left = q * window.stride_x - window.padding_x
                        columns = inside(left, window.dilation_x, x.shape[3], window.kernel_x)
                        total = 0
                        for i in range(rows.first, rows.end):
                            row = top + i * window.dilation_y
                            for j in range(columns.first, columns.end):
                                column = left + j * window.dilation_x
                                total = total + x[n, c, row, column]
                        z[n, c, y, q] = total / counts[y, q]


def avgpool2d_transpose(
    const real[:, :, :, ::1] s, const real[:, ::1] counts, real[:, :, :, ::1] x,
    tuple kernel, tuple stride, tuple padding, tuple dilation,
):
    """Write into `x` the adjoint of `avgpool2d` at `s`: the same loops with reading and writing exchanged."""
    cdef Py_ssize_t n, c, y, q, i, j, row, column, top, left
    cdef Geometry window = as_geometry(kernel, stride, padding, dilation)
    cdef Span rows, columns
    cdef real part
    with nogil:
        x[...] = 0
        for n in range(s.shape[0]):
            for c in range(s.shape[1]):
                for y in range(s.shape[2]):
                    top = y * window.stride_y - window.padding_y
                    rows = inside(top, window.dilation_y, x.shape[2], window.kernel_y)
                    for q in range(s.shape[3]):
                        left = q * window.stride_x - window.padding_x
                        columns = inside(left, window.dilation_x, x.shape[3], window.kernel_x)
                        part = s[n, c, y, q] / counts[y, q]
                        for i in range(rows.first, rows.end):
                            row = top + i * window.dilation_y
                            for j in range(columns.first, columns.end):
                                column = left + j * window.dilation_x
                                x[n, c, row, column] += part
