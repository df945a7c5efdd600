# The driver of convolution: cut the image into panels, pack them, multiply, store. It is compiled once for
# each instruction set. docs/kernels.md explains it with a drawing; refcrp/kernels/taps.py packs the weights.

from libc.stdlib cimport free, malloc
from libc.string cimport memset

include "elements.pxi"
include "units.pxi"
include "panels.pxi"
include "relevance.pxi"


def supported():
    """Tell which of the instruction sets beyond the baseline this machine has."""
    levels = {"x86-64-v4": has_x86_64_v4(), "x86-64-v3": has_x86_64_v3()}
    return tuple(name for name, is_there in levels.items() if is_there)


def tile_shape(Py_ssize_t itemsize):
    """Give the rows and columns of the micro-kernel's tile for elements of `itemsize` bytes."""
    return TILE_ROWS, tile_columns_float() if itemsize == sizeof(float) else tile_columns_double()


def convolve(
    const real[:, :, :, :, ::1] source, const real[::1] weights, const int[:, ::1] offsets,
    const real[::1] bias, const real[:, :, :, ::1] factor, const unsigned char[:, ::1] active,
    real[:, :, :, :, ::1] target, Py_ssize_t parts, tuple first, tuple stride,
    Py_ssize_t groups, Py_ssize_t depth_channels, bint packs, Py_ssize_t shares, Py_ssize_t chunks, Units units,
):
    """Compute units of a convolution: each some panels of one image, for some of the outputs.

    At the place (u, v) of the grid, ``target[n, o, first + (u, v) stride, l]`` becomes the sum over channels
    c and taps t of ``weights[o, c, t] * source[n, c, part[t], (u, v) + offset[t], l]``, plus ``bias[o]``, or
    times ``factor[n % len(factor), o, ...]`` at that place of the target.

    Parameters
    ----------
    source : (n, groups c, parts h, w, lanes) array
        With margins, so that every tap sees something.
    weights : array, packed by `refcrp.kernels.taps.packed`
    offsets : (taps, 3) array
        The part of the source that a tap sees, and its vertical and horizontal offset there.
    bias : (groups o,) array or None
    factor : (m, groups o, th, tw) array or None
    active : (n, groups c) array or None
        0 for channels that hold only zeros, and are not looked at.
    target : (n, groups o, th, tw, lanes) array
    parts : int
    first, stride : (int, int)
    groups, depth_channels : int
        As the weights were packed.
    packs : bool
        Whether panels are packed, without rows of zeros, or read where they are.
    shares, chunks : int
        A unit is one of so many parts of the panels of an image, for one of so many parts of the outputs.
    units : Units
        As many as there are images, groups, shares and chunks, multiplied.
    """
    cdef Task task
    cdef Py_ssize_t columns = tile_columns[real](<real*>NULL)
    cdef Py_ssize_t unit, t, panels
    task.groups, task.channels = groups, source.shape[1] // groups
    task.lanes, task.taps = source.shape[4], offsets.shape[0]
    task.height, task.width = source.shape[2], source.shape[3] * task.lanes
    task.outputs, task.target_width = target.shape[1] // groups, target.shape[3]
    task.target_size = target.shape[2] * target.shape[3]
    task.first_y, task.first_x = first
    task.stride_y, task.stride_x = stride
    task.rows = (target.shape[2] - task.first_y + task.stride_y - 1) // task.stride_y
    task.columns = (target.shape[3] - task.first_x + task.stride_x - 1) // task.stride_x * task.lanes
    # A grid as wide as the source has all columns of a panel side by side there, and some that are no places.
    task.pitch = task.columns if packs else task.width
    task.panels = (task.rows * task.pitch + columns - 1) // columns
    task.depth_channels, task.shares, task.chunks = depth_channels, shares, chunks
    panels = (task.panels + shares - 1) // shares  # of the largest share
    task.factor_images = 1 if factor is None else factor.shape[0]
    task.packs, task.longest_shift = packs, 0
    task.blocks = (task.outputs + TILE_ROWS - 1) // TILE_ROWS
    task.depth = min(depth_channels, task.channels) * task.taps
    task.panel_size = (task.depth + 1) * columns  # the last copy may run over into one more row
    task.source_size = source.shape[0] * source.shape[1] * task.height * task.width
    cdef const real* bias_start = NULL if bias is None else &bias[0]
    cdef const real* factor_start = NULL if factor is None else &factor[0, 0, 0, 0]
    cdef const unsigned char* active_start = NULL if active is None else &active[0, 0]
    cdef Py_ssize_t tiles_size = ((task.blocks + chunks - 1) // chunks) * panels * TILE_ROWS * columns
    cdef size_t bytes = (panels * task.panel_size + tiles_size) * sizeof(real) + 64
    cdef void* memory = malloc(bytes)
    cdef Py_ssize_t* shifts = <Py_ssize_t*>malloc((task.taps + task.depth) * sizeof(Py_ssize_t))
    cdef int* kept = <int*>malloc((panels + 1) * task.depth * sizeof(int))
    cdef real* packed = <real*>((<size_t>memory + 63) & ~<size_t>63)
    if memory == NULL or shifts == NULL or kept == NULL:
        free(memory)
        free(shifts)
        free(kept)
        raise MemoryError
    with nogil:
        for t in range(task.taps):
            shifts[t] = (offsets[t, 0] * (task.height // parts) + offsets[t, 1]) * task.width
            shifts[t] += offsets[t, 2] * task.lanes
            task.longest_shift = max(task.longest_shift, shifts[t])
        task.shifts = shifts
        unit = units.take()
        while unit < units.count:
            convolve_unit(
                unit, &task, &source[0, 0, 0, 0, 0], &weights[0], bias_start, factor_start, active_start,
                &target[0, 0, 0, 0, 0], packed, packed + panels * task.panel_size, kept,
                kept + panels * task.depth, shifts + task.taps,
            )
            units.finish()
            unit = units.take()
        free(memory)
        free(shifts)
        free(kept)


cdef void convolve_unit(
    Py_ssize_t unit, const Task* task, const real* source, const real* weights, const real* bias,
    const real* factor, const unsigned char* active, real* target, real* packed, real* tiles,
    int* kept, int* rows, Py_ssize_t* places,
) noexcept nogil:
    cdef Panel panel[MOST_PANELS]
    cdef Py_ssize_t columns = tile_columns[real](<real*>NULL), tile_size = TILE_ROWS * columns
    # unit = ((image * groups + group) * shares + share) * chunks + chunk
    cdef Py_ssize_t chunk = unit % task.chunks, share = unit // task.chunks % task.shares
    cdef Py_ssize_t first_panel = task.panels * share // task.shares
    cdef Py_ssize_t image_group = unit // task.chunks // task.shares
    cdef Py_ssize_t image = image_group // task.groups, group = image_group % task.groups
    cdef Py_ssize_t count = task.panels * (share + 1) // task.shares - first_panel
    cdef Py_ssize_t first_block = task.blocks * chunk // task.chunks
    cdef Py_ssize_t end_block = task.blocks * (chunk + 1) // task.chunks
    cdef Py_ssize_t offset = image_group * task.channels * task.height * task.width
    cdef Py_ssize_t blocks = end_block - first_block
    cdef Py_ssize_t c, end, b, p, depth, start, block_size, some
    weights += group * task.blocks * TILE_ROWS * task.channels * task.taps
    if active != NULL:
        active += image_group * task.channels
    source += image_group * task.channels * task.height * task.width
    for p in range(count):
        cut_into_runs(task, (first_panel + p) * columns, columns, &panel[p])
        start = panel[p].run[max(0, panel[p].runs - 1)].start if task.packs else panel[p].start
        panel[p].is_free = is_readable(task, offset + start, columns)
        panel[p].is_packed = task.packs or not panel[p].is_free
    memset(tiles, 0, blocks * count * tile_size * sizeof(real))
    c = 0
    while c < task.channels:
        end = min(c + task.depth_channels, task.channels)
        depth = list_rows(task, active, c, end, rows, places)
        for p in range(count):
            if panel[p].is_packed:
                pack(
                    task, &panel[p], source, depth, (end - c) * task.taps, rows, places,
                    packed + p * task.panel_size, kept + p * task.depth,
                )
        block_size = (end - c) * task.taps * TILE_ROWS
        b = first_block
        while b < end_block:
            some = min(BLOCKS, end_block - b)
            for p in range(count):
                multiply_blocks(
                    &panel[p], task.outputs - b * TILE_ROWS, depth, rows, places,
                    packed + p * task.panel_size if panel[p].is_packed else source + panel[p].start,
                    weights + c * task.blocks * task.taps * TILE_ROWS + b * block_size, block_size, some,
                    tiles + (p * blocks + b - first_block) * tile_size, tile_size,
                )
            b += some
        c = end
    for p in range(count):
        for b in range(first_block, end_block):
            store(
                task, &panel[p], tiles + (p * blocks + b - first_block) * tile_size, image,
                group * task.outputs + b * TILE_ROWS, min(TILE_ROWS, task.outputs - b * TILE_ROWS),
                bias, factor, target,
            )


cdef void multiply_blocks(
    const Panel* panel, Py_ssize_t outputs, Py_ssize_t depth, const int* rows, const Py_ssize_t* places, const real* image,
    const real* weights, Py_ssize_t block_size, Py_ssize_t blocks, real* tiles, Py_ssize_t tile_size,
) noexcept nogil:
    cdef Py_ssize_t b
    cdef int some
    for b in range(blocks):
        some = <int>min(TILE_ROWS, outputs - b * TILE_ROWS)
        if not panel.is_packed:
            multiply_in_place(some, depth, rows, places, weights, image, tiles)
        elif panel.rows != NULL:
            multiply_some(some, panel.depth, panel.rows, weights, image, tiles)
        else:
            multiply_all(some, panel.depth, weights, image, tiles)
        weights += block_size
        tiles += tile_size
