"""One file a gateway: how to speak to it, and how to read what it says.

Every gateway has the same shape (`base.Gateway`) and passes one contract suite. What it
answers is turned into typed values here and nowhere else; nothing is decided or stored.
`GATEWAYS` lists them by hand: a new one costs one file, one line, one fixture.
"""

from amarre.gateways.base import Gateway, GatewayAccess
from amarre.gateways.evolution import Evolution

__all__ = ["GATEWAYS", "Gateway", "GatewayAccess"]

GATEWAYS = {"evolution": Evolution}
