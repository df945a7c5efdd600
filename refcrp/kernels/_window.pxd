# cython: cdivision=True
# The geometry of a sliding window, as refcrp/kernels/window.py has it, for the compiled loops.
# At its place y the window's position i sees the pixel y * stride + i * dilation - padding.


cdef struct Geometry:
    Py_ssize_t kernel_y, kernel_x
    Py_ssize_t stride_y, stride_x
    Py_ssize_t padding_y, padding_x
    Py_ssize_t dilation_y, dilation_x


cdef struct Span:
    # The numbers first <= n < end.
    Py_ssize_t first
    Py_ssize_t end


cdef inline Geometry as_geometry(tuple kernel, tuple stride, tuple padding, tuple dilation):
    cdef Geometry window
    window.kernel_y, window.kernel_x = kernel
    window.stride_y, window.stride_x = stride
    window.padding_y, window.padding_x = padding
    window.dilation_y, window.dilation_x = dilation
    return window


cdef inline Span inside(
    Py_ssize_t offset, Py_ssize_t step, Py_ssize_t length, Py_ssize_t count,
) noexcept nogil:
    # Which of the pixels offset + n * step, n < count, lie inside 0 <= pixel < length.
    cdef Span span
    if offset >= 0 and offset + (count - 1) * step < length:  # all of them, which needs no division
        span.first, span.end = 0, count
        return span
    span.first = 0 if offset >= 0 else (-offset + step - 1) // step
    span.end = 0 if offset >= length else (length - 1 - offset) // step + 1
    if span.end > count:
        span.end = count
    return span
