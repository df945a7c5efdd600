# The micro-kernel for both element types, under one name.

cdef extern from *:
    """
    #define REAL float
    #define UNSIGNED unsigned int
    #define NAMED(f) f##_float
    #include "microkernel.h"
    #undef REAL
    #undef UNSIGNED
    #undef NAMED
    #define REAL double
    #define UNSIGNED unsigned long long
    #define NAMED(f) f##_double
    #include "microkernel.h"
    """
    enum:
        TILE_ROWS
        NARROW
    ctypedef struct Sums:
        const void* start
        void* end
        Py_ssize_t start_step, end_step
        const void* bias
        const void* factor
    Py_ssize_t tile_columns_float() noexcept nogil
    Py_ssize_t tile_columns_double() noexcept nogil
    void multiply_all_float(int, Py_ssize_t, const float*, const float*, const Sums*) noexcept nogil
    void multiply_all_double(int, Py_ssize_t, const double*, const double*, const Sums*) noexcept nogil
    void multiply_some_float(
        int, Py_ssize_t, const int*, const float*, const float*, const Sums*) noexcept nogil
    void multiply_some_double(
        int, Py_ssize_t, const int*, const double*, const double*, const Sums*) noexcept nogil
    void multiply_in_place_float(
        int, Py_ssize_t, const int*, const Py_ssize_t*, const float*, const float*, const Sums*
    ) noexcept nogil
    void multiply_in_place_double(
        int, Py_ssize_t, const int*, const Py_ssize_t*, const double*, const double*, const Sums*
    ) noexcept nogil
    void multiply_narrow_float(
        Py_ssize_t, Py_ssize_t, const int*, const float*, const float*, const Sums*) noexcept nogil
    void multiply_narrow_double(
        Py_ssize_t, Py_ssize_t, const int*, const double*, const double*, const Sums*) noexcept nogil
    Py_ssize_t list_outputs_float() noexcept nogil
    Py_ssize_t list_outputs_double() noexcept nogil
    void add_list_float(
        Py_ssize_t, int, const float*, const unsigned char*, const float*, Py_ssize_t, float*) noexcept nogil
    void add_list_double(
        Py_ssize_t, int, const double*, const unsigned char*, const double*, Py_ssize_t, double*
    ) noexcept nogil
    float dot_float(Py_ssize_t, const float*, const float*) noexcept nogil
    double dot_double(Py_ssize_t, const double*, const double*) noexcept nogil
    void make_mask_float(float*, Py_ssize_t, Py_ssize_t) noexcept nogil
    void make_mask_double(double*, Py_ssize_t, Py_ssize_t) noexcept nogil
    void pack_taps_float(
        Py_ssize_t, Py_ssize_t, const Py_ssize_t*, const float*, Py_ssize_t, Py_ssize_t, const float*,
        const Py_ssize_t*, float*) noexcept nogil
    void pack_taps_double(
        Py_ssize_t, Py_ssize_t, const Py_ssize_t*, const double*, Py_ssize_t, Py_ssize_t, const double*,
        const Py_ssize_t*, double*) noexcept nogil
    void pack_and_multiply_float(
        Py_ssize_t, Py_ssize_t, const Py_ssize_t*, const float*, Py_ssize_t, Py_ssize_t, const float*,
        const Py_ssize_t*, const float*, float*, const Sums*) noexcept nogil
    void pack_and_multiply_double(
        Py_ssize_t, Py_ssize_t, const Py_ssize_t*, const double*, Py_ssize_t, Py_ssize_t, const double*,
        const Py_ssize_t*, const double*, double*, const Sums*) noexcept nogil
    Py_ssize_t pack_some_float(
        Py_ssize_t, Py_ssize_t, const Py_ssize_t*, const float*, Py_ssize_t, const float*, const Py_ssize_t*,
        const int*, float*, int*) noexcept nogil
    Py_ssize_t pack_some_double(
        Py_ssize_t, Py_ssize_t, const Py_ssize_t*, const double*, Py_ssize_t, const double*,
        const Py_ssize_t*, const int*, double*, int*) noexcept nogil
    void prefetch(const void*) noexcept nogil
    void add_to_columns_float(float*, const float*, float) noexcept nogil
    void add_to_columns_double(double*, const double*, double) noexcept nogil
    void multiply_columns_float(float*, const float*, const float*) noexcept nogil
    void multiply_columns_double(double*, const double*, const double*) noexcept nogil
    bint any_column_float(const float*) noexcept nogil
    bint any_column_double(const double*) noexcept nogil

cdef extern from "cpu.h" nogil:
    bint has_x86_64_v3()
    bint has_x86_64_v4()

ctypedef fused real:
    float
    double

cdef enum:
    MOST_COLUMNS = 32  # of a tile, on any instruction set
    MOST_PANELS = 8  # in a unit
    LISTED = 64  # pixels whose channels are listed at a time
    GRAIN = 16  # outputs of a dense layer at a time
    MASKS = 64  # of a panel at a time, for each of its runs and some taps
    CHANNELS = 64  # that are added up one tap after the other
    DEPTH = 192  # rows packed at a time: a panel is 12 KiB then, or 18, of a first-level cache of 32 or more


