"""Computing on shares between three seats. `reveal` is not listed: only the room `gate` opens."""

from hanse.engine.session import Meter, Session
from hanse.engine.shares import Bits, Ring, Words
from hanse.engine.stage import agree, on_stage

__all__ = ["Bits", "Meter", "Ring", "Session", "Words", "agree", "on_stage"]
