# A matrix times few vectors. It takes as long as it takes to read the matrix, once.


def multiply_vectors(const real[:, ::1] weight, const real[:, ::1] x, real[:, ::1] z, Units units):
    """z = x Wᵀ: each z[n, o] the product of two rows; a unit is `GRAIN` outputs.

    Parameters
    ----------
    weight : (o, i) array
    x : (n, i) array
    z : (n, o) array
    units : Units
        As many as there are pieces of the outputs.
    """
    cdef Py_ssize_t own, unit, o, n
    with nogil:
        own = units.join()
        unit = units.take(own)
        while unit >= 0:
            for o in range(unit * GRAIN, min((unit + 1) * GRAIN, weight.shape[0])):
                for n in range(x.shape[0]):
                    z[n, o] = dot(weight.shape[1], &weight[o, 0], &x[n, 0])
            units.finish()
            unit = units.take(own)


def multiply_transposed(
    const real[:, ::1] weight, const real[:, ::1] s, real[:, ::1] x, Py_ssize_t columns, Units units
):
    """x = s W: the rows of W that s does not leave out, one after the other; a unit is `columns` columns.

    Parameters
    ----------
    weight : (o, i) array
    s : (n, o) array
    x : (n, i) array
    columns : int
        So many that those of all x fit into a first-level cache.
    units : Units
        As many as there are pieces of the columns.
    """
    cdef Py_ssize_t own, unit, o, n, first, count
    with nogil:
        own = units.join()
        unit = units.take(own)
        while unit >= 0:
            first = unit * columns
            count = min(columns, weight.shape[1] - first)
            for n in range(x.shape[0]):
                memset(&x[n, first], 0, count * sizeof(real))
            for o in range(weight.shape[0]):
                for n in range(x.shape[0]):
                    if s[n, o] != 0:
                        add_times(count, &x[n, first], s[n, o], &weight[o, first])
            units.finish()
            unit = units.take(own)


def grain():
    """Give how many outputs are a unit of `multiply_vectors`."""
    return GRAIN


cdef inline void add_times(Py_ssize_t count, real* x, real factor, const real* row) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(count):
        x[i] += factor * row[i]
