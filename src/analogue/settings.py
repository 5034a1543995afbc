"""What a comparison is asked for: plain values, checked when they are made. The defaults are those of `conf/`."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from os import PathLike
from pathlib import Path
from typing import Any

from analogue.errors import (
    InvalidArgument,
    check_between,
    check_each_once,
    check_flag,
    check_minima,
    check_option,
    check_seed,
    check_strings,
    shown,
    whole_number,
)
from analogue.options import (
    Direction,
    Hook,
    Keep,
    MetricName,
    NonConcept,
    NullKind,
    PairingRuleName,
    Precision,
    Redrawn,
    TransferParts,
)

METRICS = (MetricName.svcca, MetricName.svcca_pc1, MetricName.rsa)
NON_CONCEPT_TOKENS = ("\n", "\\n", "", " ", ".", ",", "!", "?", "-")


def default_k(d_in: int) -> int:
    """Active features per token: 32, as in the paper's TopK SAEs; 16 for streams narrower than 256."""
    return 32 if d_in >= 256 else 16


@dataclass(frozen=True)
class Side:
    """Space a or b of a comparison: a language model, one of its layers, and an SAE of that layer.

    Attributes:
        model: a hub id, a directory in `transformers` format, an `embedded:` name, or a `transformers` model.
        layer: block of the model, counted from 0.
        sae: a directory or a file in one of the formats of `docs/saes.md`, `RELEASE:ID` of a SAELens release,
            `OWNER/REPOSITORY:FOLDER` of the hub, or an `embedded:` name, in which `{layer}` stands for the layer; or a
            `sae_lens.SAE`, or one that `analogue.train` returns. Or a dictionary that nobody trained: `neurons`, the
            neurons of the MLP themselves; `identity`, the coordinates of what is read; `random:seed=0`, random
            directions, of which the k highest on a token are active (`random:seed=0,d_sae=4096,k=32`).
        tokenizer: of a model that is given as an object; None for the tokenizer that is stored with a named model.
        revision: branch, tag or commit of a model on the hub.
        dtype: of the weights of a named model; an object keeps its own.
        hook: what is read of the block: its output `resid_post`, its input `resid_pre`, or one of the sites
            `resid_mid`, `mlp_in`, `mlp_out`, `attn_out`, `attn_z` and `neurons`. None for the site that the SAE was
            trained on, or `resid_post` where its metadata name no site.
        randomize: `weights` to redraw every parameter but the embeddings, `all` to redraw those too.
        randomize_seed: of the redrawing.
        device_map: `auto` to spread a named model over all devices.
        gguf_file: name of a GGUF file in the model's directory or repository, to read in place of its other files.
        sae_dtype: of the SAE's weights.
        before_topk: take all ReLU'd pre-activations of a TopK SAE, as the paper's published code does.

    Raises:
        InvalidArgument: a value that cannot work with any model.

    Example:
        >>> Side(model="embedded:stories-6", layer=3, sae="embedded:stories-6-saes/layer_{layer}").sae_dtype.value
        'float32'
    """

    model: Any
    layer: int
    sae: Any
    tokenizer: Any = None
    revision: str | None = None
    dtype: str = Precision.float32
    hook: str | None = None
    randomize: str | None = None
    randomize_seed: int = 0
    device_map: str | None = None
    gguf_file: str | None = None
    sae_dtype: str = Precision.float32
    before_topk: bool = False

    def __post_init__(self) -> None:
        for name in ("layer", "randomize_seed"):
            object.__setattr__(self, name, whole_number(name, getattr(self, name)))
        check_seed("randomize_seed", self.randomize_seed)
        object.__setattr__(self, "sae", getattr(self.sae, "sae", self.sae))  # of what `analogue.train` returns
        check_flag("before_topk", self.before_topk)
        for name in ("dtype", "sae_dtype"):
            check_option(name, getattr(self, name), Precision, "is not a precision; use {}")
        if self.hook is not None:
            check_option("hook", self.hook, Hook)
        if self.randomize is not None:
            check_option("randomize", self.randomize, Redrawn)


