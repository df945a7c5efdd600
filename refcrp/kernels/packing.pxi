# Packing: the rows of a panel, one for each tap and channel, side by side. Around the image is zero.


cdef void bound_reading(
    const Task* task, Py_ssize_t offset, Py_ssize_t columns, Panel* panel
) noexcept nogil:
    # Each run is read at the width of a panel. `offset`: where the image begins in the source, outside of
    # which nothing may be read.
    cdef Py_ssize_t reach = (columns - 1) * task.step_x + 1, r
    panel.lowest = -offset
    panel.highest = task.source_size - offset - reach if panel.runs else panel.lowest - 1  # nothing may be
    for r in range(panel.runs):
        panel.starts[r] = panel.run[r].start - panel.run[r].column * task.step_x
        panel.lowest = max(panel.lowest, -offset - panel.starts[r])
        panel.highest = min(panel.highest, task.source_size - offset - reach - panel.starts[r])


cdef void pack(
    const Task* task, const Room* room, const Slab* slab, Panel* panel, const real* source, real* packed,
    real* masks, int* kept,
) noexcept nogil:
    cdef Py_ssize_t columns = tile_columns[real](<real*>NULL), rows = panel.depth // slab.taps
    cdef Py_ssize_t first = 0, at_once, some, t
    cdef const Tap* taps = room.taps + slab.first_tap
    cdef const Py_ssize_t* places = room.places  # of each tap in ascending order
    cdef bint is_free = True, is_whole = is_inside(&room.all_taps, panel)
    for t in range(slab.taps if rows else 0):
        is_free &= panel.lowest <= places[t * rows] and places[t * rows + rows - 1] <= panel.highest
    if is_free and is_sparse(task, room, panel, source, packed, kept):
        leave_out_zeros(task, room, slab, panel, source, packed, masks, kept)
        return
    at_once = 1 if not is_free else slab.taps if is_whole else TAPS
    while first < slab.taps:
        some = min(at_once, slab.taps - first)
        for t in range(0 if is_whole else some):
            make_masks(taps + first + t, panel, masks + t * columns * columns)
        if is_free:
            pack_taps(
                task.step_x, panel.runs, panel.starts, some, rows, NULL if is_whole else masks, source,
                places, packed,
            )
        else:
            pack_at_ends(
                task, panel, taps + first, rows, NULL if is_whole else masks, source, places, packed
            )
        first, places, packed = first + some, places + some * rows, packed + some * rows * columns


cdef void leave_out_zeros(
    const Task* task, const Room* room, const Slab* slab, Panel* panel, const real* source, real* packed,
    real* masks, int* kept,
) noexcept nogil:
    # Pack without rows of zeros, which add nothing.
    cdef Py_ssize_t columns = tile_columns[real](<real*>NULL), rows = panel.depth // slab.taps, t, count = 0
    cdef bint is_whole
    for t in range(slab.taps):
        is_whole = is_inside(&room.taps[slab.first_tap + t], panel)
        if not is_whole:
            make_masks(&room.taps[slab.first_tap + t], panel, masks)
        count += pack_some(
            task.step_x, panel.runs, panel.starts, rows, NULL if is_whole else masks, source,
            room.places + t * rows, room.rows + t * rows, packed + count * columns, kept + count,
        )
    panel.depth, panel.rows = count, kept


cdef inline bint is_sparse(
    const Task* task, const Room* room, const Panel* panel, const real* source, real* packed, int* kept
) noexcept nogil:
    # Whether an eighth of the rows seems to be of zeros, from the first run of some of them.
    cdef Py_ssize_t step = max(4, panel.depth // 16), k, count = panel.depth // step, filled = 0
    for k in range(count):
        filled += pack_some(
            task.step_x, 1, panel.starts, 1, NULL, source, room.places + k * step, room.rows, packed, kept
        )
    return 8 * (count - filled) > count


cdef inline bint is_inside(const Tap* tap, const Panel* panel) noexcept nogil:
    # Whether all columns are of one run, and see the image.
    cdef const Run* run = &panel.run[0]
    return panel.runs == 1 and tap.first_u <= run.u < tap.end_u and (
        tap.first_v <= run.v and run.v + run.length <= tap.end_v
    )


cdef inline void make_masks(const Tap* tap, const Panel* panel, real* masks) noexcept nogil:
    # For each run the columns that are its own and see the image.
    cdef Py_ssize_t columns = tile_columns[real](<real*>NULL), r
    cdef Span seen
    for r in range(panel.runs):
        seen = seen_columns(tap, &panel.run[r])
        make_mask(masks + r * columns, seen.first, seen.end)


cdef inline Span seen_columns(const Tap* tap, const Run* run) noexcept nogil:
    cdef Span seen
    cdef Py_ssize_t length = run.length if tap.first_u <= run.u < tap.end_u else 0
    seen.first = run.column + min(length, max(0, tap.first_v - run.v))
    seen.end = max(seen.first, run.column + min(length, tap.end_v - run.v))
    return seen


cdef void pack_at_ends(
    const Task* task, const Panel* panel, const Tap* tap, Py_ssize_t rows, const real* masks,
    const real* source, const Py_ssize_t* places, real* packed,
) noexcept nogil:
    # The rows of one tap, some of which are too near to an end of the source: these element by element.
    cdef Py_ssize_t columns = tile_columns[real](<real*>NULL), first = 0, end = rows, k
    while first < rows and places[first] < panel.lowest:
        first += 1
    while end > first and places[end - 1] > panel.highest:
        end -= 1
    for k in range(rows):
        if not first <= k < end:
            copy_exactly(task, panel, tap, source + places[k], packed + k * columns)
    pack_taps(
        task.step_x, panel.runs, panel.starts, 1, end - first, masks, source, places + first,
        packed + first * columns,
    )


cdef void copy_exactly(
    const Task* task, const Panel* panel, const Tap* tap, const real* seen, real* row
) noexcept nogil:
    cdef Py_ssize_t r, j
    cdef const Run* run
    cdef Span inside
    for r in range(panel.runs):
        run = &panel.run[r]
        inside = seen_columns(tap, run)
        for j in range(run.column, run.column + run.length):
            row[j] = 0
        for j in range(inside.first, inside.end):
            row[j] = seen[run.start + (j - run.column) * task.step_x]
