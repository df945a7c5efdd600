# The driver of convolution: cut the image into panels, multiply them, store. It is compiled once for each
# instruction set. docs/kernels.md explains it with a drawing; refcrp/kernels/taps.py packs the weights.

from libc.stdlib cimport free, malloc
from libc.string cimport memset

from refcrp.kernels._window cimport Geometry, Span, as_geometry, inside

include "elements.pxi"
include "units.pxi"
include "panels.pxi"
include "packing.pxi"
include "relevance.pxi"
include "lists.pxi"
include "products.pxi"


def supported():
    """Tell which of the instruction sets beyond the baseline this machine has."""
    levels = {"x86-64-v4": has_x86_64_v4(), "x86-64-v3": has_x86_64_v3()}
    return tuple(name for name, is_there in levels.items() if is_there)


def block_shape():
    """Give the outputs of a block of weights, and its channels and rows at the most."""
    return TILE_ROWS, CHANNELS, DEPTH


def tile_shape(Py_ssize_t itemsize):
    """Give the rows and columns of the micro-kernel's tile for elements of `itemsize` bytes."""
    return TILE_ROWS, tile_columns_float() if itemsize == sizeof(float) else tile_columns_double()


def convolve(
    const real[:, :, :, :, ::1] source, const unsigned char[:, :, :, :, ::1] channels,
    const int[:, :, :, ::1] counts, const real[::1] weights, const int[:, ::1] offsets, const real[::1] bias,
    const real[:, :, :, ::1] factor, const unsigned char[:, ::1] active, real[:, :, :, :, ::1] target,
    tuple lack, tuple step, tuple first, tuple stride, Py_ssize_t groups, bint packs, Py_ssize_t shares,
    Py_ssize_t chunks, Units units,
):
    """Compute units of a convolution: each some panels of one image, for some of the outputs.

    At the place (u, v) of the grid, ``target[n, o, first + (u, v) stride, l]`` becomes the sum over channels
    c and taps t of ``weights[o, c, t] * source[n, c, (u, v) step + offset[t] - lack, l]``, where the source
    is zero beyond its edges; plus ``bias[o]``, or times ``factor[n % len(factor), o, ...]`` at that place of
    the target.

    Parameters
    ----------
    source : (n, groups c, h, w, lanes) array
        Or values as `make_lists` writes them, with a list in place of lanes.
    channels, counts : arrays as `make_lists` writes them, or None
    weights : array, packed by `refcrp.kernels.taps.packed`
    offsets : (taps, 2) array
        What a tap sees, vertically and horizontally from the place.
    bias : (groups o,) array or None
    factor : (m, groups o, th, tw) array or None
    active : (n, groups c) array or None
        0 for channels that hold only zeros, and are not looked at.
    target : (n, groups o, th, tw, lanes) array
    lack : (int, int)
        How much of the margin that offsets count on the source does not have, above and to the left.
    step, first, stride : (int, int)
    groups : int
    packs : bool
        Whether panels are packed, without rows of zeros, or read where they are: only if `step` is (1, 1),
        and nothing is seen beyond the source. So it must be with lists, too.
    shares, chunks : int
        A unit is one of so many parts of the panels of an image, for one of so many parts of the outputs.
    units : Units
        As many as there are images, groups, shares and chunks, multiplied.
    """
    cdef Py_ssize_t columns = tile_columns[real](<real*>NULL), t, own, panels, blocks
    cdef Py_ssize_t top = lack[0], left = lack[1]
    cdef Task task = as_task(
        source.shape, target.shape, weights.shape[0], offsets.shape[0], columns, counts is not None, step,
        first, stride, groups, packs, shares, chunks,
    )
    task.factor_images = 1 if factor is None else factor.shape[0]
    task.list_channels = NULL if channels is None else &channels[0, 0, 0, 0, 0]
    task.list_counts = NULL if counts is None else &counts[0, 0, 0, 0]
    panels, blocks = pieces(task.panels, shares), pieces(task.blocks, chunks)  # of a unit, at the most
    cdef const real* bias_start = NULL if bias is None else &bias[0]
    cdef const real* factor_start = NULL if factor is None else &factor[0, 0, 0, 0]
    cdef const unsigned char* active_start = NULL if active is None else &active[0, 0]
    cdef Room room
    cdef size_t size = panels * (task.panel_size + blocks * TILE_ROWS * columns) * sizeof(real)
    size += MASKS * columns * sizeof(real)
    size += panels * columns * (list_outputs[real](<real*>NULL) * sizeof(real) + sizeof(Py_ssize_t))
    if not prepare(&task, &room, panels, size):
        raise MemoryError
    with nogil:
        for t in range(task.taps):
            room.taps[t] = as_tap(&task, offsets[t, 0] - top, offsets[t, 1] - left)
            room.all_taps = common_places(&room.taps[t], &room.taps[0] if t == 0 else &room.all_taps)
        own = units.join()
        t = units.take(own)
        while t >= 0:
            convolve_unit(
                t, &task, &room, &source[0, 0, 0, 0, 0], &weights[0], bias_start, factor_start, active_start,
                &target[0, 0, 0, 0, 0],
            )
            units.finish()
            t = units.take(own)
        release(&room)


