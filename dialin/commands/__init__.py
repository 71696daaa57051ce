# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups of commands that `__main__` puts on the command line, one module a group."""
