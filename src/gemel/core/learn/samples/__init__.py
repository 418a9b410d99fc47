"""What models learn from: samples with typed ports, and splits that are recorded so that leaked data are found."""

from gemel.core.learn.samples._ports import Port, read_ports
from gemel.core.learn.samples._samples import Samples
from gemel.core.learn.samples._splits import PARTS, Split, SplitRule, leaked, split

__all__ = ["PARTS", "Port", "Samples", "Split", "SplitRule", "leaked", "read_ports", "split"]
