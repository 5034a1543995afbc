"""Reads what W&B wrote for an offline run: the run's own `.wandb` file, a LevelDB log of protobuf records."""

import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import wandb
from wandb.proto.wandb_internal_pb2 import Record

HEADER, BLOCK = 7, 32768
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


@dataclass
class OfflineRun:
    """What one run logged."""

    directory: Path
    group: str = ""
    job_type: str = ""
    name: str = ""
    tags: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    history: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, list[str]] = field(default_factory=dict)
    artifact_names: dict[str, list[str]] = field(default_factory=dict)

    def table(self, name):
        """Rows of a logged table, as dictionaries."""
        logged = json.loads((self.directory / "files" / self.history[f"{name}/path"]).read_text())
        return [dict(zip(logged["columns"], row, strict=True)) for row in logged["data"]]


def read_runs(directory):
    """Every offline run under a directory."""
    wandb.teardown()  # `finish` returns before W&B's process has closed the file; this waits for that
    return [_read_run(file) for file in sorted(Path(directory).rglob("*.wandb"))]


def _read_run(file):
    run = OfflineRun(file.parent)
    for record in _records(file.read_bytes()):
        match record.WhichOneof("record_type"):
            case "run":
                run.group, run.job_type = record.run.run_group, record.run.job_type
                run.name, run.tags = record.run.display_name, tuple(record.run.tags)
                run.config |= _items(record.run.config.update)
            case "config":
                run.config |= _items(record.config.update)
            case "history":
                run.history |= _items(record.history.item)
            case "artifact":
                run.artifact_names.setdefault(record.artifact.type, []).append(record.artifact.name)
                run.artifacts[record.artifact.type] = [entry.path for entry in record.artifact.manifest.contents]
            case "request":
                pass
    return run


def _items(items):
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def _records(data):
    """LevelDB's log format: blocks of 32 KiB, records cut where a block ends."""
    position, parts = HEADER, []
    while position + HEADER <= len(data):
        if BLOCK - position % BLOCK < HEADER:
            position += BLOCK - position % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        position += HEADER
        parts.append(data[position : position + length])
        position += length
        if kind in (FULL, LAST):
            yield Record.FromString(b"".join(parts))
            parts = []