cdef Task as_task(
    const Py_ssize_t* source, const Py_ssize_t* target, Py_ssize_t weights, Py_ssize_t taps,
    Py_ssize_t columns, bint is_listed, tuple step, tuple first, tuple stride, Py_ssize_t groups, bint packs,
    Py_ssize_t shares, Py_ssize_t chunks,
):
    # From the shapes of arrays, and what `convolve` is told.
    cdef Task task
    task.groups, task.outputs = groups, target[1] // groups
    task.blocks = pieces(task.outputs, TILE_ROWS)
    task.taps = taps
    task.channels = weights // (groups * task.blocks * TILE_ROWS * taps)
    task.lanes = 1 if is_listed else source[4]
    task.height, task.width = source[2], source[3] * task.lanes
    task.source_size = source[0] * groups * task.channels * task.height * task.width
    task.target_width, task.target_size = target[3], target[2] * target[3]
    task.step_y, task.step_x = step
    task.first_y, task.first_x = first
    task.stride_y, task.stride_x = stride
    task.rows = pieces(target[2] - task.first_y, task.stride_y)
    task.columns = pieces(target[3] - task.first_x, task.stride_x) * task.lanes
    # A grid as wide as the source has all columns of a panel side by side there, and some that are no places.
    task.packs, task.pitch = packs, task.columns if packs else task.width
    task.fills_target = packs and task.stride_x == 1 and (
        task.rows * task.columns == task.target_size * task.lanes
    )
    task.panels, task.shares, task.chunks = pieces(task.rows * task.pitch, columns), shares, chunks
    task.depth = min(task.channels * taps, max(CHANNELS, DEPTH))
    task.panel_size = task.depth * columns
    return task


