"""The network of `mosaic-large`: fitting it to open sites of whole haplotypes, and its answers.

n open sites, those of a haplotype one after another in the order of the genome; F inputs; W
stretches (`domain.stretches`) of at most L open sites.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from vcfbert.config import Config, ModelConfig
from vcfbert.copying.inputs import NUM_INPUTS
from vcfbert.copying.network import Weights
from vcfbert.domain import stretches
from vcfbert.domain.stretches import Stretches
from vcfbert.errors import ConfigError, StoreError
from vcfbert.files import bounded
from vcfbert.model import mosaic_large
from vcfbert.model.mosaic import Mosaic
from vcfbert.model.mosaic_large import MosaicLarge
from vcfbert.training import devices
from vcfbert.training.devices import Precision
from vcfbert.training.mosaic import fitting
from vcfbert.training.mosaic.fitting import OpenData
from vcfbert.training.systems import schedule
from vcfbert.training.systems.loop import DivergedError

OPEN_SITES_AT_ONCE = {"cpu": 1 << 12, "cuda": 1 << 16}
"""Open sites that go through the network together, without gradients."""

_SIZES = ("width", "num_layers", "num_heads", "feedforward_multiple")
_STREAM, _WEIGHTS = 31, 32  # random streams of a run's seed
_BETAS = (0.9, 0.98)
_SMALLEST_SCALE = 1.0  # of fp16's gradients; below it they are lost


@dataclass(frozen=True)
class OpenSequences:
    """Open sites of whole haplotypes.

    data    rows and labels
    place   (n,) float32 cM times the first head's switch rate
    bounds  (m + 1,) first row of each haplotype, then n
    """

    data: OpenData
    place: NDArray[np.float32]
    bounds: NDArray[np.int64]


def joined(parts: Sequence[OpenSequences]) -> OpenSequences:
    """All haplotypes of several."""
    sizes = [np.diff(part.bounds) for part in parts]
    return OpenSequences(
        fitting.joined([part.data for part in parts]),
        np.concatenate([np.empty(0, np.float32), *(part.place for part in parts)]),
        np.cumsum(np.concatenate([np.zeros(1, np.int64), *sizes])),
    )


@dataclass(frozen=True)
class FittedLarge:
    """A trained network and its losses in nats an open site.

    start_loss  validation loss of the small network it started from
    best_loss   validation loss of the network that was kept
    history     (step, training loss, validation loss) at each check
    """

    network: MosaicLarge
    start_loss: float
    best_loss: float
    history: list[tuple[int, float, float]]


@dataclass(frozen=True)
class LargeNetwork:
    """A network that can be run, see `copying.network.Answer`.

    settings         sizes of the transformer
    length, overlap  of its stretches of open sites
    """

    name: str
    fingerprint: str
    module: MosaicLarge
    settings: ModelConfig
    length: int
    overlap: int

    @property
    def is_heads(self) -> bool:
        """There is a network."""
        return False

    @property
    def reads_neighbours(self) -> bool:
        """Open sites of a stretch read one another."""
        return True

    def probabilities(
        self,
        rows: NDArray[np.float32],
        sites: NDArray[np.int64],
        place: NDArray[np.float32],
    ) -> tuple[NDArray[np.float32], int]:
        """See `copying.network.Answer`; one thread, so that the engine can run one sample a thread.

        The numbers then do not depend on how many threads there are.
        """
        order = np.argsort(sites)
        found = np.empty(len(rows), np.float32)
        if len(rows) == 0:
            return found, 0
        with devices.one_thread(), torch.inference_mode():
            sorted_rows = torch.from_numpy(rows[order])
            bounds = np.array([0, len(rows)])
            logits = self.logits(sorted_rows, torch.from_numpy(place[order]), bounds)
            found[order] = torch.sigmoid(logits).numpy()
            return found, count_outside(self.module.small, sorted_rows)

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Its tensors by their names."""
        return {name: values.cpu().numpy() for name, values in self.module.state_dict().items()}

    def sizes(self) -> dict[str, int]:
        """What the arrays do not say of themselves."""
        chosen = {name: int(getattr(self.settings, name)) for name in _SIZES}
        return chosen | {"stretch": self.length, "overlap": self.overlap}

    def to(self, device: torch.device) -> LargeNetwork:
        """The same network on a device; this one stays where it is."""
        if self.module.project.weight.device == device:
            return self
        return replace(self, module=copy.deepcopy(self.module).to(device))

    def logits(
        self, rows: Float[Tensor, "n F"], place: Float[Tensor, " n"], bounds: NDArray[np.int64]
    ) -> Float[Tensor, " n"]:
        """Log odds of ALT, on the device of the rows; see `OpenSequences`."""
        cut = stretches.cut(bounds, self.length, self.overlap)
        return _logits(self.module, rows, place, cut)


