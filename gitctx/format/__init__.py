"""Pure conversions between bytes and values: keys, tree layout, commit messages, records, settings, merge strategies.

Nothing here touches a disk, a clock or a process.
"""