cdef inline Py_ssize_t pieces(Py_ssize_t length, Py_ssize_t size) noexcept nogil:
    # How many pieces of `size`, the last one perhaps smaller, make up `length`.
    return (length + size - 1) // size


cdef inline Py_ssize_t tile_columns(const real* array) noexcept nogil:
    return tile_columns_float() if real is float else tile_columns_double()


cdef inline Py_ssize_t list_outputs(const real* array) noexcept nogil:
    return list_outputs_float() if real is float else list_outputs_double()


cdef inline void multiply_all(
    int outputs, Py_ssize_t depth, const real* weights, const real* image, const Sums* sums
) noexcept nogil:
    if real is float:
        multiply_all_float(outputs, depth, weights, image, sums)
    else:
        multiply_all_double(outputs, depth, weights, image, sums)


cdef inline void multiply_some(
    int outputs, Py_ssize_t depth, const int* rows, const real* weights, const real* image, const Sums* sums
) noexcept nogil:
    if real is float:
        multiply_some_float(outputs, depth, rows, weights, image, sums)
    else:
        multiply_some_double(outputs, depth, rows, weights, image, sums)


cdef inline void multiply_in_place(
    int outputs, Py_ssize_t depth, const int* rows, const Py_ssize_t* places, const real* weights,
    const real* image, const Sums* sums,
) noexcept nogil:
    if real is float:
        multiply_in_place_float(outputs, depth, rows, places, weights, image, sums)
    else:
        multiply_in_place_double(outputs, depth, rows, places, weights, image, sums)


cdef inline void multiply_narrow(
    Py_ssize_t places, Py_ssize_t depth, const int* rows, const real* weights, const real* image,
    const Sums* sums,
) noexcept nogil:
    if real is float:
        multiply_narrow_float(places, depth, rows, weights, image, sums)
    else:
        multiply_narrow_double(places, depth, rows, weights, image, sums)


cdef inline void add_list(
    Py_ssize_t outputs, int count, const real* values, const unsigned char* channels, const real* weights,
    Py_ssize_t block_size, real* sums,
) noexcept nogil:
    if real is float:
        add_list_float(outputs, count, values, channels, weights, block_size, sums)
    else:
        add_list_double(outputs, count, values, channels, weights, block_size, sums)


cdef inline real dot(Py_ssize_t count, const real* a, const real* b) noexcept nogil:
    if real is float:
        return dot_float(count, a, b)
    else:
        return dot_double(count, a, b)


cdef inline void make_mask(real* mask, Py_ssize_t first, Py_ssize_t end) noexcept nogil:
    if real is float:
        make_mask_float(mask, first, end)
    else:
        make_mask_double(mask, first, end)


cdef inline void pack_taps(
    Py_ssize_t step, Py_ssize_t runs, const Py_ssize_t* starts, const real* masks,
    Py_ssize_t taps, Py_ssize_t rows, const real* image, const Py_ssize_t* places, real* packed,
) noexcept nogil:
    if real is float:
        pack_taps_float(step, runs, starts, masks, taps, rows, image, places, packed)
    else:
        pack_taps_double(step, runs, starts, masks, taps, rows, image, places, packed)


cdef inline void pack_and_multiply(
    Py_ssize_t step, Py_ssize_t runs, const Py_ssize_t* starts, const real* masks,
    Py_ssize_t taps, Py_ssize_t rows, const real* image, const Py_ssize_t* places, const real* weights,
    real* packed, const Sums* sums,
) noexcept nogil:
    if real is float:
        pack_and_multiply_float(step, runs, starts, masks, taps, rows, image, places, weights, packed, sums)
    else:
        pack_and_multiply_double(step, runs, starts, masks, taps, rows, image, places, weights, packed, sums)


cdef inline Py_ssize_t pack_some(
    Py_ssize_t step, Py_ssize_t runs, const Py_ssize_t* starts, const real* masks, Py_ssize_t rows,
    const real* image, const Py_ssize_t* places, const int* numbers, real* packed, int* kept,
) noexcept nogil:
    if real is float:
        return pack_some_float(step, runs, starts, masks, rows, image, places, numbers, packed, kept)
    else:
        return pack_some_double(step, runs, starts, masks, rows, image, places, numbers, packed, kept)


cdef inline void add_to_columns(real* to, const real* start, real offset) noexcept nogil:
    if real is float:
        add_to_columns_float(to, start, offset)
    else:
        add_to_columns_double(to, start, offset)


cdef inline void multiply_columns(real* to, const real* start, const real* factor) noexcept nogil:
    if real is float:
        multiply_columns_float(to, start, factor)
    else:
        multiply_columns_double(to, start, factor)


cdef inline bint any_column(const real* row) noexcept nogil:
    if real is float:
        return any_column_float(row)
    else:
        return any_column_double(row)
