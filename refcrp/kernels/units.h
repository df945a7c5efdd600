/* Counters that threads share. */

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
#define let_others_run() SwitchToThread()
#else
#include <sched.h>
#define let_others_run() sched_yield()
#endif

#if defined(__GNUC__)
static inline Py_ssize_t count_one(Py_ssize_t *counter) { return __atomic_fetch_add(counter, 1, __ATOMIC_ACQ_REL); }
static inline Py_ssize_t counted(const Py_ssize_t *counter) { return __atomic_load_n(counter, __ATOMIC_ACQUIRE); }
#elif defined(_WIN64)
static inline Py_ssize_t count_one(Py_ssize_t *counter) { return InterlockedExchangeAdd64((LONG64 *)counter, 1); }
static inline Py_ssize_t counted(const Py_ssize_t *counter) { return InterlockedExchangeAdd64((LONG64 *)counter, 0); }
#else
static inline Py_ssize_t count_one(Py_ssize_t *counter) { return InterlockedExchangeAdd((LONG *)counter, 1); }
static inline Py_ssize_t counted(const Py_ssize_t *counter) { return InterlockedExchangeAdd((LONG *)counter, 0); }
#endif
