"""Restricted Boltzmann machines as lattice field theories (Aarts, Lucini, Park, arXiv 2309.15002 and 2407.16427)."""

from plaq.rbm import figures
from plaq.rbm.bernoulli import BernoulliRBM
from plaq.rbm.dyson import (
    dyson,
    semicircle,
    spacing_prediction,
    spread_prediction,
    teacher_student,
    wigner,
    wigner_pair,
)
from plaq.rbm.gaussian import GaussianRBM
from plaq.rbm.hopfield import retrieval
from plaq.rbm.machine import StabilityWarning
from plaq.rbm.stochastic import FokkerPlanck, langevin, minibatch_noise
from plaq.rbm.theory import (
    action_density,
    cd_factor,
    fixed_point_kl,
    fixed_points,
    flow,
    free_field,
    free_field_kernel,
    gibbs_coefficient,
    gibbs_tau,
    momenta_squared,
    overrelaxation,
    relaxation_rate,
    stability_bound,
    two_node_angle,
    two_node_flow,
)

__all__ = [
    "BernoulliRBM",
    "FokkerPlanck",
    "GaussianRBM",
    "StabilityWarning",
    "action_density",
    "cd_factor",
    "dyson",
    "figures",
    "fixed_point_kl",
    "fixed_points",
    "flow",
    "free_field",
    "free_field_kernel",
    "gibbs_coefficient",
    "gibbs_tau",
    "langevin",
    "minibatch_noise",
    "momenta_squared",
    "overrelaxation",
    "relaxation_rate",
    "retrieval",
    "semicircle",
    "spacing_prediction",
    "spread_prediction",
    "stability_bound",
    "teacher_student",
    "two_node_angle",
    "two_node_flow",
    "wigner",
    "wigner_pair",
]
