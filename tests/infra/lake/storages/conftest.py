"""Real servers for the tests of storages."""

from lake_servers import dav, rclone, s3, xrootd

__all__ = ["dav", "rclone", "s3", "xrootd"]
