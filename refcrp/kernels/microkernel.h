/* The innermost loop of convolution: one tile of a matrix product, held in vector registers.

   Include it once for each element type, with

       REAL       the element type, float or double
       UNSIGNED   an unsigned integer of its size
       NAMED(f)   the name of function f for this type

   tile.h says how large a tile is. */

#include <string.h>

#include "tile.h"

#if HAS_VECTORS
#define LANES ((int)(VECTOR_BYTES / sizeof(REAL)))
typedef REAL NAMED(vector) __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(REAL)), may_alias));
typedef UNSIGNED NAMED(bits) __attribute__((vector_size(VECTOR_BYTES)));
typedef unsigned long long NAMED(words) __attribute__((vector_size(VECTOR_BYTES)));
#else
#define LANES 1
typedef REAL NAMED(vector);
#endif
#define COLUMNS (TILE_VECTORS * LANES)
#define LIST_OUTPUTS (LIST_VECTORS * LANES)
#define OUTPUT_VECTORS (TILE_ROWS / LANES)
#define VECTOR(place) (*(NAMED(vector) *)(place))
#define CONST_VECTOR(place) (*(const NAMED(vector) *)(place))

static inline Py_ssize_t NAMED(tile_columns)(void) { return COLUMNS; }
static inline Py_ssize_t NAMED(list_outputs)(void) { return LIST_OUTPUTS; }

/* sum[i, j] += weight[i] * pixel[j]: one step of the product. */
INLINE void NAMED(add_product)(
    const int outputs, NAMED(vector) (*sum)[TILE_VECTORS], const REAL *weight, const NAMED(vector) *pixel)
{
    UNROLLED
    for (int i = 0; i < outputs; i++)
        UNROLLED
        for (int j = 0; j < TILE_VECTORS; j++)
            sum[i][j] += weight[i] * pixel[j];
    KEEP_ORDER;
}

INLINE void NAMED(load_and_add)(
    const int outputs, NAMED(vector) (*sum)[TILE_VECTORS], const REAL *weight, const REAL *pixels)
{
    NAMED(vector) pixel[TILE_VECTORS];
    UNROLLED
    for (int j = 0; j < TILE_VECTORS; j++)
        pixel[j] = CONST_VECTOR(pixels + j * LANES);
    NAMED(add_product)(outputs, sum, weight, pixel);
}

/* The sums of some outputs, loaded and stored as `sums` says. */
INLINE void NAMED(start_sums)(const int outputs, const Sums *sums, NAMED(vector) (*sum)[TILE_VECTORS])
{
    const REAL *start = (const REAL *)sums->start;
    UNROLLED
    for (int i = 0; i < outputs; i++)
        UNROLLED
        for (int j = 0; j < TILE_VECTORS; j++)
            sum[i][j] = start ? CONST_VECTOR(start + i * sums->start_step + j * LANES) : (NAMED(vector)){0};
}

INLINE void NAMED(end_sums)(const int outputs, const Sums *sums, NAMED(vector) (*sum)[TILE_VECTORS])
{
    REAL *end = (REAL *)sums->end;
    const REAL *bias = (const REAL *)sums->bias, *factor = (const REAL *)sums->factor;
    UNROLLED
    for (int i = 0; i < outputs; i++)
        UNROLLED
        for (int j = 0; j < TILE_VECTORS; j++) {
            if (bias)
                sum[i][j] += bias[i];
            if (factor)
                sum[i][j] *= CONST_VECTOR(factor + i * sums->end_step + j * LANES);
            VECTOR(end + i * sums->end_step + j * LANES) = sum[i][j];
        }
}

/* What it says of the outputs behind some. */
INLINE Sums NAMED(sums_behind)(int outputs, Sums sums)
{
    if (sums.start)
        sums.start = (const REAL *)sums.start + outputs * sums.start_step;
    sums.end = (REAL *)sums.end + outputs * sums.end_step;
    if (sums.bias)
        sums.bias = (const REAL *)sums.bias + outputs;
    if (sums.factor)
        sums.factor = (const REAL *)sums.factor + outputs * sums.end_step;
    return sums;
}

