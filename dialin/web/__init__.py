# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP side: health, readiness, metrics and the operators' API."""

from dialin.web.app import build_app, serve
from dialin.web.health import Dependency, Readiness
from dialin.web.metrics import Metrics

__all__ = ["Dependency", "Metrics", "Readiness", "build_app", "serve"]