def count_outside(network: Mosaic, rows: Float[Tensor, "n F"]) -> int:
    """Rows with an input beyond the range of the training."""
    standard = (rows - network.mean) / network.spread
    is_outside = (standard < network.lowest) | (standard > network.highest)
    return int(is_outside.any(dim=1).sum())


def from_arrays(
    arrays: Mapping[str, NDArray[np.float32]],
    sizes: str,
    *,
    name: str,
    fingerprint: str,
    source: str,
) -> LargeNetwork:
    """A network of arrays by their names.

    sizes  what `LargeNetwork.sizes` gives, as JSON

    Raises StoreError where a tensor is missing, of another shape or not finite; `source` is named.
    """
    try:
        read = {key: int(value) for key, value in bounded.json_of(sizes).items()}
        length, overlap = read["stretch"], read["overlap"]
        settings = ModelConfig(
            width=read["width"],
            num_layers=read["num_layers"],
            num_heads=read["num_heads"],
            feedforward_multiple=read["feedforward_multiple"],
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, ConfigError) as error:
        raise _unfit(source, f"its sizes cannot be read ({error})") from error
    units = np.size(arrays.get("small.first_bias", ()))
    # Before the network is made: each of its blocks has a matrix of that many numbers at least.
    block = settings.feedforward_multiple * settings.width**2
    numbers = sum(array.size for array in arrays.values())
    is_held = units > 0 and settings.width + settings.num_layers * block <= numbers
    if not 0 <= 2 * overlap < length or not is_held:
        raise _unfit(source, "its sizes are not those of a network")
    try:
        with torch.device("meta"):  # so that sizes that are wrong take no memory
            expected = MosaicLarge(NUM_INPUTS, units, settings).state_dict()
    except RuntimeError as error:
        raise _unfit(source, "its sizes are not those of a network") from error
    for tensor, values in expected.items():
        if tensor not in arrays:
            raise _unfit(source, f"it has no tensor {tensor!r}")
        found, shape = arrays[tensor].shape, tuple(values.shape)
        if found != shape:
            raise _unfit(source, f"the tensor {tensor} has the shape {found}, not {shape}")
        if not np.isfinite(arrays[tensor]).all():
            raise _unfit(source, f"the tensor {tensor} holds NaN or infinity")
    module = MosaicLarge(NUM_INPUTS, units, settings)
    module.load_state_dict(
        {tensor: torch.from_numpy(np.array(arrays[tensor], np.float32)) for tensor in expected}
    )
    return LargeNetwork(name, fingerprint, module.eval(), settings, length, overlap)


def _unfit(source: str, why: str) -> StoreError:
    return StoreError(
        f"{source} is no network of mosaic-large that this version reads: {why}. Train again with: "
        "vcfbert train --preset mosaic-large"
    )


def parameters(settings: ModelConfig) -> dict[str, int]:
    """Numbers that training changes, by part of the transformer."""
    with torch.device("meta"):
        module = MosaicLarge(NUM_INPUTS, 1, settings)
    parts = ("project", "blocks", "norm", "last")
    return {
        f"transformer {part}": sum(p.numel() for p in module.get_submodule(part).parameters())
        for part in parts
    }


def new_network(weights: Weights, settings: ModelConfig, seed: int) -> MosaicLarge:
    """A network that answers as the small one with these weights."""
    generator = torch.Generator().manual_seed(seed * 100 + _WEIGHTS)
    module = mosaic_large.build(NUM_INPUTS, len(weights.first_bias), settings, generator)
    module.small.load_state_dict(
        {name: torch.from_numpy(np.array(array)) for name, array in weights._asdict().items()}
    )
    return module


def fit(
    network: MosaicLarge,
    train: OpenSequences,
    validation: OpenSequences,
    settings: Config,
    device: torch.device,
    *,
    on_check: Callable[[int, float, float], None] = lambda step, loss, validated: None,
) -> FittedLarge:
    """Minimise cross-entropy; the network ends as the check with the least validation loss left it.

    The network as it is given counts as a check, so the result is never worse than it on the
    validation data. Raises DivergedError, and DeviceError where a batch does not fit.
    """
    chosen, steps = settings.training, settings.mosaic.transformer_steps
    precision = devices.choose_precision(chosen.precision, device)
    network = network.to(device)
    optimizer = _optimizer(network, settings)
    scaler = torch.amp.GradScaler(device.type, enabled=precision.needs_scaler)
    batches = _batches(train, settings)
    with devices.explaining_memory(chosen.batch_size):
        start_loss = best_loss = loss_of(network, validation, settings)
        best = _copy(network)
        history = [(0, float("nan"), start_loss)]
        running: list[Tensor] = []
        for step in range(1, steps + 1):
            rate = schedule.learning_rate(chosen, step - 1, step / steps)
            for group in optimizer.param_groups:
                group["lr"] = rate
            network.train()
            torch.manual_seed(_dropout_seed(settings.seed, step))
            for batch in itertools.islice(batches, chosen.accumulation):
                loss = _loss(network, train, batch, device, precision)
                scaler.scale(loss / chosen.accumulation).backward()
                running.append(loss.detach())
            _step(network, optimizer, scaler, chosen.gradient_clip, step)
            if step % settings.mosaic.check_every == 0 or step == steps:
                validated = loss_of(network, validation, settings)
                trained = float(torch.stack(running).mean())
                history.append((step, trained, validated))
                on_check(step, trained, validated)
                running = []
                if validated < best_loss:
                    best_loss, best = validated, _copy(network)
    network.load_state_dict(best)
    return FittedLarge(network.cpu().eval(), start_loss, best_loss, history)


