"""The archive: final payments for years, in SQLite or PostgreSQL through SQLAlchemy Core. Nothing else knows it."""

from switch.archive.archive import SqlArchive, open_archive

__all__ = ["SqlArchive", "open_archive"]
