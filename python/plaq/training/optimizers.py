"""Update rules and learning-rate schedules, shared by every network: plain settings; the arithmetic is in Rust."""

from dataclasses import dataclass, field, fields, replace

from plaq._plaq import OptimizerCore
from plaq.ground.arguments import array, number, require_memory, whole_number
from plaq.ground.names import Explained

__all__ = ["SGD", "AMSGrad", "Adam", "AdamW", "Constant", "Cosine", "Step", "WarmUp"]


@dataclass(frozen=True)
class Constant(metaclass=Explained):
    """Factor 1 at every step.

    Examples
    --------
    >>> Adam(1e-3, schedule=Constant()).start(2).learning_rate
    0.001
    """


@dataclass(frozen=True)
class Cosine(metaclass=Explained):
    """Factor ``floor + (1 - floor) (1 + cos(pi step / steps)) / 2``, then ``floor`` (arXiv 1608.03983).

    Examples
    --------
    >>> Adam(1e-3, schedule=Cosine(100)).start(2).learning_rate
    0.001
    """

    steps: int
    floor: float = 0.0


@dataclass(frozen=True)
class WarmUp(metaclass=Explained):
    """Linear rise over `steps`, then a cosine down to `floor` at step `total` (``total = 0``: stay at 1).

    Examples
    --------
    >>> Adam(1.0, schedule=WarmUp(4, 100)).start(2).learning_rate
    0.25
    """

    steps: int
    total: int = 0
    floor: float = 0.0


@dataclass(frozen=True)
class Step(metaclass=Explained):
    """Factor ``factor ** (step // every)``.

    Examples
    --------
    >>> Adam(1e-3, schedule=Step(100, 0.5)).start(2).learning_rate
    0.001
    """

    every: int
    factor: float = 0.5


Schedule = Constant | Cosine | WarmUp | Step
_NAMES = {Constant: "constant", Cosine: "cosine", WarmUp: "warm_up", Step: "step"}


@dataclass(frozen=True)
class _Rule(metaclass=Explained):
    learning_rate: float

    def __post_init__(self) -> None:
        self.start(0)

    def _plain(self) -> tuple[str, list[float], Schedule]:
        raise NotImplementedError

    def start(self, n_parameters: int) -> OptimizerCore:
        """An optimiser for `n_parameters` numbers at step 0: ``update(parameters, gradient)`` makes a step in place.

        ``state()`` and ``restore(*state)`` save and continue a run to the same bits.

        Raises
        ------
        TypeError, ValueError
            A setting that is no number or out of its range; no count; later, a gradient with NaN or of another length.
        """
        name, options, schedule = self._plain()
        count, rate = whole_number("n_parameters", n_parameters, 0), number("learning_rate", self.learning_rate)
        require_memory(f"an optimizer of {count} parameters", 2 * count)
        return OptimizerCore(name, options, *plain_schedule(schedule), rate, count)


def _betas(betas: tuple[float, float]) -> list[float]:
    return [float(beta) for beta in array("betas", betas, shape=(2,))]


@dataclass(frozen=True)
class SGD(_Rule):
    """Gradient descent with momentum: ``m = momentum m + g; p -= lr m`` (`nesterov`: ``p -= lr (g + momentum m)``).

    Examples
    --------
    >>> import numpy as np
    >>> p = np.array([1.0])
    >>> SGD(0.1).start(1).update(p, 2 * p)
    >>> float(p[0])
    0.8
    """

    momentum: float = 0.0
    nesterov: bool = False
    schedule: Schedule = field(default_factory=Constant)

    def _plain(self) -> tuple[str, list[float], Schedule]:
        return "sgd", [number("momentum", self.momentum), float(bool(self.nesterov))], self.schedule


@dataclass(frozen=True)
class Adam(_Rule):
    """Adam (arXiv 1412.6980).

    Examples
    --------
    >>> Adam(1e-3).start(2).step
    0
    """

    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    schedule: Schedule = field(default_factory=Constant)

    def _plain(self) -> tuple[str, list[float], Schedule]:
        return "adam", [*_betas(self.betas), number("epsilon", self.epsilon), 0.0], self.schedule


@dataclass(frozen=True)
class AdamW(_Rule):
    """Adam with decoupled weight decay (arXiv 1711.05101).

    Examples
    --------
    >>> AdamW(1e-3, weight_decay=1e-4, schedule=Cosine(1000)).start(2).step
    0
    """

    weight_decay: float = 1e-2
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    schedule: Schedule = field(default_factory=Constant)

    def _plain(self) -> tuple[str, list[float], Schedule]:
        decay = number("weight_decay", self.weight_decay)
        return "adam", [*_betas(self.betas), number("epsilon", self.epsilon), decay], self.schedule


@dataclass(frozen=True)
class AMSGrad(_Rule):
    """Adam with the largest second moment so far in place of the last one (arXiv 1904.09237), and decoupled decay.

    The second moment never falls: where the first gradients are huge (targets or outputs summed over a lattice), steps
    stay small for the rest of the training, and :class:`Adam` ends lower.

    Examples
    --------
    >>> AMSGrad(1e-3).start(2).step
    0
    """

    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    schedule: Schedule = field(default_factory=Constant)

    def _plain(self) -> tuple[str, list[float], Schedule]:
        decay = number("weight_decay", self.weight_decay)
        return "amsgrad", [*_betas(self.betas), number("epsilon", self.epsilon), decay], self.schedule


Optimizer = SGD | Adam | AdamW | AMSGrad


def plain_schedule(schedule: Schedule) -> tuple[str, list[float]]:
    """Name and numbers of a schedule, as the core takes them.

    Raises
    ------
    TypeError, ValueError
        No schedule, or one whose settings are no finite numbers.
    """
    if type(schedule) not in _NAMES:
        raise TypeError(f"schedule is Constant, Cosine, WarmUp or Step of plaq.optimizers; got {schedule!r}")
    return _NAMES[type(schedule)], [number(each.name, getattr(schedule, each.name)) for each in fields(schedule)]


def scheduled(optimizer: Optimizer | None, schedule: Schedule | None, default: Optimizer) -> Optimizer:
    """The update rule of a training: `optimizer` (or `default`) with this schedule.

    Raises
    ------
    TypeError
        No optimiser or no schedule.
    ValueError
        Two schedules.

    Examples
    --------
    >>> scheduled(None, Cosine(10), SGD(0.1)).schedule
    Cosine(steps=10, floor=0.0)
    """
    rule = default if optimizer is None else optimizer
    if not isinstance(rule, SGD | Adam | AdamW | AMSGrad):
        raise TypeError(f"optimizer is SGD, Adam, AdamW or AMSGrad of plaq.optimizers, as in AdamW(5e-3); got {rule!r}")
    if schedule is None:
        return rule
    plain_schedule(schedule)
    if optimizer is not None and rule.schedule not in (Constant(), schedule):
        raise ValueError(f"two schedules, {rule.schedule} of the optimizer and {schedule}; give one of them")
    return replace(rule, schedule=schedule)
