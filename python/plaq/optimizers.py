"""Update rules and learning-rate schedules, shared by every network: plain settings; the arithmetic is in Rust."""

from plaq.training.optimizers import SGD, Adam, AdamW, AMSGrad, Constant, Cosine, Step, WarmUp

__all__ = ["SGD", "AMSGrad", "Adam", "AdamW", "Constant", "Cosine", "Step", "WarmUp"]
