# SPDX-License-Identifier: GPL-3.0-or-later
"""Foreign peers for the long suites."""

from tests.e2e.asterisk import asterisk as asterisk
