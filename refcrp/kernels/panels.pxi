# Panels: as many neighbouring places of the grid as a tile has columns.


cdef struct Task:
    # The work, but for its arrays; see `convolve`. Lengths along a row count elements, pixels * lanes.
    Py_ssize_t groups, channels, height, width, source_size  # of the source; channels of one group
    Py_ssize_t outputs, target_width, target_size  # of the target; outputs of one group, width in pixels
    Py_ssize_t lanes, taps
    Py_ssize_t step_y, step_x  # in the source, from a place to the next
    Py_ssize_t first_y, first_x, stride_y, stride_x  # in the target
    Py_ssize_t rows, columns, pitch  # of the grid; from one row to the next
    Py_ssize_t depth, blocks, panels, panel_size, shares, chunks, factor_images
    Py_ssize_t longest_shift
    bint packs
    bint fills_target  # place after place
    const unsigned char* list_channels
    const int* list_counts  # NULL if the source is an image


cdef struct Tap:
    # From a place to what it sees through this tap, and the places that see a pixel; the others see what is
    # around the image, which is zero.
    Py_ssize_t shift, first_u, end_u, first_v, end_v


cdef struct Room:
    # Memory for one unit after the other.
    void* all
    void* numbers  # aligned to cache lines: tiles, then packed panels, or sums
    Tap* taps
    Tap all_taps  # the places that see the image through all of them
    Py_ssize_t* places
    int* rows
    int* kept


cdef bint prepare(const Task* task, Room* room, Py_ssize_t panels, size_t numbers) noexcept:
    # Whether there is the memory.
    cdef size_t integers = (panels + 1) * task.depth
    cdef size_t rest = task.taps * sizeof(Tap) + task.depth * sizeof(Py_ssize_t) + integers * sizeof(int)
    numbers += 64 - numbers % 64
    room.all = malloc(64 + numbers + rest)
    room.numbers = <void*>((<size_t>room.all + 63) & ~<size_t>63)
    room.taps = <Tap*>(<char*>room.numbers + numbers)
    room.places = <Py_ssize_t*>(room.taps + task.taps)
    room.rows = <int*>(room.places + task.depth)
    room.kept = room.rows + task.depth
    return room.all != NULL


cdef void release(const Room* room) noexcept nogil:
    free(room.all)


cdef struct Slab:
    # Some channels and some taps, whose weights lie together: a row for each tap and channel.
    Py_ssize_t first_channel, channels, first_tap, taps, rows