/* What row k of a panel is multiplied with, and where it is. */
#define WEIGHT(k) (weights + (rows ? (Py_ssize_t)rows[k] : (k)) * TILE_ROWS)
#define PIXELS(k) (image + (places ? places[k] : (k) * COLUMNS))

/* sum[i, j] += weights[rows[k], i] * image[places[k] + j] for all k < depth, in the order of k, and i < outputs.

   weights is a packed block, TILE_ROWS to each row. Without `rows` these are all of its rows, without `places` those
   of a packed panel: callers that can do without save loads, which are scarcer than products. */
INLINE void NAMED(multiply_add)(
    const int outputs, Py_ssize_t depth, const int *rows, const Py_ssize_t *places, const REAL *weights,
    const REAL *image, const Sums *sums)
{
    NAMED(vector) sum[AT_ONCE][TILE_VECTORS];
    Py_ssize_t k = 0;
    NAMED(start_sums)(outputs, sums, sum);
    for (; k + 4 <= depth; k += 4) {
        NAMED(load_and_add)(outputs, sum, WEIGHT(k), PIXELS(k));
        NAMED(load_and_add)(outputs, sum, WEIGHT(k + 1), PIXELS(k + 1));
        NAMED(load_and_add)(outputs, sum, WEIGHT(k + 2), PIXELS(k + 2));
        NAMED(load_and_add)(outputs, sum, WEIGHT(k + 3), PIXELS(k + 3));
    }
    for (; k < depth; k++)
        NAMED(load_and_add)(outputs, sum, WEIGHT(k), PIXELS(k));
    NAMED(end_sums)(outputs, sums, sum);
}

/* The same for a block, as many outputs at once as there are registers for; what is left is done in fours. */
INLINE void NAMED(multiply_block)(
    int outputs, Py_ssize_t depth, const int *rows, const Py_ssize_t *places, const REAL *weights, const REAL *image,
    Sums sums)
{
    for (int i = 0; i < outputs; i += AT_ONCE, weights += AT_ONCE, sums = NAMED(sums_behind)(AT_ONCE, sums)) {
        int left = outputs - i;
        if (left <= 4)
            NAMED(multiply_add)(4, depth, rows, places, weights, image, &sums);
        else if (left <= 8 && AT_ONCE > 8)
            NAMED(multiply_add)(8, depth, rows, places, weights, image, &sums);
        else if (left <= 12 && AT_ONCE > 12)
            NAMED(multiply_add)(12, depth, rows, places, weights, image, &sums);
        else
            NAMED(multiply_add)(AT_ONCE, depth, rows, places, weights, image, &sums);
    }
}

/* The product with a packed panel that has all rows, with one that has some, and with a panel that is not packed. */
NOINLINE NONNULL void NAMED(multiply_all)(
    int outputs, Py_ssize_t depth, const REAL *weights, const REAL *image, const Sums *sums)
{
    NAMED(multiply_block)(outputs, depth, NULL, NULL, weights, image, *sums);
}

NOINLINE NONNULL void NAMED(multiply_some)(
    int outputs, Py_ssize_t depth, const int *rows, const REAL *weights, const REAL *image, const Sums *sums)
{
    NAMED(multiply_block)(outputs, depth, rows, NULL, weights, image, *sums);
}

NOINLINE NONNULL void NAMED(multiply_in_place)(
    int outputs, Py_ssize_t depth, const int *rows, const Py_ssize_t *places, const REAL *weights, const REAL *image,
    const Sums *sums)
{
    NAMED(multiply_block)(outputs, depth, rows, places, weights, image, *sums);
}

/* The same for some outputs and so few places that most of a vector of places would be empty: the vectors are of outputs,
   and each place has its own. The sums are the same, in the same order; they go to a tile, with no bias nor factor. */
