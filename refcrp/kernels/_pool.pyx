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
    const real[:, :, ::1] x, real[:, :, ::1] z, Py_ssize_t[:, :, ::1] winner,
    tuple kernel, tuple stride, tuple padding, tuple dilation, Py_ssize_t first, Py_ssize_t end,
):
    """Write the largest value under each place of the window into `z`, its flat index into `winner`.

    `x` (planes, h, w), `z` and `winner` (planes, oh, ow); planes from `first` to `end` are done.
    """
    cdef Py_ssize_t plane, y, q, i, j, top, left, index, best
    cdef Geometry window = as_geometry(kernel, stride, padding, dilation)
    cdef bint is_two_by_two = kernel == (2, 2) and dilation == (1, 1)
    cdef Span rows, columns
    cdef real largest
    cdef const real* image
    with nogil:
        for plane in range(first, end):
            image = &x[plane, 0, 0]
            for y in range(z.shape[1]):
                top = y * window.stride_y - window.padding_y
                rows = inside(top, window.dilation_y, x.shape[1], window.kernel_y)
                for q in range(z.shape[2]):
                    left = q * window.stride_x - window.padding_x
                    columns = inside(left, window.dilation_x, x.shape[2], window.kernel_x)
                    best = (top + rows.first * window.dilation_y) * x.shape[2]
                    best += left + columns.first * window.dilation_x
                    largest = image[best]
                    if is_two_by_two and rows.end - rows.first == 2 and columns.end - columns.first == 2:
                        index = best  # the usual window: loops would take longer than the looking
                        look_at(image, index + 1, &largest, &best)
                        look_at(image, index + x.shape[2], &largest, &best)
                        look_at(image, index + x.shape[2] + 1, &largest, &best)
                    else:
                        for i in range(rows.first, rows.end):
                            index = (top + i * window.dilation_y) * x.shape[2] + left
                            for j in range(columns.first, columns.end):
                                look_at(image, index + j * window.dilation_x, &largest, &best)
                    z[plane, y, q] = largest
                    winner[plane, y, q] = best


cdef inline void look_at(
    const real* image, Py_ssize_t index, real* largest, Py_ssize_t* best
) noexcept nogil:
    cdef real value = image[index]
    cdef Py_ssize_t is_larger = value > largest[0]  # and no branch: nobody can predict it
    best[0] += is_larger * (index - best[0])
    largest[0] = value if is_larger else largest[0]


def maxpool2d_relevance(
    const real[:, :, ::1] R, const real[:, ::1] share, const Py_ssize_t[:, ::1] winner,
    real[:, :, ::1] R_in, Py_ssize_t first, Py_ssize_t end,
):
    """Add ``share * R`` to the pixel of `R_in` that won, for planes from `first` to `end`.

    `R` (planes, places, lanes), `R_in` (planes, pixels, lanes); `share` and `winner` (n, places) belong to
    the plane modulo n.
    """
    cdef Py_ssize_t plane, n, p, lane, lanes = R.shape[2]
    cdef const Py_ssize_t* won
    cdef const real* shares
    cdef const real* out
    cdef real* to
    with nogil:
        for plane in range(first, end):
            n = plane % winner.shape[0]
            R_in[plane] = 0
            out, won, shares = &R[plane, 0, 0], &winner[n, 0], &share[n, 0]
            if lanes == 1:
                to = &R_in[plane, 0, 0]
                for p in range(R.shape[1]):
                    to[won[p]] += shares[p] * out[p]
                continue
            for p in range(R.shape[1]):
                to = &R_in[plane, won[p], 0]
                for lane in range(lanes):
                    to[lane] += shares[p] * out[p * lanes + lane]


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
