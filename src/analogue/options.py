"""The choices that functions, configurations and records name, each defined once.

Members are strings: `Direction.a_to_b == "a_to_b"`, and functions take either.
"""

from enum import StrEnum


class Direction(StrEnum):
    """Which side claims its partners. Several features may claim one partner."""

    a_to_b = "a_to_b"
    b_to_a = "b_to_a"


class Keep(StrEnum):
    """Which of several claims on one feature stays: that of the highest correlation, the first, or none."""

    best = "best"
    first = "first"
    strict = "strict"


class NonConcept(StrEnum):
    """Which tokens are no concept: those of a list, or also all tokens without a letter of any script."""

    listed = "listed"
    no_letter = "no_letter"


class Engine(StrEnum):
    """How best partners are found: by whichever is faster, by the walk on CPU cores, or by products of matrices."""

    auto = "auto"
    walk = "walk"
    dense = "dense"


class Hook(StrEnum):
    """What is read of a block; `analogue.models.sites` says what each means in which architecture."""

    resid_pre = "resid_pre"
    resid_mid = "resid_mid"
    resid_post = "resid_post"
    mlp_in = "mlp_in"
    mlp_out = "mlp_out"
    attn_out = "attn_out"
    attn_z = "attn_z"
    neurons = "neurons"


class Redrawn(StrEnum):
    """Which parameters of a randomised model are redrawn: all but the embeddings, or all."""

    weights = "weights"
    all = "all"


class Alignment(StrEnum):
    """What features are compared on: tokens, or the spans that two tokenisations have in common."""

    tokens = "tokens"
    spans = "spans"


class Aggregation(StrEnum):
    """How activations on the tokens of a span become its activation; `last` is that of its last token."""

    max = "max"
    mean = "mean"
    last = "last"


class NullKind(StrEnum):
    """What a null draws: shuffled pairings, random pairs of both whole spaces, permuted sequences, or rotated bases.

    The first two test scores, permuted sequences the pairs. Randomly rotated bases are a baseline to describe
    correlations by, and give no p-value.
    """

    shuffle = "shuffle"
    random_pairs = "random_pairs"
    rotated = "rotated"
    permuted_sequences = "permuted_sequences"


class MetricsOn(StrEnum):
    """What metrics score: decoder rows of the paired features, their activations, or the residual streams."""

    decoder = "decoder"
    activations = "activations"
    residual = "residual"


class DecoderRows(StrEnum):
    """Decoder rows that metrics see: of unit norm, or as the SAE has them."""

    unit = "unit"
    raw = "raw"


class DecoderBiasStart(StrEnum):
    """What an SAE's decoder bias starts at: the mean or the geometric median of a sample of its input, or zeros."""

    mean = "mean"
    geometric_median = "geometric_median"
    zeros = "zeros"


class PairingRuleName(StrEnum):
    """The pairing rules of `analogue.matching.RULES`."""

    max_correlation = "max_correlation"
    mutual = "mutual"
    greedy = "greedy"
    hungarian = "hungarian"
    optimal_transport = "optimal_transport"
    cosine = "cosine"
    sae_match = "sae_match"


BY_WEIGHTS = (PairingRuleName.cosine, PairingRuleName.sae_match)
"""Rules that pair features by their weights, whose streams must share a basis."""


class Precision(StrEnum):
    """Precisions of weights."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"
    float64 = "float64"


class MetricName(StrEnum):
    """The metrics of `analogue.similarity.METRICS`."""

    svcca = "svcca"
    svcca_pc1 = "svcca_pc1"
    svcca_cross_validated = "svcca_cross_validated"
    cca = "cca"
    cca_squared = "cca_squared"
    pwcca = "pwcca"
    pwcca_canonical = "pwcca_canonical"
    rsa = "rsa"
    rsa_correlation = "rsa_correlation"
    rsa_cosine = "rsa_cosine"
    cka = "cka"
    cka_debiased = "cka_debiased"
    cka_rbf = "cka_rbf"
    procrustes = "procrustes"
    mutual_knn = "mutual_knn"
    mutual_knn_jaccard = "mutual_knn_jaccard"
