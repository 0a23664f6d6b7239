"""The composition root: settings become a database, gateways, loops and pages.

The only room that knows everyone. What may not enter: anything that decides.
"""

from amarre.app.build import Running, open_running
from amarre.app.serve import Admin, serve

__all__ = ["Admin", "Running", "open_running", "serve"]