@torch.no_grad()
def loss_of(network: MosaicLarge, data: OpenSequences, settings: Config) -> float:
    """Mean cross-entropy in nats, of answers as they would be given."""
    network.eval()
    device = network.project.weight.device
    cut = stretches.cut(data.bounds, settings.mosaic.stretch, settings.mosaic.overlap)
    rows, place = torch.from_numpy(data.data.rows), torch.from_numpy(data.place)
    logits = _logits(network, rows, place, cut, device)
    labels = torch.from_numpy(data.data.labels).to(device).float()
    total = nn.functional.binary_cross_entropy_with_logits(
        logits.double(), labels.double(), reduction="sum"
    )
    return float(total) / max(len(labels), 1)


def _logits(
    network: MosaicLarge,
    rows: Float[Tensor, "n F"],
    place: Float[Tensor, " n"],
    cut: Stretches,
    device: torch.device | None = None,
) -> Float[Tensor, " n"]:
    """Log odds of ALT, each by the stretch that owns the row, on the device (None: the rows')."""
    device = rows.device if device is None else device
    found = torch.empty(len(rows), device=device)
    longest = int((cut.stop - cut.start).max(initial=1))
    at_once = max(1, OPEN_SITES_AT_ONCE[device.type] // longest)
    for first in range(0, len(cut), at_once):
        few = cut.take(slice(first, first + at_once))
        index, is_row = few.rows()
        where = torch.from_numpy(index)
        given = (values[where.to(values.device)].to(device) for values in (rows, place))
        padding = None if is_row.all() else torch.from_numpy(is_row).to(device)
        logits = network(*given, padding)
        own = torch.from_numpy(few.is_own())
        found[where[own].to(device)] = logits[own.to(device)].float()
    return found


def _batches(data: OpenSequences, settings: Config) -> Iterator[Stretches]:
    """Stretches of two haplotypes for each sample of a batch, without end."""
    rng = np.random.default_rng([settings.seed, _STREAM])
    size = 2 * settings.training.batch_size
    while True:
        rows = rng.integers(len(data.place), size=size)
        yield stretches.around(rows, data.bounds, settings.mosaic.stretch)


def _loss(
    network: MosaicLarge,
    data: OpenSequences,
    batch: Stretches,
    device: torch.device,
    precision: Precision,
) -> Tensor:
    index, is_row = batch.rows()
    rows, place, labels = (
        torch.from_numpy(values[index]).to(device)
        for values in (data.data.rows, data.place, data.data.labels)
    )
    real = torch.from_numpy(is_row).to(device)
    with torch.autocast(device.type, dtype=precision.dtype, enabled=precision.is_mixed):
        logits = network(rows, place, None if is_row.all() else real)
    return nn.functional.binary_cross_entropy_with_logits(logits[real], labels[real].float())


def _optimizer(network: MosaicLarge, settings: Config) -> torch.optim.AdamW:
    learning = [p for p in network.parameters() if p.requires_grad]
    matrices = [p for p in learning if p.dim() >= 2]
    vectors = [p for p in learning if p.dim() < 2]
    return torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": settings.training.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=settings.training.learning_rate,
        betas=_BETAS,
    )


def _step(
    network: MosaicLarge,
    optimizer: torch.optim.AdamW,
    scaler: torch.amp.GradScaler,
    clip: float,
    step: int,
) -> None:
    """Clip, step and clear."""
    scaler.unscale_(optimizer)
    norm = nn.utils.clip_grad_norm_(network.parameters(), clip)
    # With fp16 single steps overflow and are skipped; only a scale that keeps falling is wrong.
    is_fp16 = scaler.is_enabled()
    if scaler.get_scale() < _SMALLEST_SCALE if is_fp16 else not bool(torch.isfinite(norm)):
        raise DivergedError(
            f"The gradient is not finite at step {step} of the transformer. Train again with a "
            "smaller training.learning_rate."
        )
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad(set_to_none=True)


def _dropout_seed(seed: int, step: int) -> int:
    return int(np.random.SeedSequence([seed, _STREAM, step]).generate_state(1)[0])


def _copy(network: MosaicLarge) -> dict[str, Tensor]:
    return {name: values.detach().cpu().clone() for name, values in network.state_dict().items()}
