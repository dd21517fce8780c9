# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Numbers, days and times in ASCII, by integer arithmetic alone. The contract is in `_digits.pxd`."""

from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memchr, memcpy

from adapters.wire._values import TIME_MS_MAX as _TIME_MS_MAX
from switch.limits import AMOUNT_MINOR_MAX as _AMOUNT_MINOR_MAX

cdef int64_t AMOUNT_MINOR_MAX = _AMOUNT_MINOR_MAX
cdef int64_t TIME_MS_MAX = _TIME_MS_MAX
cdef int64_t DAY_MS = 86_400_000
cdef int64_t HONG_KONG_MS = 8 * 3_600_000

cdef int[13] DAYS_BEFORE = [0, 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334]


cdef char *put_number(char *at, int64_t number) noexcept:
    cdef char[20] digits
    cdef int count = 0
    while True:
        digits[count] = <char> (0x30 + number % 10)
        count += 1
        number = number // 10
        if number == 0:
            break
    while count:
        count -= 1
        at[0] = digits[count]
        at += 1
    return at


cdef inline char *_put_two(char *at, int64_t number) noexcept:
    at[0] = <char> (0x30 + number // 10)
    at[1] = <char> (0x30 + number % 10)
    return at + 2


cdef char *put_amount(char *at, int64_t minor) noexcept:
    at = put_number(at, minor // 100)
    at[0] = 0x2E
    return _put_two(at + 1, minor % 100)


cdef char *put_time(char *at, int64_t time_ms, bint full) noexcept:
    """Hong Kong time; the day by the era arithmetic of the proleptic Gregorian calendar (400 years = 146,097 days)."""
    cdef int64_t local = time_ms + HONG_KONG_MS
    cdef int64_t seconds = local % DAY_MS // 1000
    cdef int64_t days = local // DAY_MS + 719_468  # since 0000-03-01
    cdef int64_t era = days // 146_097
    cdef int64_t day_of_era = days - era * 146_097
    cdef int64_t year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    cdef int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    cdef int64_t month = (5 * day_of_year + 2) // 153
    cdef int64_t day = day_of_year - (153 * month + 2) // 5 + 1
    cdef int64_t year = year_of_era + era * 400
    month = month + 3 if month < 10 else month - 9
    if month <= 2:
        year += 1
    at = _put_two(_put_two(at, year // 100), year % 100)
    at[0] = 0x2D
    at = _put_two(at + 1, month)
    at[0] = 0x2D
    at = _put_two(at + 1, day)
    at[0] = 0x54
    at = _put_two(at + 1, seconds // 3600)
    at[0] = 0x3A
    at = _put_two(at + 1, seconds // 60 % 60)
    at[0] = 0x3A
    at = _put_two(at + 1, seconds % 60)
    if not full:
        return at
    at[0] = 0x2E
    at[1] = <char> (0x30 + local % 1000 // 100)
    at = _put_two(at + 2, local % 100)
    memcpy(at, b"+08:00", 6)
    return at + 6


cdef int64_t digits_value(const char *text, Py_ssize_t count) noexcept:
    """The number in at most 18 digits, or -1."""
    cdef int64_t number = 0
    cdef Py_ssize_t place
    cdef unsigned int digit
    for place in range(count):
        digit = <unsigned int> (<uint8_t> text[place]) - 0x30
        if digit > 9:
            return -1
        number = number * 10 + digit
    return number


cdef bint all_digits(const char *text, Py_ssize_t count) noexcept:
    cdef Py_ssize_t place
    for place in range(count):
        if <unsigned int> (<uint8_t> text[place]) - 0x30 > 9:
            return False
    return True


cdef int64_t take_amount(const char *text, Py_ssize_t length) noexcept:
    """Minor units of digits with nought to two decimals, or -1."""
    cdef const char *point
    cdef int64_t whole, cents
    cdef Py_ssize_t decimals = 0
    if not 1 <= length <= 16:
        return -1
    point = <const char *> memchr(text, 0x2E, length)
    if point != NULL:
        decimals = text + length - point - 1
        if point == text or not 1 <= decimals <= 2:
            return -1
        length = point - text
    if length + decimals > 15:
        return -1
    whole = digits_value(text, length)
    cents = digits_value(point + 1, decimals) if decimals else 0
    if whole < 0 or cents < 0:
        return -1
    if decimals == 1:
        cents *= 10
    whole = whole * 100 + cents
    return whole if whole <= AMOUNT_MINOR_MAX else -1


cdef int64_t day_number(int64_t year, int64_t month, int64_t day) noexcept:
    cdef bint leap
    cdef int64_t before = year - 1
    if year < 1 or not 1 <= month <= 12 or not 1 <= day <= 31:
        return -1
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if (month == 2 and day > 28 + leap) or (day == 31 and month in (4, 6, 9, 11)):
        return -1
    day += DAYS_BEFORE[month] + (leap and month > 2)
    return before * 365 + before // 4 - before // 100 + before // 400 + day - 1


cdef int64_t _day(const char *text) noexcept:
    """Days since 0001-01-01 of YYYY-MM-DD, or -1."""
    if text[4] != 0x2D or text[7] != 0x2D:
        return -1
    return day_number(digits_value(text, 4), digits_value(text + 5, 2), digits_value(text + 8, 2))


cdef bint is_date(const char *text, Py_ssize_t length) noexcept:
    return length == 10 and _day(text) >= 0


cdef int64_t take_time(const char *text, Py_ssize_t length) noexcept:
    """Unix ms of an ISO 8601 time (see `_values.parse_iso_time`), or -1."""
    cdef const char *at = text + 19
    cdef const char *end = text + length
    cdef int64_t day, hour, minute, second, offset_hour, offset_minute
    cdef int64_t ms = 0, offset = HONG_KONG_MS
    cdef int places = 0
    if length < 19 or text[10] != 0x54 or text[13] != 0x3A or text[16] != 0x3A:
        return -1
    day, hour = _day(text), digits_value(text + 11, 2)
    minute, second = digits_value(text + 14, 2), digits_value(text + 17, 2)
    if day < 0 or not 0 <= hour <= 23 or not 0 <= minute <= 59 or not 0 <= second <= 59:
        return -1
    if at < end and at[0] == 0x2E:
        at += 1
        while at < end and 0x30 <= at[0] <= 0x39:
            if places < 3:
                ms = ms * 10 + (at[0] - 0x30)
            places += 1
            at += 1
        if not 1 <= places <= 9:
            return -1
        while places < 3:
            ms *= 10
            places += 1
    if end - at == 1 and at[0] == 0x5A:
        offset = 0
    elif end - at == 6 and (at[0] == 0x2B or at[0] == 0x2D) and at[3] == 0x3A:
        offset_hour, offset_minute = digits_value(at + 1, 2), digits_value(at + 4, 2)
        if offset_hour < 0 or not 0 <= offset_minute <= 59 or offset_hour * 60 + offset_minute > 840:
            return -1
        offset = (offset_hour * 60 + offset_minute) * (60_000 if at[0] == 0x2B else -60_000)
    elif at != end:
        return -1
    ms += (day - 719_162) * DAY_MS + (hour * 3600 + minute * 60 + second) * 1000 - offset
    return ms if 0 <= ms <= TIME_MS_MAX else -1
