/* Which instruction sets this machine has, and its operating system lets us use. */

#if (defined(__x86_64__) || defined(_M_X64)) && defined(__GNUC__)
static int has_x86_64_v3(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi")
        && __builtin_cpu_supports("bmi2");
}

static int has_x86_64_v4(void)
{
    return has_x86_64_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq")
        && __builtin_cpu_supports("avx512vl");
}
#else
static int has_x86_64_v3(void) { return 0; }
static int has_x86_64_v4(void) { return 0; }
#endif
