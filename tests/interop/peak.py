"""Runs a program and writes its largest resident set in bytes: peak.py FILE PROGRAM ARGUMENT…

Whatever a process starts begins with the resident set of its parent, and this one is small.
"""

import os
import sys

with open(sys.argv[1], "w") as file:  # noqa: PTH123 - pathlib would be half of what this program holds
    _, status, usage = os.wait4(os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ), 0)
    file.write(str(usage.ru_maxrss << 10))
sys.exit(os.waitstatus_to_exitcode(status))
