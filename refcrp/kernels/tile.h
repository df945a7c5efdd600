/* How large tiles are, on each instruction set, and what compilers offer. Part of microkernel.h.

   A tile is TILE_ROWS outputs by TILE_VECTORS vectors of places, of which AT_ONCE outputs are accumulated at a time:
   as many as the instruction set has registers for, leaving a few for the operands. LIST_VECTORS are the accumulators
   of a list. GCC's and Clang's vector extensions compile to AVX-512, AVX2, SSE2 or NEON, whichever the compiler is told
   to use; for a compiler without them a vector is a single number. */

#ifndef TILE_ROWS
#if defined(__GNUC__) && !defined(REFCRP_NO_VECTORS)
#define HAS_VECTORS 1
#define INLINE static inline __attribute__((always_inline))
#define NOINLINE static __attribute__((noinline))
#define NONNULL __attribute__((nonnull))
#define UNROLLED _Pragma("GCC unroll 32")
/* Ask for the cache line at `place`, which will be read soon. */
#define prefetch(place) __builtin_prefetch(place)
/* What comes after stays after: GCC would begin with the loads of several steps, and run out of registers. */
#define KEEP_ORDER __asm__ volatile("" ::: "memory")
#else
#define HAS_VECTORS 0
#define INLINE static inline
#define NOINLINE static
#define NONNULL
#define UNROLLED
#define prefetch(place) ((void)0)
#define KEEP_ORDER
#endif

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

#define NARROW 4 /* places that are multiplied one by one */

/* Where the sums of a tile start, those of one output behind those of the other, and where they go. */
typedef struct {
    const void *start; /* NULL: at zero */
    void *end;
    Py_ssize_t start_step, end_step;
    const void *bias;   /* in the end one is added to each output; or NULL */
    const void *factor; /* each is multiplied by, as far apart as the sums in the end; or NULL */
} Sums;
#endif
