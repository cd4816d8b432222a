"""The figures of a run: of each, what it shows (`*_data`), and its drawing (`plot_*`).

Every function takes a record. `*_data` returns arrays and names, and needs nothing but NumPy to be used; `plot_*` draws
them on the Matplotlib axes it is given, or on axes of a figure of their own, and returns the axes.

Example:
>>> ax = kregtools.report.plots.plot_update_ratio(monitor.record)
>>> ax.figure.savefig("update_ratio.png")
"""

from kregtools.report.plots.batchnorm import Shift, plot_variance_shift, variance_shift_data
from kregtools.report.plots.curves import Curve, curve_data, metrics, plot_curve
from kregtools.report.plots.distributions import Distribution, distribution_data, plot_distribution
from kregtools.report.plots.evidence import Evidence, evidence_data, plot_evidence
from kregtools.report.plots.flow import Flow, gradient_flow_data, plot_gradient_flow
from kregtools.report.plots.heat import (
    Heat,
    activation_std_data,
    dead_fraction_data,
    gradient_norm_data,
    plot_activation_std,
    plot_dead_fraction,
    plot_gradient_norm,
    plot_update_ratio,
    update_ratio_data,
)

__all__ = [
    "Curve",
    "Distribution",
    "Evidence",
    "Flow",
    "Heat",
    "Shift",
    "activation_std_data",
    "curve_data",
    "dead_fraction_data",
    "distribution_data",
    "evidence_data",
    "gradient_flow_data",
    "gradient_norm_data",
    "metrics",
    "plot_activation_std",
    "plot_curve",
    "plot_dead_fraction",
    "plot_distribution",
    "plot_evidence",
    "plot_gradient_flow",
    "plot_gradient_norm",
    "plot_update_ratio",
    "plot_variance_shift",
    "update_ratio_data",
    "variance_shift_data",
]
