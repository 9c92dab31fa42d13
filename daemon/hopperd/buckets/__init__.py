"""Hot folders in an S3-compatible bucket: the ports of a folder on disk, carried out on keys and their versions.

A store knows no rename. What a rename gives on a disk is put together here from three things: a create that only one
can win, a copy that is proven before its source goes, and notes that tell after a crash how far it came.
"""
