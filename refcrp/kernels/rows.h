/* What is done with whole rows of elements. Part of microkernel.h, for each element type. */

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

/* Whether any element of a row is not zero; -0.0 is. */
INLINE int NAMED(any_of)(const NAMED(vector) *pixel)
{
#if HAS_VECTORS
    NAMED(bits) either = (NAMED(bits))pixel[0];
    NAMED(words) words;
    unsigned long long any = 0;
    UNROLLED
    for (int j = 1; j < TILE_VECTORS; j++)
        either |= (NAMED(bits))pixel[j];
    words = (NAMED(words))(either << 1); /* without the signs */
    UNROLLED
    for (int i = 0; i < VECTOR_BYTES / 8; i++)
        any |= words[i];
    return any != 0;
#else
    for (int j = 0; j < COLUMNS; j++)
        if (pixel[j] != 0)
            return 1;
    return 0;
#endif
}

/* The same for COLUMNS elements in memory. */
static inline int NAMED(any_column)(const REAL *row)
{
    NAMED(vector) pixel[TILE_VECTORS];
    UNROLLED
    for (int j = 0; j < TILE_VECTORS; j++)
        pixel[j] = CONST_VECTOR(row + j * LANES);
    return NAMED(any_of)(pixel);
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
