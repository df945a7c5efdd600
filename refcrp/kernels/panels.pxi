# Panels: as many neighbouring places of the grid as a tile has columns.


cdef struct Task:
    # The work, but for its arrays; see `convolve`. Lengths along a row count elements, pixels * lanes.
    Py_ssize_t groups, channels, height, width, source_size  # of the source; channels of one group
    Py_ssize_t outputs, target_width, target_size  # of the target; outputs of one group, width in pixels
    Py_ssize_t lanes, taps
    Py_ssize_t first_y, first_x, stride_y, stride_x
    Py_ssize_t rows, columns, pitch  # of the grid; from one row to the next
    Py_ssize_t depth, blocks, panels, panel_size, shares, chunks, factor_images
    Py_ssize_t longest_shift
    bint packs
    const unsigned char* list_channels
    const int* list_counts  # NULL if the source is an image


cdef struct Room:
    # Memory for one unit after the other.
    void* all
    void* numbers  # aligned to cache lines: tiles, then packed panels, or sums
    Py_ssize_t* shifts  # from a place of the window to what each tap sees
    Py_ssize_t* places
    int* rows
    int* kept


cdef bint prepare(const Task* task, Room* room, Py_ssize_t panels, size_t numbers) noexcept:
    # Whether there is the memory.
    cdef size_t integers = (panels + 1) * task.depth
    numbers += 64 - numbers % 64
    room.all = malloc(64 + numbers + (task.taps + task.depth) * sizeof(Py_ssize_t) + integers * sizeof(int))
    room.numbers = <void*>((<size_t>room.all + 63) & ~<size_t>63)
    room.shifts = <Py_ssize_t*>(<char*>room.numbers + numbers)
    room.places = room.shifts + task.taps
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
    # Columns of a panel that lie side by side in the source, and a stride apart in the target: how many,
    # and where they start.
    Py_ssize_t column, length, start, target


cdef struct Panel:
    Py_ssize_t start, runs
    Py_ssize_t depth  # how many rows are multiplied
    const int* rows  # of the weights, which belong to them; NULL for all
    bint is_packed
    bint is_free  # whether a tile's full width can be read from the start of the last run on
    Run run[MOST_COLUMNS]


cdef struct Part:
    # What a unit is to do.
    Py_ssize_t panels, first_block, blocks
    Panel panel[MOST_PANELS]


cdef void cut_into_runs(const Task* task, Py_ssize_t first, Py_ssize_t columns, Panel* panel) noexcept nogil:
    # The panel's columns are the places from `first` on, row by row, lane by lane.
    cdef Py_ssize_t end = min(first + columns, task.rows * task.pitch)
    cdef Py_ssize_t place = first, u, v, length, pixel, lane, y, x
    cdef Run* run
    panel.start, panel.runs = first, 0
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
        run.start = u * task.width + v
        y, x = task.first_y + u * task.stride_y, task.first_x + pixel * task.stride_x
        run.target = (y * task.target_width + x) * task.lanes + lane
        panel.runs += 1
        place += run.length


cdef Py_ssize_t list_rows(
    const Task* task, const Room* room, const unsigned char* active, const Slab* slab
) noexcept nogil:
    # The rows of a panel, one for each tap and active channel: which row of the weights belongs to each, and
    # where it starts, from the panel's start on.
    cdef Py_ssize_t t, k, c, depth = 0
    for t in range(slab.taps):
        for k in range(slab.channels):
            c = slab.first_channel + k
            if active != NULL and not active[c]:
                continue
            room.rows[depth] = <int>(t * slab.channels + k)
            room.places[depth] = c * task.height * task.width + room.shifts[slab.first_tap + t]
            depth += 1
    return depth


cdef bint is_readable(const Task* task, Py_ssize_t start, Py_ssize_t columns) noexcept nogil:
    # Whether whole rows of a tile can be read from there on, in all channels, by all taps.
    return start + (task.channels - 1) * task.height * task.width + task.longest_shift + columns <= (
        task.source_size
    )


cdef void pack(
    const Room* room, Panel* panel, const real* source, real* packed, int* kept
) noexcept nogil:
    # Copy the rows side by side; without those of zeros, which add nothing, where there are enough.
    cdef Py_ssize_t columns = tile_columns[real](<real*>NULL), k, count = 0
    cdef const Py_ssize_t* places = room.places
    if not panel.is_free:
        for k in range(panel.depth):
            copy_exactly(panel, source + places[k], packed + k * columns)
        return
    if not is_sparse(panel, source, panel.depth, places):
        for k in range(panel.depth):
            copy_row(panel, source + places[k], packed + k * columns)
        return
    for k in range(panel.depth):
        kept[count] = room.rows[k]
        copy_row(panel, source + places[k], packed + count * columns)
        count += not_zero(panel, source + places[k])  # and no branch: nobody can predict it
    panel.depth, panel.rows = count, kept


cdef inline bint is_sparse(
    const Panel* panel, const real* source, Py_ssize_t depth, const Py_ssize_t* places,
) noexcept nogil:
    # Whether an eighth of the rows seems to be of zeros, from some of them.
    cdef Py_ssize_t step = max(4, depth // 32), k, count = depth // step, zeros = 0
    for k in range(count):
        zeros += not any_column(source + places[k * step] + panel.run[0].start)
    return 8 * zeros > count


cdef inline void copy_row(const Panel* panel, const real* seen, real* row) noexcept nogil:
    # A tile's full width of each run: what is too much, the next run or row writes over.
    cdef Py_ssize_t columns = tile_columns[real](<real*>NULL), r
    prefetch(seen + panel.run[0].start + AHEAD)  # for the next unit
    copy_columns(row, seen + panel.run[0].start)
    for r in range(1, panel.runs):
        copy_columns(row + panel.run[r].column, seen + panel.run[r].start)


cdef inline bint not_zero(const Panel* panel, const real* seen) noexcept nogil:
    # Whether any element of the row is not zero; one of those that are copied too many may say so, too.
    cdef Py_ssize_t r
    cdef bint any = any_column(seen + panel.run[0].start)
    for r in range(1, panel.runs):
        any |= any_column(seen + panel.run[r].start)
    return any


cdef void copy_exactly(const Panel* panel, const real* seen, real* row) noexcept nogil:
    # At the end of the source, where there is nothing more to read.
    cdef Py_ssize_t r, j
    for r in range(panel.runs):
        for j in range(panel.run[r].length):
            row[panel.run[r].column + j] = seen[panel.run[r].start + j]


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
