/* The innermost loop of convolution: one tile of a matrix product, held in vector registers.

   Include it once for each element type, with

       REAL       the element type, float or double
       UNSIGNED   an unsigned integer of its size
       NAMED(f)   the name of function f for this type

   A tile is TILE_ROWS outputs by TILE_VECTORS vectors of places, of which AT_ONCE outputs are accumulated at a time:
   as many as the instruction set has registers for, leaving a few for the operands. LIST_VECTORS are the accumulators
   of a list. GCC's and Clang's vector extensions compile to AVX-512, AVX2, SSE2 or NEON, whichever the compiler is told
   to use; for a compiler without them a vector is a single number. */

#include <string.h>

#ifndef TILE_ROWS
#if defined(__GNUC__) && !defined(REFCRP_NO_VECTORS)
#define HAS_VECTORS 1
#define INLINE static inline __attribute__((always_inline))
#define NOINLINE static __attribute__((noinline))
#define NONNULL __attribute__((nonnull))
#define UNROLLED _Pragma("GCC unroll 32")
/* Ask for the cache line at `place`, which will be read soon. */
#define prefetch(place) __builtin_prefetch(place)
/* The same for a line that will be written. */
#define prefetch_to_write(place) __builtin_prefetch(place, 1)
/* What comes after stays after: GCC would begin with the loads of several steps, and run out of registers. */
#define KEEP_ORDER __asm__ volatile("" ::: "memory")
#else
#define HAS_VECTORS 0
#define INLINE static inline
#define NOINLINE static
#define NONNULL
#define UNROLLED
#define prefetch(place) ((void)0)
#define prefetch_to_write(place) ((void)0)
#define KEEP_ORDER
#endif

#define NARROW 4 /* places, that are multiplied one by one */

#if HAS_VECTORS && !defined(__clang__)
#define HAS_SHUFFLE 1
#else
#define HAS_SHUFFLE 0
#endif

#if !HAS_VECTORS
#define TILE_ROWS 4
#define AT_ONCE 4
#define TILE_VECTORS 8
#define LIST_VECTORS 8
#elif defined(__AVX512F__)
#define VECTOR_BYTES 64
#define TILE_ROWS 16
#define AT_ONCE 16 /* x 1, of 32: a weight is broadcast as it is multiplied, and short rows are more often zero */
#define TILE_VECTORS 1
#define LIST_VECTORS 4
#elif defined(__AVX2__)
#define VECTOR_BYTES 32
#define TILE_ROWS 8
#define AT_ONCE 4 /* x 3, of 16: seven loads for twelve products, where 6 x 2 need eight */
#define TILE_VECTORS 3
#define LIST_VECTORS 8
#elif defined(__aarch64__)
#define VECTOR_BYTES 16
#define TILE_ROWS 8
#define AT_ONCE 8 /* x 2, of 32 */
#define TILE_VECTORS 2
#define LIST_VECTORS 8
#else
#define VECTOR_BYTES 16
#define TILE_ROWS 4
#define AT_ONCE 4 /* x 2, of 16: products need registers too, without fused multiply-add */
#define TILE_VECTORS 2
#define LIST_VECTORS 8
#endif
#endif

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

/* sum[i, j] += weight[i] * pixels[j]: one step of the product. */
INLINE void NAMED(add_product)(
    const int outputs, NAMED(vector) (*sum)[TILE_VECTORS], const REAL *weight, const REAL *pixels)
{
    NAMED(vector) pixel[TILE_VECTORS];
    UNROLLED
    for (int j = 0; j < TILE_VECTORS; j++)
        pixel[j] = CONST_VECTOR(pixels + j * LANES);
    UNROLLED
    for (int i = 0; i < outputs; i++)
        UNROLLED
        for (int j = 0; j < TILE_VECTORS; j++)
            sum[i][j] += weight[i] * pixel[j];
    KEEP_ORDER;
}

/* What row k of a panel is multiplied with, and where it is. */
#define WEIGHT(k) (weights + (rows ? (Py_ssize_t)rows[k] : (k)) * TILE_ROWS)
#define PIXELS(k) (image + (places ? places[k] : (k) * COLUMNS))

