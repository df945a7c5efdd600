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
    void* numbers  # aligned to cache lines: masks, tiles, then packed panels, or sums
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
    Py_ssize_t lowest, highest  # where its rows start in the image, for the place (0, 0)


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
    Py_ssize_t together  # where the places lie in the target, if side by side and a whole tile; or -1
    Py_ssize_t depth  # how many rows are multiplied
    const int* rows  # of the weights, which belong to them; NULL for all
    bint is_packed
    bint is_narrow  # has so few places that most of a tile would be empty
    bint is_begun  # was multiplied by the first block as it was packed
    void* packed  # memory for its rows
    int* kept  # and for which these are
    Py_ssize_t lowest, highest  # where a row must begin, so that its runs can be read at a tile's full width
    Run run[MOST_COLUMNS]
    Run in_target  # where the grid fills the target: all places, as they lie side by side there
    Py_ssize_t starts[MOST_COLUMNS]  # of the runs in the source, as if all began with the first column


cdef struct Part:
    # What a unit is to do: some panels, and some blocks of outputs, with which bias, factor and target begin.
    Py_ssize_t panels, first_block, blocks
    const void* bias
    const void* factor
    void* target
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
    panel.is_narrow, panel.together = panel.places <= min(NARROW, columns - 1), -1
    if panel.places == columns and task.fills_target:
        panel.together = first
    elif panel.runs == 1 and panel.run[0].length == columns and (task.stride_x == 1 or task.lanes > 1):
        panel.together = panel.run[0].target


cdef Py_ssize_t list_rows(
    const Task* task, const Room* room, const unsigned char* active, Slab* slab
) noexcept nogil:
    # The rows of a panel, one for each tap and active channel: which row of the weights belongs to each, and
    # where it starts, from the panel's start on.
    cdef Py_ssize_t t, k, place, depth = 0, plane = task.height * task.width
    slab.lowest, slab.highest = task.source_size, -task.source_size
    for t in range(slab.taps):
        place = slab.first_channel * plane + room.taps[slab.first_tap + t].shift
        slab.lowest = min(slab.lowest, place)
        slab.highest = max(slab.highest, place + (slab.channels - 1) * plane)
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


cdef void set_results(
    const Task* task, Part* part, Py_ssize_t image, Py_ssize_t group, const real* bias, const real* factor,
    real* target,
) noexcept nogil:
    # Where the results of a part go, and what is added or multiplied before.
    cdef Py_ssize_t outputs = task.groups * task.outputs
    cdef Py_ssize_t first = group * task.outputs + part.first_block * TILE_ROWS
    part.bias, part.factor = NULL, NULL
    part.target = target + (image * outputs + first) * task.target_size * task.lanes
    if bias != NULL:
        part.bias = bias + first
    if factor != NULL:
        part.factor = factor + (image % task.factor_images * outputs + first) * task.target_size


cdef inline int outputs_of(const Task* task, const Part* part, Py_ssize_t block) noexcept nogil:
    # How many outputs a block of a part has.
    return <int>min(TILE_ROWS, task.outputs - (part.first_block + block) * TILE_ROWS)


cdef inline bint is_whole(const Task* task, const Part* part, const Panel* panel, int outputs) noexcept nogil:
    # Whether a tile goes to the target as it is. Outputs are multiplied in fours.
    if task.list_counts != NULL or (part.factor != NULL and task.lanes > 1):
        return False
    return panel.together >= 0 and outputs % 4 == 0


cdef inline Sums as_sums(
    const Task* task, const Part* part, const Panel* panel, Py_ssize_t block, bint is_first, bint is_last,
    real* tile,
) noexcept nogil:
    # Those of a tile, from zero on if nothing was added up before, and into the target if nothing will be.
    cdef Py_ssize_t first = block * TILE_ROWS
    cdef Sums sums
    sums.start, sums.end, sums.bias, sums.factor = NULL if is_first else tile, tile, NULL, NULL
    sums.start_step = sums.end_step = tile_columns[real](<real*>NULL)
    if is_last and is_whole(task, part, panel, outputs_of(task, part, block)):
        sums.end = <real*>part.target + first * task.target_size * task.lanes + panel.together
        sums.end_step = task.target_size * task.lanes
        if part.bias != NULL:
            sums.bias = <const real*>part.bias + first
        if part.factor != NULL:
            sums.factor = <const real*>part.factor + first * task.target_size + panel.together
    return sums


cdef void store(const Task* task, const Part* part, const real* tiles) noexcept nogil:
    # The tiles that are not in the target yet.
    cdef Py_ssize_t columns = tile_columns[real](<real*>NULL), b, p, k
    cdef int outputs
    for b in range(part.blocks):
        outputs = outputs_of(task, part, b)
        for p in range(part.panels):
            if is_whole(task, part, &part.panel[p], outputs):
                continue
            for k in range(outputs):
                store_row(
                    task, part, &part.panel[p], b * TILE_ROWS + k,
                    tiles + ((p * part.blocks + b) * TILE_ROWS + k) * columns,
                )


cdef inline void store_row(
    const Task* task, const Part* part, const Panel* panel, Py_ssize_t output, const real* row
) noexcept nogil:
    # Plus the bias, or times the factor.
    cdef real offset = 0 if part.bias == NULL else (<const real*>part.bias)[output]
    cdef const real* factor = NULL
    cdef real* out = <real*>part.target + output * task.target_size * task.lanes
    cdef Py_ssize_t r
    if part.factor != NULL:
        factor = <const real*>part.factor + output * task.target_size
    if task.fills_target:
        store_run(task, &panel.in_target, row, offset, factor, out)
        return
    for r in range(panel.runs):
        store_run(task, &panel.run[r], row + panel.run[r].column, offset, factor, out)


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