INLINE void NAMED(multiply_places)(
    const int count, Py_ssize_t depth, const int *rows, const REAL *weights, const REAL *image, const Sums *sums)
{
    NAMED(vector) sum[NARROW][OUTPUT_VECTORS];
    REAL column[TILE_ROWS], *end = (REAL *)sums->end;
    const REAL *start = (const REAL *)sums->start;
    for (int p = 0; p < count; p++) {
        for (int i = 0; i < TILE_ROWS; i++)
            column[i] = start ? start[i * sums->start_step + p] : 0;
        memcpy(sum[p], column, sizeof(column));
    }
    for (Py_ssize_t k = 0; k < depth; k++)
        UNROLLED
        for (int v = 0; v < OUTPUT_VECTORS; v++) {
            NAMED(vector) weight = CONST_VECTOR(WEIGHT(k) + v * LANES);
            UNROLLED
            for (int p = 0; p < count; p++)
                sum[p][v] += image[k * COLUMNS + p] * weight;
        }
    for (int p = 0; p < count; p++) {
        memcpy(column, sum[p], sizeof(column));
        for (int i = 0; i < TILE_ROWS; i++)
            end[i * sums->end_step + p] = column[i];
    }
}

NOINLINE void NAMED(multiply_narrow)(
    Py_ssize_t places, Py_ssize_t depth, const int *rows, const REAL *weights, const REAL *image, const Sums *sums)
{
    if (places == 1)
        NAMED(multiply_places)(1, depth, rows, weights, image, sums);
    else if (places == 2)
        NAMED(multiply_places)(2, depth, rows, weights, image, sums);
    else if (places == 3)
        NAMED(multiply_places)(3, depth, rows, weights, image, sums);
    else
        NAMED(multiply_places)(NARROW, depth, rows, weights, image, sums);
}

/* sums[o] += sum over k < count of values[k] * weights[channels[k], o]: what one pixel adds to some outputs.

   The outputs are those of some blocks of weights, each block_size behind the one before. */
INLINE void NAMED(add_some_list)(
    const int vectors, int count, const REAL *values, const unsigned char *channels, const REAL *weights,
    Py_ssize_t block_size, REAL *sums)
{
    NAMED(vector) sum[LIST_VECTORS];
    UNROLLED
    for (int v = 0; v < vectors; v++)
        sum[v] = CONST_VECTOR(sums + v * LANES);
    for (int k = 0; k < count; k++) {
        const REAL *weight = weights + (Py_ssize_t)channels[k] * TILE_ROWS, value = values[k];
        UNROLLED
        for (int v = 0; v < vectors; v++)
            sum[v] += value * CONST_VECTOR(weight + v * LANES / TILE_ROWS * block_size + v * LANES % TILE_ROWS);
    }
    UNROLLED
    for (int v = 0; v < vectors; v++)
        VECTOR(sums + v * LANES) = sum[v];
}

/* The same for LIST_OUTPUTS outputs, or a half, a quarter, or an eighth of them. */
NOINLINE NONNULL void NAMED(add_list)(
    Py_ssize_t outputs, int count, const REAL *values, const unsigned char *channels, const REAL *weights,
    Py_ssize_t block_size, REAL *sums)
{
    if (outputs == LIST_OUTPUTS)
        NAMED(add_some_list)(LIST_VECTORS, count, values, channels, weights, block_size, sums);
    else if (outputs == LIST_OUTPUTS / 2)
        NAMED(add_some_list)(LIST_VECTORS / 2, count, values, channels, weights, block_size, sums);
    else if (outputs == LIST_OUTPUTS / 4)
        NAMED(add_some_list)(LIST_VECTORS / 4, count, values, channels, weights, block_size, sums);
    else
        NAMED(add_some_list)(
            LIST_VECTORS >= 8 ? LIST_VECTORS / 8 : 1, count, values, channels, weights, block_size, sums);
}

#include "rows.h"

#include "packing.h"

#undef LANES
#undef COLUMNS
#undef LIST_OUTPUTS
#undef OUTPUT_VECTORS
#undef VECTOR
#undef CONST_VECTOR
#undef WEIGHT
#undef PIXELS