/* tile[i, j] += sum over k < depth of weights[rows[k], i] * image[places[k] + j], in the order of k, for i < outputs.

   weights is a packed block, TILE_ROWS to each row. Without `rows` these are all of its rows, without `places` those
   of a packed panel: callers that can do without save loads, which are scarcer than products. */
INLINE void NAMED(multiply_add)(
    const int outputs, Py_ssize_t depth, const int *rows, const Py_ssize_t *places, const REAL *weights,
    const REAL *image, REAL *tile)
{
    NAMED(vector) sum[AT_ONCE][TILE_VECTORS];
    Py_ssize_t k = 0;
    UNROLLED
    for (int i = 0; i < outputs; i++)
        UNROLLED
        for (int j = 0; j < TILE_VECTORS; j++)
            sum[i][j] = CONST_VECTOR(tile + i * COLUMNS + j * LANES);
    for (; k + 4 <= depth; k += 4) {
        NAMED(add_product)(outputs, sum, WEIGHT(k), PIXELS(k));
        NAMED(add_product)(outputs, sum, WEIGHT(k + 1), PIXELS(k + 1));
        NAMED(add_product)(outputs, sum, WEIGHT(k + 2), PIXELS(k + 2));
        NAMED(add_product)(outputs, sum, WEIGHT(k + 3), PIXELS(k + 3));
    }
    for (; k < depth; k++)
        NAMED(add_product)(outputs, sum, WEIGHT(k), PIXELS(k));
    UNROLLED
    for (int i = 0; i < outputs; i++)
        UNROLLED
        for (int j = 0; j < TILE_VECTORS; j++)
            VECTOR(tile + i * COLUMNS + j * LANES) = sum[i][j];
}

/* The same for a block, as many outputs at once as there are registers for; what is left is done in fours. */
INLINE void NAMED(multiply_block)(
    int outputs, Py_ssize_t depth, const int *rows, const Py_ssize_t *places, const REAL *weights, const REAL *image,
    REAL *tile)
{
    for (int i = 0; i < outputs; i += AT_ONCE, weights += AT_ONCE, tile += AT_ONCE * COLUMNS) {
        int left = outputs - i;
        if (left <= 4)
            NAMED(multiply_add)(4, depth, rows, places, weights, image, tile);
        else if (left <= 8 && AT_ONCE > 8)
            NAMED(multiply_add)(8, depth, rows, places, weights, image, tile);
        else if (left <= 12 && AT_ONCE > 12)
            NAMED(multiply_add)(12, depth, rows, places, weights, image, tile);
        else
            NAMED(multiply_add)(AT_ONCE, depth, rows, places, weights, image, tile);
    }
}

/* The product with a packed panel that has all rows, with one that has some, and with a panel that is not packed. */
NOINLINE NONNULL void NAMED(multiply_all)(
    int outputs, Py_ssize_t depth, const REAL *weights, const REAL *image, REAL *tile)
{
    NAMED(multiply_block)(outputs, depth, NULL, NULL, weights, image, tile);
}

NOINLINE NONNULL void NAMED(multiply_some)(
    int outputs, Py_ssize_t depth, const int *rows, const REAL *weights, const REAL *image, REAL *tile)
{
    NAMED(multiply_block)(outputs, depth, rows, NULL, weights, image, tile);
}

NOINLINE NONNULL void NAMED(multiply_in_place)(
    int outputs, Py_ssize_t depth, const int *rows, const Py_ssize_t *places, const REAL *weights, const REAL *image,
    REAL *tile)
{
    NAMED(multiply_block)(outputs, depth, rows, places, weights, image, tile);
}

/* The same for some outputs and so few places that most of a vector of places would be empty: the vectors are of outputs,
   and each place has its own. The sums are the same, in the same order. */
