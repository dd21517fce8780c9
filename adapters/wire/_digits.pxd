# Numbers, days and times in ASCII. Nothing allocates or raises; -1 means "not recognised". A `put` function appends
# at `at` and returns the new end; the caller has made sure of 40 bytes of room, which is more than any of them writes.

from libc.stdint cimport int64_t

# 0-9 only; true of no bytes at all.
cdef bint all_digits(const char *text, Py_ssize_t count) noexcept

# The number in at most 18 digits, or -1; 0 for no bytes at all.
cdef int64_t digits_value(const char *text, Py_ssize_t count) noexcept

# Days since 0001-01-01 of a day of the Gregorian calendar, years 1 to 9999, or -1 when there is no such day.
cdef int64_t day_number(int64_t year, int64_t month, int64_t day) noexcept

# Is it YYYY-MM-DD of a day that exists?
cdef bint is_date(const char *text, Py_ssize_t length) noexcept

# A number >= 0 in plain digits.
cdef char *put_number(char *at, int64_t number) noexcept

# Minor units >= 0 as digits with exactly two decimals, and back: nought to two decimals, at most 15 digits in all.
cdef char *put_amount(char *at, int64_t minor) noexcept
cdef int64_t take_amount(const char *text, Py_ssize_t length) noexcept

# Unix ms, 0 to TIME_MS_MAX, as Hong Kong time; `full` with milliseconds and offset. And back, with any offset or none.
cdef char *put_time(char *at, int64_t time_ms, bint full) noexcept
cdef int64_t take_time(const char *text, Py_ssize_t length) noexcept
