"""Real servers for the tests of storages."""

from lake_servers import dav, rclone, s3, xrootd
from xrootd_servers import xrootd_pair

__all__ = ["dav", "rclone", "s3", "xrootd", "xrootd_pair"]
