# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator can set: `model` says what there is, `sources` reads it, `pages` describes it,
`unbuilt` refuses what this version cannot do.

Only `app`, `demo` and `__main__` see these objects whole; everything else gets plain arguments.
"""

from dialin.settings.model import Settings
from dialin.settings.sources import Loaded, load
from dialin.settings.unbuilt import refuse_unbuilt
from dialin.settings.web import FOR_DEMO

__all__ = ["FOR_DEMO", "Loaded", "Settings", "load", "refuse_unbuilt"]
