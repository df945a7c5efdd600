/* Rows of panels: COLUMNS elements each, of pixels side by side. Part of microkernel.h, for each element type. */

/* A mask for COLUMNS elements: all bits of those from `first` to `end`, none of the others. */
static inline void NAMED(make_mask)(REAL *mask, Py_ssize_t first, Py_ssize_t end)
{
#if HAS_VECTORS
    const NAMED(bits) none = {0}, from = none + (UNSIGNED)first, to = none + (UNSIGNED)end;
    UNROLLED
    for (int j = 0; j < COLUMNS; j += LANES) {
        NAMED(bits) number;
        for (int i = 0; i < LANES; i++)
            number[i] = (UNSIGNED)(j + i);
        VECTOR(mask + j) = (NAMED(vector))((number >= from) & (number < to));
    }
#else
    for (int j = 0; j < COLUMNS; j++) {
        UNSIGNED bits = j >= first && j < end ? ~(UNSIGNED)0 : 0;
        memcpy(mask + j, &bits, sizeof(bits));
    }
#endif
}

#if HAS_VECTORS
/* A vector of elements that lie `step` apart. */
INLINE NAMED(bits) NAMED(apart)(Py_ssize_t step, const REAL *seen)
{
    REAL taken[LANES];
    if (step == 1)
        return (NAMED(bits))CONST_VECTOR(seen);
#if HAS_SHUFFLE
    if (step == 2) {
        NAMED(bits) even;
        UNROLLED
        for (int i = 0; i < LANES; i++)
            even[i] = i < LANES / 2 ? 2 * i : 2 * i + 1; /* the second vector begins early, to read no more */
        return (NAMED(bits))__builtin_shuffle(CONST_VECTOR(seen), CONST_VECTOR(seen + LANES - 1), even);
    }
#endif
    for (int i = 0; i < LANES; i++)
        taken[i] = seen[i * step];
    return (NAMED(bits))CONST_VECTOR(taken);
}
#endif

/* A row put together from some runs, each read as wide as the row: of each what its mask lets through. */
INLINE void NAMED(see_row)(
    Py_ssize_t step, Py_ssize_t runs, const Py_ssize_t *starts, const REAL *masks, const REAL *seen,
    NAMED(vector) *pixel)
{
#if HAS_VECTORS
    UNROLLED
    for (int j = 0; j < TILE_VECTORS; j++) {
        NAMED(bits) bits = NAMED(apart)(step, seen + starts[0] + j * LANES * step);
        if (masks)
            bits &= (NAMED(bits))CONST_VECTOR(masks + j * LANES);
        for (Py_ssize_t r = 1; r < runs; r++)
            bits |= NAMED(apart)(step, seen + starts[r] + j * LANES * step) &
                    (NAMED(bits))CONST_VECTOR(masks + r * COLUMNS + j * LANES);
        pixel[j] = (NAMED(vector))bits;
    }
#else
    for (int j = 0; j < COLUMNS; j++) {
        pixel[j] = masks ? 0 : seen[starts[0] + j * step];
        for (Py_ssize_t r = 0; masks && r < runs; r++) {
            UNSIGNED bits;
            memcpy(&bits, masks + r * COLUMNS + j, sizeof(bits));
            if (bits)
                pixel[j] = seen[starts[r] + j * step];
        }
    }
#endif
}

/* Write a row. Tells whether any of it is not zero; -0.0 is. That is not read from the row again, which nobody could do
   before it is written. */
INLINE int NAMED(put_row)(
    Py_ssize_t step, Py_ssize_t runs, const Py_ssize_t *starts, const REAL *masks, const REAL *seen, REAL *row)
{
    NAMED(vector) pixel[TILE_VECTORS];
    NAMED(see_row)(step, runs, starts, masks, seen, pixel);
    UNROLLED
    for (int j = 0; j < TILE_VECTORS; j++)
        VECTOR(row + j * LANES) = pixel[j];
    return NAMED(any_of)(pixel);
}

/* Call `put` with what it should be compiled for: a step of 1 or 2, one run, no masks (then there is one run). */
#define KNOWN(put, ...) \
    (step == 1 && !masks      ? put(1, 1, starts, NULL, __VA_ARGS__) \
     : step == 1 && runs == 1 ? put(1, 1, starts, masks, __VA_ARGS__) \
     : step == 1              ? put(1, runs, starts, masks, __VA_ARGS__) \
     : step == 2 && !masks    ? put(2, 1, starts, NULL, __VA_ARGS__) \
     : step == 2              ? put(2, runs, starts, masks, __VA_ARGS__) \
                              : put(step, runs, starts, masks, __VA_ARGS__))

