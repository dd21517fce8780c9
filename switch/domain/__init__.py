"""Pure values and rules: no I/O, no clock, no asyncio. Everything here is immutable and may be shared."""