cdef Tap as_tap(const Task* task, Py_ssize_t above, Py_ssize_t before) noexcept nogil:
    # From what the first place sees: so many rows from the first one, and pixels in it.
    cdef Tap tap
    tap.shift = above * task.width + before * task.lanes
    tap.first_u, tap.end_u = pieces(-above, task.step_y), pieces(task.height - above, task.step_y)
    tap.first_v = pieces(-before, task.step_x) * task.lanes
    tap.end_v = pieces(task.width // task.lanes - before, task.step_x) * task.lanes
    return tap


cdef Tap common_places(const Tap* one, const Tap* other) noexcept nogil:
    cdef Tap both
    both.shift = 0
    both.first_u, both.end_u = max(one.first_u, other.first_u), min(one.end_u, other.end_u)
    both.first_v, both.end_v = max(one.first_v, other.first_v), min(one.end_v, other.end_v)
    return both


cdef void convolve_unit(
    Py_ssize_t unit, const Task* task, const Room* room, const real* source, const real* weights,
    const real* bias, const real* factor, const unsigned char* active, real* target,
) noexcept nogil:
    cdef Py_ssize_t columns = tile_columns[real](<real*>NULL), p
    # unit = ((image * groups + group) * shares + share) * chunks + chunk
    cdef Py_ssize_t chunk = unit % task.chunks, share = unit // task.chunks % task.shares
    cdef Py_ssize_t image_group = unit // task.chunks // task.shares
    cdef Py_ssize_t image = image_group // task.groups, group = image_group % task.groups
    cdef Py_ssize_t plane = task.height * task.width, offset = image_group * task.channels * plane
    cdef Py_ssize_t first_panel = task.panels * share // task.shares
    cdef Part part
    cdef real* tiles = <real*>room.numbers + MASKS * columns
    cdef real* rest
    part.panels = task.panels * (share + 1) // task.shares - first_panel
    part.first_block = task.blocks * chunk // task.chunks
    part.blocks = task.blocks * (chunk + 1) // task.chunks - part.first_block
    set_results(task, &part, image, group, bias, factor, target)
    rest = tiles + part.blocks * part.panels * TILE_ROWS * columns
    for p in range(part.panels):
        cut_into_runs(task, (first_panel + p) * columns, columns, &part.panel[p])
        bound_reading(task, offset, columns, &part.panel[p])
        part.panel[p].packed, part.panel[p].kept = rest + p * task.panel_size, room.kept + p * task.depth
    weights += group * task.blocks * TILE_ROWS * task.channels * task.taps
    if task.list_counts != NULL:
        offset = image_group * pieces(task.channels, CHANNELS) * plane
        add_lists(
            task, room, &part, source + offset * CHANNELS, task.list_channels + offset * CHANNELS,
            task.list_counts + offset, weights, tiles, rest,
        )
    else:
        active = NULL if active == NULL else active + image_group * task.channels
        add_panels(task, room, &part, source + offset, active, weights, tiles)
    store(task, &part, tiles)


cdef void add_panels(
    const Task* task, const Room* room, Part* part, const real* source, const unsigned char* active,
    const real* weights, real* tiles,
) noexcept nogil:
    # Some channels at a time; of these, as many taps as a panel has room for.
    cdef Py_ssize_t columns = tile_columns[real](<real*>NULL), piece, tap, depth, p
    cdef Slab slab
    cdef Panel* panel
    cdef Sums sums
    cdef bint is_first = True, is_last
    for piece in range(pieces(task.channels, CHANNELS)):
        tap = 0
        while tap < task.taps:
            slab = slab_at(task, piece, tap)
            is_last = tap + slab.taps == task.taps and slab.first_channel + slab.channels == task.channels
            depth = list_rows(task, room, active, &slab)
            for p in range(part.panels):
                panel = &part.panel[p]
                panel.depth, panel.rows = depth, room.rows if depth < slab.rows else NULL
                panel.is_packed, panel.is_begun = task.packs or not is_free(panel, &slab), False
                if panel.is_packed:
                    sums = as_sums(
                        task, part, panel, 0, is_first, is_last, tiles + p * part.blocks * TILE_ROWS * columns
                    )
                    pack(
                        task, room, &slab, panel, source, outputs_of(task, part, 0),
                        weights + part.first_block * slab.rows * TILE_ROWS, &sums,
                    )
            multiply(task, room, part, &slab, source, weights, is_first, is_last, tiles)
            is_first = False
            tap += slab.taps
            weights += task.blocks * slab.rows * TILE_ROWS


cdef void multiply(
    const Task* task, const Room* room, const Part* part, const Slab* slab, const real* source,
    const real* weights, bint is_first, bint is_last, real* tiles,
) noexcept nogil:
    # A block stays in a first-level cache while the panels pass by.
    cdef Py_ssize_t columns = tile_columns[real](<real*>NULL), b, p
    cdef const Panel* panel
    cdef Sums sums
    for b in range(part.blocks):
        for p in range(part.panels):
            panel = &part.panel[p]
            if b > 0 or not panel.is_begun:
                sums = as_sums(
                    task, part, panel, b, is_first, is_last,
                    tiles + (p * part.blocks + b) * TILE_ROWS * columns,
                )
                multiply_panel(
                    task, room, panel, source, outputs_of(task, part, b),
                    weights + (part.first_block + b) * slab.rows * TILE_ROWS, &sums,
                )


cdef inline void multiply_panel(
    const Task* task, const Room* room, const Panel* panel, const real* source, int outputs,
    const real* weight, const Sums* sums,
) noexcept nogil:
    cdef const real* packed = <const real*>panel.packed
    if not panel.is_packed:
        multiply_in_place(outputs, panel.depth, room.rows, room.places, weight, source + panel.start, sums)
    elif panel.is_narrow:
        multiply_narrow(panel.places, panel.depth, panel.rows, weight, packed, sums)
    elif panel.rows != NULL:
        multiply_some(outputs, panel.depth, panel.rows, weight, packed, sums)
    else:
        multiply_all(outputs, panel.depth, weight, packed, sums)