/* The rows of some taps, channel after channel through all of these, which see nearly the same pixels.

   Row c of tap t is read from image + places[t, c] on, each run at its own start from there; the masks are those of all
   runs of a tap. */
INLINE void NAMED(put_taps)(
    Py_ssize_t step, Py_ssize_t runs, const Py_ssize_t *starts, const REAL *masks, Py_ssize_t taps, Py_ssize_t rows,
    const REAL *image, const Py_ssize_t *places, REAL *packed)
{
    for (Py_ssize_t c = 0; c < rows; c++) {
        prefetch(image + places[c] + starts[0] + 4 * COLUMNS); /* for the panels that come next */
        for (Py_ssize_t t = 0; t < taps; t++)
            NAMED(put_row)(step, runs, starts, masks ? masks + t * runs * COLUMNS : NULL,
                           image + places[t * rows + c], packed + (t * rows + c) * COLUMNS);
    }
}

NOINLINE void NAMED(pack_taps)(
    Py_ssize_t step, Py_ssize_t runs, const Py_ssize_t *starts, const REAL *masks, Py_ssize_t taps, Py_ssize_t rows,
    const REAL *image, const Py_ssize_t *places, REAL *packed)
{
    KNOWN(NAMED(put_taps), taps, rows, image, places, packed);
}

/* Put a panel together and multiply it with AT_ONCE outputs of a block on the way: while these products take all the time,
   loading and storing cost nothing. Arguments are those of put_taps, but rows are put one tap after the other, in the order
   in which they are added up. */
INLINE void NAMED(put_and_multiply)(
    Py_ssize_t step, Py_ssize_t runs, const Py_ssize_t *starts, const REAL *masks, Py_ssize_t taps, Py_ssize_t rows,
    const REAL *image, const Py_ssize_t *places, const REAL *weights, REAL *packed, const Sums *sums)
{
    NAMED(vector) sum[AT_ONCE][TILE_VECTORS], pixel[TILE_VECTORS];
    NAMED(start_sums)(AT_ONCE, sums, sum);
    for (Py_ssize_t t = 0; t < taps; t++) {
        for (Py_ssize_t c = 0; c < rows; c++, places++, weights += TILE_ROWS, packed += COLUMNS) {
            prefetch(image + *places + starts[0] + 4 * COLUMNS); /* for the panels that come next */
            NAMED(see_row)(step, runs, starts, masks, image + *places, pixel);
            UNROLLED
            for (int j = 0; j < TILE_VECTORS; j++)
                VECTOR(packed + j * LANES) = pixel[j];
            NAMED(add_product)(AT_ONCE, sum, weights, pixel);
        }
        if (masks)
            masks += runs * COLUMNS;
    }
    NAMED(end_sums)(AT_ONCE, sums, sum);
}

/* The same, and the other outputs of the block. */
NOINLINE void NAMED(pack_and_multiply)(
    Py_ssize_t step, Py_ssize_t runs, const Py_ssize_t *starts, const REAL *masks, Py_ssize_t taps, Py_ssize_t rows,
    const REAL *image, const Py_ssize_t *places, const REAL *weights, REAL *packed, const Sums *sums)
{
    KNOWN(NAMED(put_and_multiply), taps, rows, image, places, weights, packed, sums);
    NAMED(multiply_block)(
        TILE_ROWS - AT_ONCE, taps * rows, NULL, NULL, weights + AT_ONCE, packed, NAMED(sums_behind)(AT_ONCE, *sums));
}

INLINE Py_ssize_t NAMED(put_some)(
    Py_ssize_t step, Py_ssize_t runs, const Py_ssize_t *starts, const REAL *masks, Py_ssize_t rows, const REAL *image,
    const Py_ssize_t *places, const int *numbers, REAL *packed, int *kept)
{
    Py_ssize_t count = 0;
    for (Py_ssize_t c = 0; c < rows; c++) {
        prefetch(image + places[c] + starts[0] + 4 * COLUMNS); /* for the panels that come next */
        kept[count] = numbers[c];
        /* And no branch: nobody can predict it. */
        count += NAMED(put_row)(step, runs, starts, masks, image + places[c], packed + count * COLUMNS);
    }
    return count;
}

/* Those rows of one tap that are not all zeros, and which these are; tells how many. */
NOINLINE Py_ssize_t NAMED(pack_some)(
    Py_ssize_t step, Py_ssize_t runs, const Py_ssize_t *starts, const REAL *masks, Py_ssize_t rows, const REAL *image,
    const Py_ssize_t *places, const int *numbers, REAL *packed, int *kept)
{
    return KNOWN(NAMED(put_some), rows, image, places, numbers, packed, kept);
}

#undef KNOWN
