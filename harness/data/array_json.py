"""Small arrays as JSON knows them, bit for bit: times and labels of trials, ragged columns too."""

from base64 import b64decode, b64encode
from typing import Any

import numpy as np


def encoded(values: np.ndarray) -> dict[str, Any]:
    """Numbers or text of any shape; of an object array, its arrays one after the other and where each ends."""
    if values.dtype == object:
        rows = list(values)
        ends = np.cumsum([len(row) for row in rows], dtype=np.int64)
        return {"joined": encoded(np.concatenate(rows) if rows else np.empty(0)), "ends": ends.tolist()}
    content = b64encode(np.ascontiguousarray(values).tobytes()).decode()
    return {"dtype": values.dtype.str, "shape": list(values.shape), "base64": content}


def decoded(content: dict[str, Any]) -> np.ndarray:
    """Undo `encoded`."""
    if "ends" not in content:
        values = np.frombuffer(b64decode(content["base64"]), np.dtype(content["dtype"]))
        return values.reshape(content["shape"]).copy()
    ragged = np.empty(len(content["ends"]), dtype=object)
    for i, row in enumerate(np.split(decoded(content["joined"]), content["ends"][:-1])[: len(ragged)]):
        ragged[i] = row
    return ragged