cdef inline Slab slab_at(const Task* task, Py_ssize_t piece, Py_ssize_t tap) noexcept nogil:
    # The slab of a piece of the channels that begins with a tap, as `refcrp.kernels.taps.packed` has it.
    cdef Slab slab
    slab.first_channel, slab.first_tap = piece * CHANNELS, tap
    slab.channels = min(CHANNELS, task.channels - slab.first_channel)
    slab.taps = min(max(1, DEPTH // slab.channels), task.taps - tap)
    slab.rows = slab.taps * slab.channels
    return slab


cdef struct Run:
    # Columns of a panel that lie a step apart in the source, and a stride apart in the target: how many, the
    # place of the first, and where they start.
    Py_ssize_t column, length, u, v, start, target


cdef struct Panel:
    Py_ssize_t start, runs, places
    Py_ssize_t depth  # how many rows are multiplied
    const int* rows  # of the weights, which belong to them; NULL for all
    bint is_packed
    Py_ssize_t lowest, highest  # where a row must begin, so that its runs can be read at a tile's full width
    Run run[MOST_COLUMNS]
    Run in_target  # where the grid fills the target: all places, as they lie side by side there
    Py_ssize_t starts[MOST_COLUMNS]  # of the runs in the source, as if all began with the first column


cdef struct Part:
    # What a unit is to do.
    Py_ssize_t panels, first_block, blocks
    Panel panel[MOST_PANELS]


cdef void cut_into_runs(const Task* task, Py_ssize_t first, Py_ssize_t columns, Panel* panel) noexcept nogil:
    # The panel's columns are the places from `first` on, row by row, lane by lane.
    cdef Py_ssize_t end = min(first + columns, task.rows * task.pitch)
    cdef Py_ssize_t place = first, u, v, length, pixel, lane, y, x
    cdef Run* run
    panel.start, panel.runs, panel.places = first, 0, end - first
    panel.in_target.column, panel.in_target.length, panel.in_target.target = 0, panel.places, first
    while place < end:
        u, v = place // task.pitch, place % task.pitch
        if v >= task.columns:  # no place: the row is over
            place += task.pitch - v
            continue
        pixel, lane = v // task.lanes, v % task.lanes
        # With a stride in the target, a run is a row of pixels of one lane, or all lanes of one pixel.
        length = task.columns - v if task.stride_x == 1 or task.lanes == 1 else task.lanes - lane
        run = &panel.run[panel.runs]
        run.column, run.length = place - first, min(length, end - place)
        run.u, run.v = u, v
        run.start = u * task.step_y * task.width + v * task.step_x
        y, x = task.first_y + u * task.stride_y, task.first_x + pixel * task.stride_x
        run.target = (y * task.target_width + x) * task.lanes + lane
        panel.runs += 1
        place += run.length


cdef Py_ssize_t list_rows(
    const Task* task, const Room* room, const unsigned char* active, const Slab* slab
) noexcept nogil:
    # The rows of a panel, one for each tap and active channel: which row of the weights belongs to each, and
    # where it starts, from the panel's start on.
    cdef Py_ssize_t t, k, place, depth = 0, plane = task.height * task.width
    for t in range(slab.taps):
        place = slab.first_channel * plane + room.taps[slab.first_tap + t].shift
        if active == NULL:
            for k in range(slab.channels):  # as vectors
                room.rows[depth + k], room.places[depth + k] = <int>(depth + k), place + k * plane
            depth += slab.channels
            continue
        for k in range(slab.channels):
            if active[slab.first_channel + k]:
                room.rows[depth], room.places[depth] = <int>(t * slab.channels + k), place + k * plane
                depth += 1
    return depth


cdef bint is_readable(const Task* task, Py_ssize_t start, Py_ssize_t columns) noexcept nogil:
    # Whether whole rows of a tile can be read from there on, in all channels, by all taps.
    return start + (task.channels - 1) * task.height * task.width + task.longest_shift + columns <= (
        task.source_size
    )


cdef void store(
    const Task* task, const Part* part, const real* tiles, Py_ssize_t image, Py_ssize_t group,
    const real* bias, const real* factor, real* target,
) noexcept nogil:
    # Output after output, since those of one lie side by side in memory; plus the bias, or times the factor.
    cdef Py_ssize_t columns = tile_columns[real](<real*>NULL), outputs = task.groups * task.outputs
    cdef Py_ssize_t k, output, p, r
    cdef Py_ssize_t end = min(task.outputs, (part.first_block + part.blocks) * TILE_ROWS)
    cdef const Panel* panel
    cdef const real* row
    cdef const real* by = NULL
    cdef real* out
    cdef real offset
    for k in range(end - part.first_block * TILE_ROWS):
        output = group * task.outputs + part.first_block * TILE_ROWS + k
        offset = 0 if bias == NULL else bias[output]
        out = target + (image * outputs + output) * task.target_size * task.lanes
        if factor != NULL:
            by = factor + (image % task.factor_images * outputs + output) * task.target_size
        for p in range(part.panels):
            panel = &part.panel[p]
            row = tiles + (p * part.blocks * TILE_ROWS + k) * columns
            if task.fills_target:
                store_run(task, &panel.in_target, row, offset, by, out)
                continue
            for r in range(panel.runs):
                store_run(task, &panel.run[r], row + panel.run[r].column, offset, by, out)


cdef inline void store_run(
    const Task* task, const Run* run, const real* row, real offset, const real* factor, real* out
) noexcept nogil:
    cdef Py_ssize_t columns = tile_columns[real](<real*>NULL), j
    out += run.target
    if task.lanes > 1 and factor != NULL:
        store_lanes(task.lanes, run, row, factor, out)
    elif task.stride_x > 1 and task.lanes == 1:
        for j in range(run.length):
            out[j * task.stride_x] = (
                row[j] + offset if factor == NULL else row[j] * factor[run.target + j * task.stride_x]
            )
    elif factor == NULL and run.length == columns:
        add_to_columns(out, row, offset)
    elif run.length == columns:
        multiply_columns(out, row, factor + run.target)
    else:
        for j in range(run.length):
            out[j] = row[j] + offset if factor == NULL else row[j] * factor[run.target + j]


cdef inline void store_lanes(
    Py_ssize_t lanes, const Run* run, const real* row, const real* factor, real* out
) noexcept nogil:
    # All lanes of a pixel have one factor.
    cdef Py_ssize_t j = 0, end
    cdef real by
    while j < run.length:
        by = factor[(run.target + j) // lanes]
        end = min(run.length, j + lanes - (run.target + j) % lanes)
        while j < end:
            out[j] = row[j] * by
            j += 1
