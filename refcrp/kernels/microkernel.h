/* The innermost loop of convolution: one tile of a matrix product, held in vector registers.

   Include it once for each element type, with

       REAL       the element type, float or double
       UNSIGNED   an unsigned integer of its size
       NAMED(f)   the name of function f for this type

   TILE_ROWS by 2 LANES elements are the accumulators: as many vectors as the instruction set has registers for,
   leaving a few for the operands. GCC's and Clang's vector extensions compile to AVX-512, AVX2, SSE2 or NEON,
   whichever the compiler is told to use; a compiler without them gets plain loops over the same arrays. */

#include <string.h>

#ifndef TILE_ROWS
#if defined(__AVX512F__)
#define VECTOR_BYTES 64 /* 12 x 2 accumulators of 32 registers */
#define TILE_ROWS 12
#elif defined(__AVX2__)
#define VECTOR_BYTES 32 /* 6 x 2 of 16 */
#define TILE_ROWS 6
#elif defined(__aarch64__)
#define VECTOR_BYTES 16 /* 8 x 2 of 32 */
#define TILE_ROWS 8
#else
#define VECTOR_BYTES 16 /* 4 x 2 of 16: products need registers too, without fused multiply-add */
#define TILE_ROWS 4
#endif

/* Ask for the cache line at `place`, which will be read soon. */
#if defined(__GNUC__)
#define prefetch(place) __builtin_prefetch(place)
#else
#define prefetch(place) ((void)0)
#endif
#endif

#define LANES ((Py_ssize_t)(VECTOR_BYTES / sizeof(REAL)))
#define COLUMNS (2 * LANES)

#if defined(__GNUC__)
#define UNROLLED _Pragma("GCC unroll 16")
typedef REAL NAMED(vector) __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(REAL)), may_alias));
typedef UNSIGNED NAMED(bits) __attribute__((vector_size(VECTOR_BYTES)));
typedef unsigned long long NAMED(words) __attribute__((vector_size(VECTOR_BYTES)));
#define VECTOR(place) (*(NAMED(vector) *)(place))
#define CONST_VECTOR(place) (*(const NAMED(vector) *)(place))
#endif

static inline Py_ssize_t NAMED(tile_columns)(void) { return COLUMNS; }

/* tile[i, j] += sum over k < depth of weights[rows[k], i] * image[places[k] + j], in the order of k.

   weights is a packed block, TILE_ROWS to each row; image a panel, whose row k starts at places[k]. */
static inline void NAMED(multiply_add)(
    Py_ssize_t depth, const int *rows, const Py_ssize_t *places, const REAL *weights, const REAL *image, REAL *tile)
{
#if defined(__GNUC__)
    NAMED(vector) sum[TILE_ROWS][2];
    UNROLLED
    for (int i = 0; i < TILE_ROWS; i++) {
        sum[i][0] = CONST_VECTOR(tile + i * COLUMNS);
        sum[i][1] = CONST_VECTOR(tile + i * COLUMNS + LANES);
    }
    for (Py_ssize_t k = 0; k < depth; k++) {
        const REAL *weight = weights + (Py_ssize_t)rows[k] * TILE_ROWS;
        NAMED(vector) left = CONST_VECTOR(image + places[k]), right = CONST_VECTOR(image + places[k] + LANES);
        UNROLLED
        for (int i = 0; i < TILE_ROWS; i++) {
            sum[i][0] += weight[i] * left;
            sum[i][1] += weight[i] * right;
        }
    }
    UNROLLED
    for (int i = 0; i < TILE_ROWS; i++) {
        VECTOR(tile + i * COLUMNS) = sum[i][0];
        VECTOR(tile + i * COLUMNS + LANES) = sum[i][1];
    }
#else
    for (Py_ssize_t k = 0; k < depth; k++)
        for (int i = 0; i < TILE_ROWS; i++)
            for (int j = 0; j < COLUMNS; j++)
                tile[i * COLUMNS + j] += weights[(Py_ssize_t)rows[k] * TILE_ROWS + i] * image[places[k] + j];
#endif
}

#if defined(__GNUC__)
/* Whether any element is not zero; -0.0 is, whose sign is shifted out. */
static inline int NAMED(is_any)(NAMED(vector) left, NAMED(vector) right)
{
    NAMED(words) either = (NAMED(words))(((NAMED(bits))left | (NAMED(bits))right) << 1);
    unsigned long long any = 0;
    UNROLLED
    for (int i = 0; i < VECTOR_BYTES / 8; i++)
        any |= either[i];
    return any != 0;
}
#endif

/* Whether any of COLUMNS elements is not zero. */
static inline int NAMED(any_column)(const REAL *row)
{
#if defined(__GNUC__)
    return NAMED(is_any)(CONST_VECTOR(row), CONST_VECTOR(row + LANES));
#else
    for (int j = 0; j < COLUMNS; j++)
        if (row[j] != 0)
            return 1;
    return 0;
#endif
}

/* Copy COLUMNS elements; both ends must be there in full. Says whether any of them is not zero. */
static inline int NAMED(copy_columns)(REAL *to, const REAL *from)
{
#if defined(__GNUC__)
    NAMED(vector) left = CONST_VECTOR(from), right = CONST_VECTOR(from + LANES);
    VECTOR(to) = left;
    VECTOR(to + LANES) = right;
    return NAMED(is_any)(left, right);
#else
    memcpy(to, from, COLUMNS * sizeof(REAL));
    return NAMED(any_column)(from);
#endif
}

/* to = from + offset, for COLUMNS elements. */
static inline void NAMED(add_to_columns)(REAL *to, const REAL *from, REAL offset)
{
#if defined(__GNUC__)
    NAMED(vector) left = CONST_VECTOR(from) + offset, right = CONST_VECTOR(from + LANES) + offset;
    VECTOR(to) = left;
    VECTOR(to + LANES) = right;
#else
    for (int j = 0; j < COLUMNS; j++)
        to[j] = from[j] + offset;
#endif
}

/* to = from * factor, element by element, for COLUMNS elements. */
static inline void NAMED(multiply_columns)(REAL *to, const REAL *from, const REAL *factor)
{
#if defined(__GNUC__)
    NAMED(vector) left = CONST_VECTOR(from) * CONST_VECTOR(factor);
    NAMED(vector) right = CONST_VECTOR(from + LANES) * CONST_VECTOR(factor + LANES);
    VECTOR(to) = left;
    VECTOR(to + LANES) = right;
#else
    for (int j = 0; j < COLUMNS; j++)
        to[j] = from[j] * factor[j];
#endif
}

#undef LANES
#undef COLUMNS
#undef UNROLLED
#undef VECTOR
#undef CONST_VECTOR