INLINE void NAMED(multiply_places)(
    const int count, Py_ssize_t depth, const int *rows, const REAL *weights, const REAL *image, REAL *tile)
{
    NAMED(vector) sum[NARROW][OUTPUT_VECTORS];
    REAL column[TILE_ROWS];
    for (int p = 0; p < count; p++) {
        for (int i = 0; i < TILE_ROWS; i++)
            column[i] = tile[i * COLUMNS + p];
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
            tile[i * COLUMNS + p] = column[i];
    }
}

NOINLINE void NAMED(multiply_narrow)(
    Py_ssize_t places, Py_ssize_t depth, const int *rows, const REAL *weights, const REAL *image, REAL *tile)
{
    if (places == 1)
        NAMED(multiply_places)(1, depth, rows, weights, image, tile);
    else if (places == 2)
        NAMED(multiply_places)(2, depth, rows, weights, image, tile);
    else if (places == 3)
        NAMED(multiply_places)(3, depth, rows, weights, image, tile);
    else
        NAMED(multiply_places)(NARROW, depth, rows, weights, image, tile);
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

/* Sum of a[i] * b[i]: DOT_VECTORS vectors of partial sums, which are added up at the end, one after the other. */
#define DOT_VECTORS 4
NOINLINE NONNULL REAL NAMED(dot)(Py_ssize_t count, const REAL *a, const REAL *b)
{
    REAL parts[DOT_VECTORS * LANES], total = 0;
    NAMED(vector) sum[DOT_VECTORS];
    Py_ssize_t i = 0;
    memset(sum, 0, sizeof(sum));
    for (; i + DOT_VECTORS * LANES <= count; i += DOT_VECTORS * LANES)
        UNROLLED
        for (int v = 0; v < DOT_VECTORS; v++)
            sum[v] += CONST_VECTOR(a + i + v * LANES) * CONST_VECTOR(b + i + v * LANES);
    memcpy(parts, sum, sizeof(sum));
    for (int p = 0; p < DOT_VECTORS * LANES; p++)
        total += parts[p];
    for (; i < count; i++)
        total += a[i] * b[i];
    return total;
}
#undef DOT_VECTORS

#if HAS_VECTORS
/* Whether any element is not zero; -0.0 is. */
INLINE int NAMED(any_bit)(NAMED(bits) elements)
{
    NAMED(words) words = (NAMED(words))(elements << 1); /* without the signs */
    unsigned long long any = 0;
    UNROLLED
    for (int i = 0; i < VECTOR_BYTES / 8; i++)
        any |= words[i];
    return any != 0;
}
#endif

/* Whether any of COLUMNS elements is not zero; -0.0 is. */
static inline int NAMED(any_column)(const REAL *row)
{
#if HAS_VECTORS
    NAMED(bits) either = (NAMED(bits))CONST_VECTOR(row);
    UNROLLED
    for (int j = 1; j < TILE_VECTORS; j++)
        either |= (NAMED(bits))CONST_VECTOR(row + j * LANES);
    return NAMED(any_bit)(either);
#else
    for (int j = 0; j < COLUMNS; j++)
        if (row[j] != 0)
            return 1;
    return 0;
#endif
}

/* to = from + offset, for COLUMNS elements. */
static inline void NAMED(add_to_columns)(REAL *to, const REAL *from, REAL offset)
{
    UNROLLED
    for (int j = 0; j < TILE_VECTORS; j++)
        VECTOR(to + j * LANES) = CONST_VECTOR(from + j * LANES) + offset;
}

/* to = from * factor, element by element, for COLUMNS elements. */
NOINLINE NONNULL void NAMED(multiply_columns)(REAL *to, const REAL *from, const REAL *factor)
{
    UNROLLED
    for (int j = 0; j < TILE_VECTORS; j++)
        VECTOR(to + j * LANES) = CONST_VECTOR(from + j * LANES) * CONST_VECTOR(factor + j * LANES);
}

#include "packing.h"

#undef LANES
#undef COLUMNS
#undef LIST_OUTPUTS
#undef OUTPUT_VECTORS
#undef VECTOR
#undef CONST_VECTOR
#undef WEIGHT
#undef PIXELS
