# What comes before the adjoint, and the adjoint of a box.

from libc.string cimport memcpy


def find_active(const real[:, :, :, ::1] R, unsigned char[:, ::1] active, Py_ssize_t first, Py_ssize_t end):
    """Tell which planes of `R` (n, c, places, lanes) hold more than zeros; images from `first` to `end`."""
    cdef Py_ssize_t n, c, p, size = R.shape[2] * R.shape[3], columns = tile_columns[real](<real*>NULL)
    cdef const real* plane
    with nogil:
        for n in range(first, end):
            for c in range(R.shape[1]):
                plane = &R[n, c, 0, 0]
                p = 0
                while p + columns <= size and not any_column(plane + p):
                    p += columns
                while p < size and plane[p] == 0:
                    p += 1
                active[n, c] = p < size


def count_filled(const real[:, :, :, :, ::1] images, Py_ssize_t step):
    """Count what is not zero of every step-th number of `images`."""
    cdef Py_ssize_t k, filled = 0, size = images.nbytes // sizeof(real)
    cdef const real* number = &images[0, 0, 0, 0, 0]
    for k in range(pieces(size, step)):
        filled += number[k * step] != 0
    return filled


def stabilize(const real[::1] z, real epsilon, real[::1] away, Py_ssize_t first, Py_ssize_t end):
    """Write z + epsilon where z >= 0, z - epsilon where z < 0, from element `first` to `end`."""
    cdef Py_ssize_t k
    with nogil:
        for k in range(first, end):
            away[k] = z[k] - epsilon if z[k] < 0 else z[k] + epsilon


def spread(
    const real[:, :, :, ::1] planes, const real[:, :, ::1] denominator, const unsigned char[::1] active,
    real[:, :, :, ::1] target, tuple margin, Py_ssize_t grain, Units units,
):
    """Put planes into larger ones of zeros, divided; those that are active.

    Parameters
    ----------
    planes : (m, h, w, lanes) array
    denominator : (n, h, w) array or None
        That of plane m is the one of m modulo n.
    active : (m,) array or None
    target : (m, height, width, lanes) array
    margin : (int, int)
        Where the pixel (0, 0) goes.
    grain : int
        So many planes are a unit.
    units : Units
    """
    cdef Py_ssize_t own, unit, m, y, top = margin[0], left = margin[1], width = planes.shape[2]
    cdef Py_ssize_t lanes = planes.shape[3]
    with nogil:
        own = units.join()
        unit = units.take(own)
        while unit >= 0:
            for m in range(unit * grain, min((unit + 1) * grain, planes.shape[0])):
                if active is not None and not active[m]:
                    continue
                target[m] = 0
                for y in range(planes.shape[1]):
                    if denominator is None:
                        memcpy(
                            &target[m, top + y, left, 0], &planes[m, y, 0, 0], width * lanes * sizeof(real)
                        )
                    else:
                        divide(
                            &planes[m, y, 0, 0], &denominator[m % denominator.shape[0], y, 0], width, lanes,
                            &target[m, top + y, left, 0],
                        )
            units.finish()
            unit = units.take(own)


cdef inline void divide(
    const real* R, const real* z, Py_ssize_t pixels, Py_ssize_t lanes, real* s
) noexcept nogil:
    cdef Py_ssize_t x, lane
    if lanes == 1:
        for x in range(pixels):
            s[x] = R[x] / z[x]
        return
    for x in range(pixels):
        for lane in range(lanes):
            s[x * lanes + lane] = R[x * lanes + lane] / z[x]


def box_transpose(
    const real[:, :, :, :, ::1] R, const real[:, :, :, ::1] denominator, real[:, :, :, :, ::1] target,
    real[::1] room, tuple kernel, tuple stride, tuple padding, tuple dilation,
    Py_ssize_t first, Py_ssize_t end,
):
    """Sum R / denominator over the outputs of each group, and send it to all pixels under the window.

    First along rows, then along columns: a box is the product of two lines.

    Parameters
    ----------
    R : (m, groups o, oh, ow, lanes) array
    denominator : (n, groups o, oh, ow) array
    target : (m, groups, h, w, lanes) array
    room : (2 ow lanes + w lanes,) array
    first, end : int
        The images to do.
    """
    cdef Geometry window = as_geometry(kernel, stride, padding, dilation)
    cdef Py_ssize_t groups = target.shape[1], outputs = R.shape[1] // groups
    cdef Py_ssize_t lanes = R.shape[4], width = R.shape[3] * lanes
    cdef Py_ssize_t m, g, o, y, i, x, above
    cdef Span rows
    cdef real* total = &room[0]
    cdef real* quotient = total + width
    cdef real* line = quotient + width
    cdef real* to
    with nogil:
        for m in range(first, end):
            for g in range(groups):
                target[m, g] = 0
                for y in range(R.shape[2]):
                    memset(total, 0, width * sizeof(real))
                    for o in range(g * outputs, (g + 1) * outputs):
                        divide(
                            &R[m, o, y, 0, 0], &denominator[m % denominator.shape[0], o, y, 0], R.shape[3],
                            lanes, quotient,
                        )
                        for x in range(width):
                            total[x] += quotient[x]
                    send_along_row(&window, total, R.shape[3], target.shape[3], lanes, line)
                    above = y * window.stride_y - window.padding_y
                    rows = inside(above, window.dilation_y, target.shape[2], window.kernel_y)
                    for i in range(rows.first, rows.end):
                        to = &target[m, g, above + i * window.dilation_y, 0, 0]
                        for x in range(target.shape[3] * lanes):
                            to[x] += line[x]


cdef void send_along_row(
    const Geometry* window, const real* s, Py_ssize_t places, Py_ssize_t pixels, Py_ssize_t lanes, real* line,
) noexcept nogil:
    # line[x] = sum of s[q] over the places q that see pixel x
    cdef Py_ssize_t j, q, lane, left
    cdef Span columns
    memset(line, 0, pixels * lanes * sizeof(real))
    for j in range(window.kernel_x):
        left = j * window.dilation_x - window.padding_x
        columns = inside(left, window.stride_x, pixels, places)
        if window.stride_x == 1:
            for q in range(columns.first * lanes, columns.end * lanes):
                line[left * lanes + q] += s[q]
        else:
            for q in range(columns.first, columns.end):
                for lane in range(lanes):
                    line[(left + q * window.stride_x) * lanes + lane] += s[q * lanes + lane]
