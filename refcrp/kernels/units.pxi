# Units of work for several threads.

cdef extern from "units.h":
    Py_ssize_t count_one(Py_ssize_t* counter) noexcept nogil
    Py_ssize_t counted(const Py_ssize_t* counter) noexcept nogil
    void let_others_run() noexcept nogil

cdef enum:
    MOST_RANGES = 32


cdef class Units:
    """Units of work that threads share: each takes those of a range of its own, then what others left.

    Neighbouring units read and write neighbouring memory, and two threads that do so at once hold each other
    up.

    Parameters
    ----------
    count : int
    ranges : int
        As many as there are threads.
    """

    cdef readonly Py_ssize_t count
    cdef Py_ssize_t ranges, joined, finished
    cdef Py_ssize_t taken[MOST_RANGES]

    def __init__(self, Py_ssize_t count, Py_ssize_t ranges=1):
        self.count, self.ranges = count, max(1, min(ranges, MOST_RANGES))
        self.joined, self.finished = 0, 0
        memset(self.taken, 0, sizeof(self.taken))

    cdef inline Py_ssize_t join(self) noexcept nogil:
        # Which range a thread begins with.
        return count_one(&self.joined) % self.ranges

    cdef inline Py_ssize_t take(self, Py_ssize_t own) noexcept nogil:
        # The next unit, or -1 if there is none. Whoever gets one must `finish` it.
        cdef Py_ssize_t k, r, unit
        for k in range(self.ranges):
            r = (own + k) % self.ranges
            unit = self.count * r // self.ranges + count_one(&self.taken[r])
            if unit < self.count * (r + 1) // self.ranges:
                return unit
        return -1

    cdef inline void finish(self) noexcept nogil:
        count_one(&self.finished)

    def wait(self):
        """Return when all units are finished, by whomever: what is not, another thread is at work on."""
        if counted(&self.finished) >= self.count:
            return
        with nogil:
            while counted(&self.finished) < self.count:
                let_others_run()
