"""The schema of `result.json` and `failure.json`: a record that does not fit it is named with its field, and not used.

The fields and their types are those of the dataclasses; what stands here is what types do not say: ranges, and the keys
of the entries that tables and figures read.
"""

import json
from dataclasses import MISSING, fields
from functools import cache
from typing import Annotated, Any, get_type_hints

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, create_model

Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Cosine = Annotated[float, Field(ge=-1.000001, le=1.000001)]  # of float32 rows
_STRICT = ConfigDict(strict=True, extra="forbid")


class _Open(BaseModel):
    """An entry that may have further keys."""

    model_config = ConfigDict(strict=True, extra="allow")


class _Step(_Open):
    filter: str
    n_pairs: Count


class _Score(_Open):
    metric: str
    score: FiniteFloat | None
    n_pairs: Count
    n_null: Count
    seed: Count
    null: str
    null_mean: FiniteFloat | None
    null_sd: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None
    null_interval: Annotated[list[FiniteFloat], Field(min_length=2, max_length=2)] | None
    z: FiniteFloat | None
    p_value: Share | None
    p_value_published: Share | None
    warnings: list[str]
    reason: str | None
    on: str = "decoder"


class _Concept(_Open):
    name: str
    n_features_a: Count
    n_features_b: Count
    n_pairs: Count
    similarity: list[_Score]
    keyword_counts_a: dict[str, Count]
    keyword_counts_b: dict[str, Count]


class _Published(_Open):
    source: str
    setting: str
    concept: str | None
    filters: list[str] | None
    quantity: str
    value: FiniteFloat
    n_pairs: Count | None


class _Tested(_Open):
    n_tested: Count
    n_beyond_chance: Count


class _Evidence(_Open):
    n_null: Count
    pooled: bool
    q: Share
    a: _Tested
    b: _Tested
    n_kept: Count
    n_kept_beyond_chance: Count


class _Scores(_Open):
    pw_mcc: FiniteFloat | None
    best_share_a: Share | None
    best_share_b: Share | None
    assigned_share: Share | None


class _Consistency(_Scores):
    threshold: Cosine
    n_a: Count
    n_b: Count
    floor: _Scores


RANGES: dict[str, Any] = {
    "aggregation": str,
    "concepts": list[_Concept],
    "consistency": _Consistency | None,
    "correlation": dict[str, Cosine | None],
    "created": Annotated[AwareDatetime, Field(strict=False)],
    "d_model": Annotated[int, Field(ge=1)],
    "d_sae": Annotated[int, Field(ge=1)],
    "decoder_cosine": dict[str, Cosine | None] | None,
    "decoder_norms": dict[str, Annotated[FiniteFloat, Field(ge=0)]] | None,
    "evidence": _Evidence | None,
    "excluded": dict[str, dict[str, Count]],
    "explained_variance": Annotated[FiniteFloat, Field(le=1.000001)] | None,
    "funnel": Annotated[list[_Step], Field(min_length=1)],
    "l0": Annotated[FiniteFloat, Field(ge=0)],
    "layer": Count,
    "n_live_features": Count,
    "n_model_passes": Count,
    "n_sequences": Count,
    "n_spans": Count,
    "n_tokens": Count,
    "n_tokens_b": Count,
    "published": list[_Published],
    "seq_len": Count,
    "similarity": list[_Score],
    "timings": dict[str, Annotated[FiniteFloat, Field(ge=0)]],
}
"""By the name of a field, what its values may be; a field that is not here may be whatever its type says."""


class DamagedRecord(ValueError):
    """A record that does not fit the schema; the message names the field."""


def read_json(text: str) -> dict[str, Any]:
    """The object in a JSON text, without what JSON does not have: NaN, infinity, keys twice, half surrogate pairs.

    Raises:
        DamagedRecord: the text is not such an object.
    """
    try:
        found = json.loads(text, parse_constant=_no_number, object_pairs_hook=_each_once)
        json.dumps(found, allow_nan=False, ensure_ascii=False).encode()
    except RecursionError as error:
        raise DamagedRecord("it is nested too deeply") from error
    except UnicodeEncodeError as error:
        raise DamagedRecord("it holds half of a surrogate pair, which is no character") from error
    except ValueError as error:
        raise DamagedRecord(f"it is no JSON ({error})") from error
    if not isinstance(found, dict):
        raise DamagedRecord(f"it is no JSON object but a {type(found).__name__}")
    return found


def check_record(record: type, values: dict[str, Any]) -> None:
    """Raise `DamagedRecord`, naming the first field, unless the values are those of a record of that dataclass."""
    try:
        schema_of(record).model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"] if not str(part).startswith(("_", "function-")))
        given = "" if first["type"] == "missing" else f", not {_short(first['input'])}"
        raise DamagedRecord(f"its field {field}: {first['msg'][0].lower()}{first['msg'][1:]}{given}") from error


@cache
def schema_of(record: type) -> type[BaseModel]:
    """The schema of a dataclass: its fields by their types, narrowed by `RANGES`; those within it likewise."""
    hints = get_type_hints(record)
    columns: dict[str, Any] = {}
    for each in fields(record):
        is_optional = each.default is not MISSING or each.default_factory is not MISSING
        kind = RANGES.get(each.name) or _of_records(hints[each.name])
        columns[each.name] = (kind, None if is_optional else ...)
    return create_model(record.__name__, __config__=_STRICT, **columns)


def _of_records(hint: Any) -> Any:
    """A type in which the schema replaces each dataclass, also within `Spans | None`."""
    if hasattr(hint, "__dataclass_fields__"):
        return schema_of(hint)
    options = getattr(hint, "__args__", ())
    inner = [each for each in options if hasattr(each, "__dataclass_fields__")]
    return schema_of(inner[0]) | None if inner and type(None) in options else hint


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} stands there twice")
    return found


def _short(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 40 else f"a {type(value).__name__}"
