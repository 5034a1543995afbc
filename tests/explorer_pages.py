"""Reads the explorer's page back: the arrays that its script sees, and each feature's details."""

import base64
import gzip
import json
import re

import numpy as np


def unpacked(text):
    """Plain values and arrays of one packed script; see `analogue.reporting.explorer.packed`."""
    content = gzip.decompress(base64.b64decode(text))
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    body = content[8 + length :]
    arrays = {
        name: np.frombuffer(body, np.dtype(dtype).newbyteorder("<"), int(np.prod(shape)), start).reshape(shape)
        for name, (dtype, shape, start) in header["arrays"].items()
    }
    return header["facts"], arrays


class PageData:
    """What a page holds."""

    def __init__(self, path):
        self.text = path.read_text()
        scripts = re.findall(r'<script id="(index|[ab]-\d+)"[^>]*>([^<]*)<', self.text)
        self.facts, self.index = unpacked(dict(scripts)["index"])
        self.chunks = {name: unpacked(text)[1] for name, text in scripts if name != "index"}

    def row(self, side, feature):
        return int(np.flatnonzero(self.index[f"feature_{side}"] == feature)[0])

    def details(self, side, row):
        """A feature's arrays, and its activations by token."""
        chunk, at = self.chunks[f"{side}-{row // self.facts['chunk']}"], row % self.facts["chunk"]
        some = slice(*chunk["indptr"][at : at + 2])
        tokens = np.cumsum(chunk["steps"][some])
        values = chunk["shares"][some] / 32767 * self.index[f"scale_{side}"][row]
        ragged = ("indptr", "steps", "shares", "beside_indptr", "beside")
        own = {name: array[at] for name, array in chunk.items() if name not in ragged}
        own["beside"] = chunk["beside"][slice(*chunk["beside_indptr"][at : at + 2])]
        return own | {"activations": dict(zip(tokens.tolist(), values.tolist(), strict=True))}
