"""Sweeps: a function over a grid or a design of points, as one table. Each point is found again by
its content, so that a second call runs only what is new, changed or failed, from any kernel.
"""

from mecapy_jupyter.parameter_sweep.call import sweep
from mecapy_jupyter.parameter_sweep.stored import Sweep, sweeps

__all__ = ["Sweep", "sweep", "sweeps"]