@dataclass(frozen=True)
class Text:
    """Texts, and where to find them.

    Attributes:
        path: texts, which are kept as a tuple; a `.txt`, `.jsonl` or `.parquet` file; an `embedded:` name; or
            `OWNER/NAME` of a data set of the hub.
        subset: the data set's configuration, where it has several.
        split: of a data set.
        column: where the text stands in `.jsonl`, `.parquet` and data sets.
        shuffle_seed: of a data set; None for its own order. Files are read in order.
    """

    path: str | Path | Iterable[str]
    subset: str | None = None
    split: str = "train"
    column: str = "text"
    shuffle_seed: int | None = 0

    def __post_init__(self) -> None:
        if isinstance(self.path, PathLike):
            object.__setattr__(self, "path", Path(self.path))
        elif isinstance(self.path, Mapping) or not isinstance(self.path, Iterable):
            raise InvalidArgument("path", shown(self.path), "must be the path of a file, a name, or a list of texts")
        elif not isinstance(self.path, str):
            object.__setattr__(self, "path", tuple(self.path))  # a generator could be read only once
        if self.shuffle_seed is not None:
            check_seed("shuffle_seed", self.shuffle_seed)

    @property
    def name(self) -> str:
        """The path; for texts, how many there are."""
        return f"{len(self.path)} texts" if isinstance(self.path, tuple) else str(self.path)


@dataclass(frozen=True)
class Corpus(Text):
    """The text that both models read, and how much of it; see `Text` for the first attributes.

    Attributes:
        n_sequences: number of sequences to read, at most.
        seq_len: tokens per sequence, at most.
        batch_size: sequences per forward pass.
        packing: False for one document per sequence, as in the paper; True for documents strung together.
        count_padding: let padding count in statistics, as in the published code; models never attend to padding.
        chat: read `column` as lists of messages, each with `role` and `content`, and write them as text by the chat
            template of A's tokenizer (of B's, where A has none).
        exclude_bos: leave out beginning-of-text tokens and the first of each sequence.
        exclude_special: leave out special tokens (that begin, end and pad texts, and mark the turns of a chat) wherever
            they stand.
        exclude_outliers: leave out tokens whose norm, in the stream that either side reads, is more than this many
            times the median; None to leave out none.

    Example:
        >>> Corpus(["Once upon a time there was a fox.", "It lived in a wood."], n_sequences=2).name
        '2 texts'
    """

    n_sequences: int = 100
    seq_len: int = 300
    batch_size: int = 10
    packing: bool = False
    count_padding: bool = False
    chat: bool = False
    exclude_bos: bool = False
    exclude_special: bool = False
    exclude_outliers: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_minima({"n_sequences": (self.n_sequences, 1), "seq_len": (self.seq_len, 2)})
        check_minima({"batch_size": (self.batch_size, 1)})
        for name in ("packing", "count_padding", "chat", "exclude_bos", "exclude_special"):
            check_flag(name, getattr(self, name))
        if self.exclude_outliers is not None:
            check_between("exclude_outliers", self.exclude_outliers, 1, inf)


STORIES = Corpus("embedded:stories/heldout.parquet", packing=True)
"""Text that ships with the package; no embedded model or SAE was trained on it."""


@dataclass(frozen=True)
class Matching:
    """How features are paired.

    Attributes:
        rule: a name from `analogue.matching.RULES`, or a function with the signature of
            `analogue.matching.max_correlation`.
        direction: which side claims its partners, `a_to_b` or `b_to_a`.
        settings: further arguments of the rule, such as `{"k": 32}` of `greedy`.

    Example:
        >>> Matching("greedy", settings={"k": 8}).name
        'greedy'
    """

    rule: str | Callable[..., Any] = PairingRuleName.max_correlation
    direction: str = Direction.a_to_b
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_option("direction", self.direction, Direction)
        if not callable(self.rule):
            check_option("rule", self.rule, PairingRuleName)
        if not isinstance(self.settings, Mapping):
            raise InvalidArgument("settings", shown(self.settings), 'must be a mapping, such as {"k": 32}')

    @property
    def name(self) -> str:
        """Of the rule, for records."""
        rule = getattr(self.rule, "func", self.rule)
        return str(rule) if isinstance(rule, str) else getattr(rule, "__name__", type(rule).__name__)


