"""Int8 for each kind of target: ranges measured once, one rewriting of the graph per flavour."""

from export.quantise.check import check_quantised
from export.quantise.flavour import CPU, MCU, TENSORRT, Flavour
from export.quantise.insert import quantise
from export.quantise.scales import QuantiseError, Range, Scale, TrunkRanges, measure_scales

__all__ = [
    "CPU",
    "MCU",
    "TENSORRT",
    "Flavour",
    "QuantiseError",
    "Range",
    "Scale",
    "TrunkRanges",
    "check_quantised",
    "measure_scales",
    "quantise",
]
