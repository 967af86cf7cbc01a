"""Update rules and learning-rate schedules, shared by every network: plain settings; the arithmetic is in Rust."""

from dataclasses import astuple, dataclass, field

from plaq._plaq import OptimizerCore

__all__ = ["SGD", "Adam", "AdamW", "Constant", "Cosine", "Step", "WarmUp"]


@dataclass(frozen=True)
class Constant:
    """Factor 1 at every step.

    Examples
    --------
    >>> Adam(1e-3, schedule=Constant()).start(2).learning_rate
    0.001
    """


@dataclass(frozen=True)
class Cosine:
    """Factor ``floor + (1 - floor) (1 + cos(pi step / steps)) / 2``, then ``floor`` (arXiv 1608.03983).

    Examples
    --------
    >>> Adam(1e-3, schedule=Cosine(100)).start(2).learning_rate
    0.001
    """

    steps: int
    floor: float = 0.0


@dataclass(frozen=True)
class WarmUp:
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
class Step:
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
class _Rule:
    learning_rate: float

    def _plain(self) -> tuple[str, list[float], Schedule]:
        raise NotImplementedError

    def start(self, n_parameters: int) -> OptimizerCore:
        """An optimiser for `n_parameters` numbers at step 0: ``update(parameters, gradient)`` makes a step in place.

        ``state()`` and ``restore(*state)`` save and continue a run to the same bits.

        Raises
        ------
        ValueError
            A setting out of its range; later, a gradient with NaN or of another length.
        """
        name, options, schedule = self._plain()
        numbers = [float(value) for value in astuple(schedule)]
        return OptimizerCore(name, options, _NAMES[type(schedule)], numbers, float(self.learning_rate), n_parameters)


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
        return "sgd", [float(self.momentum), float(self.nesterov)], self.schedule


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
        return "adam", [*map(float, self.betas), float(self.epsilon), 0.0], self.schedule


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
        return "adam", [*map(float, self.betas), float(self.epsilon), float(self.weight_decay)], self.schedule


Optimizer = SGD | Adam | AdamW