@dataclass(frozen=True)
class Filters:
    """Which pairs count (paper, section 3); None or False switches a filter off.

    Attributes:
        top_tokens: number of tokens of highest activation per feature that the filters look at.
        concept_tokens: drop pairs if either feature has a non-concept token among its top tokens.
        non_concept: which tokens are non-concept tokens: `listed`, those of `non_concept_tokens` and the special tokens
            of both tokenizers, as in the paper; or `no_letter`, also all tokens without a letter of any script.
        non_concept_tokens: the list.
        shared_token: keep pairs whose features share a top token.
        minimum_firing_count: number of tokens on which each of the two features must fire, at least.
        one_to_one: which pair stays where several take the same feature: the `best` by correlation, the `first` by
            index, or with `strict` none of them.
        minimum_correlation: of the activations.
        maximum_q_value: of the test of every pair against permuted sequences; if given, the test is run.

    Example:
        >>> Filters(shared_token=False, minimum_firing_count=10).minimum_correlation
        0.1
    """

    top_tokens: int = 5
    concept_tokens: bool = True
    non_concept: str = NonConcept.listed
    non_concept_tokens: Sequence[str] = NON_CONCEPT_TOKENS
    shared_token: bool = True
    minimum_firing_count: int | None = None
    one_to_one: str | None = Keep.best
    minimum_correlation: float | None = 0.1
    maximum_q_value: float | None = None

    def __post_init__(self) -> None:
        check_minima({"top_tokens": (self.top_tokens, 1)})
        check_flag("concept_tokens", self.concept_tokens)
        check_flag("shared_token", self.shared_token)
        check_option("non_concept", self.non_concept, NonConcept)
        check_strings("non_concept_tokens", self.non_concept_tokens)
        if self.minimum_firing_count is not None:
            check_minima({"minimum_firing_count": (self.minimum_firing_count, 0)})
        if self.one_to_one is not None:
            check_option("one_to_one", self.one_to_one, Keep)
        if self.minimum_correlation is not None:
            check_between("minimum_correlation", self.minimum_correlation, -1, 1)
        if self.maximum_q_value is not None:
            check_between("maximum_q_value", self.maximum_q_value, 0, 1)


@dataclass(frozen=True)
class Null:
    """What the scores of whole spaces, and the pairs, are compared with.

    Attributes:
        n: draws of each null.
        kinds: `shuffle` (the same features, paired at random), `random_pairs` (random features of both whole spaces),
            `rotated` (excess correlation over randomly rotated bases, a description and not a test),
            `permuted_sequences` (B's sequences permuted against A's, for a p-value of every pair).
        pooled: with `permuted_sequences`, let features with similar firing counts share their draws, so that p-values
            can be below 1 / (n + 1).

    Example:
        >>> Null(n=1000, kinds=["shuffle", "random_pairs"]).n
        1000
    """

    n: int = 100
    kinds: Sequence[str] = (NullKind.shuffle,)
    pooled: bool = True

    def __post_init__(self) -> None:
        check_minima({"n": (self.n, 1)})
        check_strings("kinds", self.kinds)
        check_flag("pooled", self.pooled)
        if not self.kinds:
            raise InvalidArgument("kinds", "[]", f"names no null; choose from {', '.join(NullKind)}")
        for kind in self.kinds:
            check_option("kinds", kind, NullKind)
        check_each_once("kinds", self.kinds)


@dataclass(frozen=True)
class Clustering:
    """How features of many spaces are put into clusters, and how the stability of clusters is measured.

    Attributes:
        q: false discovery rate of the features of one space that have a partner in another.
        n_draws: permutations of sequences per pair of spaces, by which it is decided what is beyond chance.
        n_resamples: resamples of the sequences, for the stability of clusters; 0 for none.
        n_null: draws of the spectrum of permuted sequences; 0 for none.

    Example:
        >>> Clustering(n_draws=50).q
        0.02
    """

    q: float = 0.02
    n_draws: int = 100
    n_resamples: int = 20
    n_null: int = 10

    def __post_init__(self) -> None:
        check_between("q", self.q, 0, 1)
        check_minima({"n_draws": (self.n_draws, 1), "n_resamples": (self.n_resamples, 0), "n_null": (self.n_null, 0)})


