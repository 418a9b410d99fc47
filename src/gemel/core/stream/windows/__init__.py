"""Windows: parallel streams cut into pieces of time and aligned, complete up to a watermark, in bounded memory."""

from gemel.core.stream.windows._result import WindowResult
from gemel.core.stream.windows._spec import StreamRule, WindowSpec
from gemel.core.stream.windows._windows import Late, Windows

__all__ = ["Late", "StreamRule", "WindowResult", "WindowSpec", "Windows"]
