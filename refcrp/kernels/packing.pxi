# Packing: the rows of a panel, one for each tap and channel, side by side. Around the image is zero.


cdef void bound_reading(
    const Task* task, Py_ssize_t offset, Py_ssize_t columns, Panel* panel
) noexcept nogil:
    # Each run is read at the width of a panel. `offset`: where the image begins in the source, outside of
    # which nothing may be read.
    cdef Py_ssize_t reach = (columns - 1) * task.step_x + 1, r
    cdef Py_ssize_t first = task.source_size, last = -task.source_size
    for r in range(panel.runs):
        panel.starts[r] = panel.run[r].start - panel.run[r].column * task.step_x
        first, last = min(first, panel.starts[r]), max(last, panel.starts[r])
    panel.lowest = -offset - first
    panel.highest = task.source_size - offset - reach - last
    if panel.runs == 0:
        panel.highest = panel.lowest - 1  # nothing may be read


cdef inline bint is_free(const Panel* panel, const Slab* slab) noexcept nogil:
    # Whether all rows of a slab can be read at a tile's full width.
    return panel.lowest <= slab.lowest and slab.highest <= panel.highest


cdef void pack(
    const Task* task, const Room* room, const Slab* slab, Panel* panel, const real* source, int outputs,
    const real* weight, const Sums* sums,
) noexcept nogil:
    # And multiply by the first block, if that can be done on the way.
    cdef Py_ssize_t rows = panel.depth // slab.taps, t, columns = tile_columns[real](<real*>NULL)
    cdef bint is_whole = is_inside(&room.all_taps, panel)
    cdef real* packed = <real*>panel.packed
    cdef real* masks = NULL if is_whole else <real*>room.numbers
    if is_free(panel, slab) and is_sparse(task, room, panel, source, packed, panel.kept):
        leave_out_zeros(task, room, slab, panel, source)
        return
    if not is_free(panel, slab) or (masks != NULL and panel.runs * slab.taps > MASKS):
        pack_tap_by_tap(task, room, slab, panel, source)
        return
    for t in range(0 if is_whole else slab.taps):
        make_masks(&room.taps[slab.first_tap + t], panel, masks + t * panel.runs * columns)
    panel.is_begun = outputs == TILE_ROWS and panel.rows == NULL and not panel.is_narrow
    if panel.is_begun:
        pack_and_multiply(
            task.step_x, panel.runs, panel.starts, masks, slab.taps, rows, source, room.places, weight,
            packed, sums,
        )
    else:
        pack_taps(
            task.step_x, panel.runs, panel.starts, masks, slab.taps, rows, source, room.places, packed
        )


cdef void leave_out_zeros(
    const Task* task, const Room* room, const Slab* slab, Panel* panel, const real* source
) noexcept nogil:
    # Pack without rows of zeros, which add nothing.
    cdef Py_ssize_t columns = tile_columns[real](<real*>NULL), rows = panel.depth // slab.taps, t, count = 0
    cdef real* packed = <real*>panel.packed
    for t in range(slab.taps):
        count += pack_some(
            task.step_x, panel.runs, panel.starts,
            masks_of(&room.taps[slab.first_tap + t], panel, <real*>room.numbers), rows, source,
            room.places + t * rows, room.rows + t * rows, packed + count * columns, panel.kept + count,
        )
    panel.depth, panel.rows = count, panel.kept


cdef inline bint is_sparse(
    const Task* task, const Room* room, const Panel* panel, const real* source, real* packed, int* kept
) noexcept nogil:
    # Whether an eighth of the rows seems to be of zeros, from the first run of some of them.
    cdef Py_ssize_t step = max(4, panel.depth // 16), k, count = panel.depth // step, filled = 0
    for k in range(count):
        filled += pack_some(
            task.step_x, 1, panel.starts, NULL, 1, source, room.places + k * step, room.rows, packed, kept
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


cdef inline real* masks_of(const Tap* tap, const Panel* panel, real* masks) noexcept nogil:
    # Those of one tap, or NULL if there is no need for any.
    if is_inside(tap, panel):
        return NULL
    make_masks(tap, panel, masks)
    return masks


cdef inline Span seen_columns(const Tap* tap, const Run* run) noexcept nogil:
    cdef Span seen
    cdef Py_ssize_t length = run.length if tap.first_u <= run.u < tap.end_u else 0
    seen.first = run.column + min(length, max(0, tap.first_v - run.v))
    seen.end = max(seen.first, run.column + min(length, tap.end_v - run.v))
    return seen


cdef void pack_tap_by_tap(
    const Task* task, const Room* room, const Slab* slab, const Panel* panel, const real* source
) noexcept nogil:
    # Some rows may be too near to an end of the source: these element by element.
    cdef Py_ssize_t columns = tile_columns[real](<real*>NULL), rows = panel.depth // slab.taps
    cdef Py_ssize_t first, end, t, k
    cdef const Py_ssize_t* places = room.places
    cdef const Tap* tap = room.taps + slab.first_tap
    cdef real* packed = <real*>panel.packed
    for t in range(slab.taps):
        first, end = 0, rows
        while first < rows and places[first] < panel.lowest:
            first += 1
        while end > first and places[end - 1] > panel.highest:
            end -= 1
        for k in range(rows):
            if not first <= k < end:
                copy_exactly(task, panel, tap, source + places[k], packed + k * columns)
        pack_taps(
            task.step_x, panel.runs, panel.starts, masks_of(tap, panel, <real*>room.numbers), 1, end - first,
            source, places + first, packed + first * columns,
        )
        tap, places, packed = tap + 1, places + rows, packed + rows * columns


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
