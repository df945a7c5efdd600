# Units of work for several threads.

cdef extern from "units.h":
    Py_ssize_t count_one(Py_ssize_t* counter) noexcept nogil
    Py_ssize_t counted(const Py_ssize_t* counter) noexcept nogil
    void let_others_run() noexcept nogil


cdef class Units:
    """Units of work that threads share: each takes the next one until none is left, and may wait for all."""

    cdef readonly Py_ssize_t count
    cdef Py_ssize_t taken, finished

    def __init__(self, Py_ssize_t count):
        self.count, self.taken, self.finished = count, 0, 0

    cdef inline Py_ssize_t take(self) noexcept nogil:
        # The next unit; `count` or more if there is none. Whoever gets one must `finish` it.
        return count_one(&self.taken)

    cdef inline void finish(self) noexcept nogil:
        count_one(&self.finished)

    def wait(self):
        """Return when all units are finished, by whomever: what is not, another thread is at work on."""
        if counted(&self.finished) >= self.count:
            return
        with nogil:
            while counted(&self.finished) < self.count:
                let_others_run()
