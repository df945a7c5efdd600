# Lists: which of some channels are not zero at a pixel, and their values. Where most are zero only these are
# multiplied, each with its weights for many outputs at once. Sums have the order that panels give them.


def make_lists(
    const real[:, :, :, ::1] images, const real[:, :, :, ::1] denominator, real[:, :, :, :, ::1] values,
    unsigned char[:, :, :, :, ::1] channels, int[:, :, :, ::1] counts, tuple margin, Py_ssize_t groups,
    Units units,
):
    """List what is not zero in images, divided, with a margin of empty lists around them.

    Parameters
    ----------
    images : (n, groups c, h, w) array
    denominator : (m, groups c, h, w) array or None
        That of image n is the one of n modulo m.
    values, channels : (n, groups lists, height, width, size) arrays
        Of each pixel, for every `size` channels of a group; as many are written as there are.
    counts : (n, groups lists, height, width) array
    margin : (int, int)
        Above and to the left.
    groups : int
    units : Units
        As many as there are rows in all lists, n groups lists height.
    """
    cdef Py_ssize_t own, unit, n, k, y, first, end, top = margin[0], left = margin[1]
    cdef Py_ssize_t lists = counts.shape[1] // groups, of_group = images.shape[1] // groups
    cdef Py_ssize_t plane = images.shape[2] * images.shape[3]
    cdef const real* z = NULL
    with nogil:
        own = units.join()
        unit = units.take(own)
        while unit >= 0:
            y, k = unit % counts.shape[2], unit // counts.shape[2] % counts.shape[1]
            n = unit // counts.shape[2] // counts.shape[1]
            memset(&counts[n, k, y, 0], 0, counts.shape[3] * sizeof(int))
            if top <= y < top + images.shape[2]:
                first = k // lists * of_group + k % lists * CHANNELS
                end = min(first + CHANNELS, (k // lists + 1) * of_group)
                if denominator is not None:
                    z = &denominator[n % denominator.shape[0], first, y - top, 0]
                list_row(
                    &images[n, first, y - top, 0], z, end - first, plane, images.shape[3],
                    &values[n, k, y, left, 0], &channels[n, k, y, left, 0], &counts[n, k, y, left],
                )
            units.finish()
            unit = units.take(own)


cdef void list_row(
    const real* row, const real* denominator, Py_ssize_t depth, Py_ssize_t plane, Py_ssize_t width,
    real* values, unsigned char* channels, int* counts,
) noexcept nogil:
    cdef Py_ssize_t piece, x, c, j, some
    cdef int count
    cdef real seen[CHANNELS][LISTED]
    for piece in range(pieces(width, LISTED)):
        x = piece * LISTED
        some = min(LISTED, width - x)
        for c in range(depth):
            if denominator == NULL:
                memcpy(&seen[c][0], row + c * plane + x, some * sizeof(real))
            else:
                divide(row + c * plane + x, denominator + c * plane + x, some, 1, &seen[c][0])
        for j in range(some):
            count = 0
            for c in range(depth):
                values[count], channels[count] = seen[c][j], <unsigned char>c
                count += seen[c][j] != 0  # and no branch: nobody can predict it
            counts[x + j] = count
            values += CHANNELS
            channels += CHANNELS


cdef void add_lists(
    const Task* task, const Room* room, const Part* part, const real* values, const unsigned char* channels,
    const int* counts, const real* weights, real* tiles, real* sums,
) noexcept nogil:
    cdef Py_ssize_t columns = tile_columns[real](<real*>NULL), outputs, places = part.panels * columns
    cdef Py_ssize_t b = 0, p, r, k, some
    cdef Py_ssize_t* pixels = <Py_ssize_t*>(sums + places * list_outputs[real](<real*>NULL))
    cdef const Run* run
    for k in range(places):
        pixels[k] = -1  # no place
    for p in range(part.panels):
        for r in range(part.panel[p].runs):
            run = &part.panel[p].run[r]
            for k in range(run.length):
                pixels[p * columns + run.column + k] = run.start + k
    while b < part.blocks:
        some = list_outputs[real](<real*>NULL) // TILE_ROWS
        while some > part.blocks - b:
            some //= 2
        outputs = some * TILE_ROWS
        memset(sums, 0, places * outputs * sizeof(real))
        add_lists_for(
            task, room, values, channels, counts, weights, part.first_block + b, outputs, pixels, places, sums
        )
        for p in range(part.panels):
            for k in range(some):
                transpose(
                    sums + p * columns * outputs + k * TILE_ROWS, outputs,
                    tiles + (p * part.blocks + b + k) * TILE_ROWS * columns,
                )
        b += some


cdef void add_lists_for(
    const Task* task, const Room* room, const real* values, const unsigned char* channels, const int* counts,
    const real* weights, Py_ssize_t block, Py_ssize_t outputs, const Py_ssize_t* pixels, Py_ssize_t places,
    real* sums,
) noexcept nogil:
    cdef Py_ssize_t piece, tap, t, shift, plane = task.height * task.width
    cdef Slab slab
    for piece in range(pieces(task.channels, CHANNELS)):
        tap = 0
        while tap < task.taps:
            slab = slab_at(task, piece, tap)
            for t in range(slab.taps):
                shift = room.taps[tap + t].shift
                add_tap(
                    &slab, values + shift * CHANNELS, channels + shift * CHANNELS, counts + shift,
                    weights + (block * slab.rows + t * slab.channels) * TILE_ROWS, outputs, pixels, places,
                    sums,
                )
            weights += task.blocks * slab.rows * TILE_ROWS
            tap += slab.taps
        values += plane * CHANNELS
        channels += plane * CHANNELS
        counts += plane


cdef void add_tap(
    const Slab* slab, const real* values, const unsigned char* channels, const int* counts,
    const real* weights, Py_ssize_t outputs, const Py_ssize_t* pixels, Py_ssize_t places, real* sums,
) noexcept nogil:
    # These weights, of one tap and some channels, stay in a first-level cache for all places.
    cdef Py_ssize_t k, pixel, block_size = slab.rows * TILE_ROWS
    for k in range(places):
        fetch_weights(weights + (slab.channels + k % slab.channels) * TILE_ROWS, block_size, outputs)
        pixel = pixels[k]
        if pixel < 0:
            continue
        fetch_list(values + (pixel + 3) * CHANNELS, channels + (pixel + 3) * CHANNELS)
        add_list(
            outputs, counts[pixel], values + pixel * CHANNELS, channels + pixel * CHANNELS, weights,
            block_size, sums + k * outputs,
        )


cdef inline void fetch_list(const real* values, const unsigned char* channels) noexcept nogil:
    # Ask for the first two lines of a list, and its channels.
    prefetch(values)
    prefetch(values + 64 // sizeof(real))
    prefetch(channels)


cdef inline void fetch_weights(const real* weight, Py_ssize_t block_size, Py_ssize_t outputs) noexcept nogil:
    # Ask for weights of the next tap, which will be read in an order that nobody can predict.
    cdef Py_ssize_t b
    for b in range(outputs // TILE_ROWS):
        prefetch(weight + b * block_size)


cdef inline void transpose(const real* sums, Py_ssize_t outputs, real* tile) noexcept nogil:
    # From a row of outputs for each place to a row of places for each output.
    cdef Py_ssize_t columns = tile_columns[real](<real*>NULL), i, j
    for i in range(TILE_ROWS):
        for j in range(columns):
            tile[i * columns + j] = sums[j * outputs + i]