@dataclass(frozen=True)
class Concepts:
    """Semantic subspaces (paper, section 4.3).

    Attributes:
        keywords: of each concept, by its name.
        n: draws of each of the two tests.
        fragments: also count features of tokens that are only a part of a keyword.
        split_at_spaces: let words end only at white space, as in the published code, so a keyword before a full stop is
            not found.

    Example:
        >>> Concepts({"Weather": ["rain", "snow", "storm"]}).n
        1000
    """

    keywords: Mapping[str, Sequence[str]] = field(default_factory=dict)
    n: int = 1000
    fragments: bool = False
    split_at_spaces: bool = False

    def __post_init__(self) -> None:
        check_minima({"n": (self.n, 1)})
        check_flag("fragments", self.fragments)
        check_flag("split_at_spaces", self.split_at_spaces)
        if not isinstance(self.keywords, Mapping):
            raise InvalidArgument("keywords", shown(self.keywords), "must map the name of each concept to its keywords")
        for name, keywords in self.keywords.items():
            check_strings(f"keywords.{name}", keywords)
            if not keywords or not all(keyword.strip() for keyword in keywords):
                raise InvalidArgument(f"keywords.{name}", keywords, "needs keywords, none of them empty")


@dataclass(frozen=True)
class Transfer:
    """Whether a feature of one model can be used in the other: maps between the streams, dictionaries, interventions.

    Attributes:
        parts: `none`; `maps`: maps between the residual streams, dictionaries and decoder rows carried through them;
            `interventions`: what features do to the next token in both models; `all`.
        path: text that the maps are fitted on, given as for `Corpus.path`; None for the corpus itself, after the
            sequences that are compared.
        fit_sequences: number of sequences of that text, at most.
        loss_sequences: number of sequences of the text compared on which the cross-entropy recovered is measured, at
            most.
        n_pairs: kept pairs whose effects are measured, at most, drawn at random.
        n_contexts: number of places in the text at which each feature is added, at most; it is removed at a quarter as
            many.
        doses: how much of a feature is added, in multiples of its mean activation where it fires.

    Example:
        >>> Transfer("maps").doses
        (1.0, 2.0, 4.0)
    """

    parts: str = TransferParts.all
    path: str | Path | Iterable[str] | None = None
    fit_sequences: int = 200
    loss_sequences: int = 8
    n_pairs: int = 40
    n_contexts: int = 32
    doses: Sequence[float] = (1.0, 2.0, 4.0)

    def __post_init__(self) -> None:
        check_option("parts", self.parts, TransferParts)
        check_minima({name: (getattr(self, name), 1) for name in ("fit_sequences", "loss_sequences", "n_contexts")})
        check_minima({"n_pairs": (self.n_pairs, 2)})
        if self.path is not None:
            object.__setattr__(self, "path", Text(self.path).path)
        if isinstance(self.doses, str) or not isinstance(self.doses, Iterable) or not [*self.doses]:
            raise InvalidArgument("doses", shown(self.doses), "must be a list of numbers, such as [1, 2, 4]")
        object.__setattr__(self, "doses", tuple(self.doses))
        for dose in self.doses:
            check_between("doses", dose, -inf, inf)
            if dose <= 0:
                raise InvalidArgument("doses", dose, "must be above 0")
        object.__setattr__(self, "doses", tuple(map(float, self.doses)))

    @property
    def has_maps(self) -> bool:
        """Whether maps between the streams are asked for."""
        return self.parts in (TransferParts.maps, TransferParts.all)

    @property
    def has_interventions(self) -> bool:
        """Whether effects on the next token are asked for."""
        return self.parts in (TransferParts.interventions, TransferParts.all)


@dataclass(frozen=True)
class Cache:
    """The store of activations on disk, which later comparisons read.

    Attributes:
        dir: None for the user's cache directory.
        max_gb: 10^9 bytes that the store may take; the least recently used activations go first.
        layers_a: other layers of A's model that its pass computes and stores too.
        layers_b: likewise of B's.

    Example:
        >>> Cache(max_gb=5).dir is None
        True
    """

    dir: str | Path | None = None
    max_gb: float = 20
    layers_a: Sequence[int] = ()
    layers_b: Sequence[int] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.dir, str | Path | None):
            raise InvalidArgument("dir", shown(self.dir), "must be the path of a directory, or None")
        check_between("max_gb", self.max_gb, 0, inf)
        for name in ("layers_a", "layers_b"):
            check_layers(name, getattr(self, name))


def check_layers(argument: str, layers: Any) -> None:
    """Raise unless these are whole numbers in a list."""
    if isinstance(layers, str) or not isinstance(layers, Iterable):
        raise InvalidArgument(argument, shown(layers), "must be a list of layers")
    for layer in layers:
        whole_number(argument, layer)
