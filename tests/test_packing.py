"""Integers packed into few bits come back as they were, and damage is refused."""

import json

import numpy as np
import pytest

from harness.errors import DecoderError
from harness.judge import artifact
from harness.judge.packing import BLOCK, Packed, pack_integers, unpack_integers


@pytest.mark.parametrize("dtype", ["i1", "i2", "<i4", "i8", "u1", "u2", "u8"])
@pytest.mark.parametrize("bits", [1, 3, 7])
def test_integers_come_back_as_they_were(dtype, bits):
    rng, info = np.random.default_rng(0), np.iinfo(dtype)
    for low in (info.min, max(info.min, -3), info.max - 2**bits + 1):
        values = (rng.integers(0, 2**bits, (5, 7)).astype(object) + low).astype(dtype)
        packed = pack_integers(values, bits)
        again = unpack_integers(packed)
        assert np.array_equal(again, values) and again.dtype == values.dtype
        assert packed.content.nbytes == -(-35 * bits // 8)


def test_bits_lie_one_after_the_other_highest_first():
    packed = pack_integers(np.array([5, 0, 7, 1], np.int16), 3)
    assert packed.content.tolist() == [0b10100011, 0b10010000]


@pytest.mark.parametrize(
    "values, bits",
    [
        (np.array([0, 8], np.int16), 3),
        (np.zeros(3, np.float32), 3),
        (np.zeros(3, np.int8), 8),
        (np.zeros(0, np.int8), 3),
    ],
    ids=["too wide", "floats", "nothing gained", "empty"],
)
def test_what_does_not_fit_is_not_packed(values, bits):
    assert pack_integers(values, bits) is None


def test_an_artefact_stores_declared_bits_and_counts_values_all_the_same():
    weights = np.random.default_rng(0).integers(-256, 256, (96, 40, 9)).astype(np.int16)
    arrays = {"weights": weights, "bias": np.zeros(4, np.float32)}
    narrow, wide = artifact.pack(arrays, bits={"weights": 9, "bias": 3, "gone": 2}), artifact.pack(arrays)
    assert np.array_equal(artifact.unpack(narrow)["weights"], weights)
    assert artifact.n_parameters(artifact.unpack(narrow)) == weights.size + 4
    assert len(wide) - len(narrow) == pytest.approx(weights.size * 7 / 8, abs=200)


@pytest.mark.parametrize(
    "change",
    [
        *({"bits": 0}, {"bits": 70}, {"bits": 3.0}, {"shape": [10**12]}, {"shape": [-1]}, {"shape": 8}),
        *({"dtype": "<f4"}, {"dtype": "O"}, {"dtype": "(2,3"}, {"dtype": "<i2, ("}, {"low": "x"}, {"low": None}),
    ],
)
def test_a_damaged_description_is_refused(change):
    packed = pack_integers(np.arange(8, dtype=np.int16), 3)
    with pytest.raises((ValueError, TypeError)):
        unpack_integers(Packed(packed.content, packed.note | change))


@pytest.mark.parametrize(
    "packed",
    [
        json.dumps({"w": {"bits": 3, "low": 0, "dtype": "<i2", "shape": [10**9]}}),
        json.dumps({"w": {"bits": 3, "low": 0, "dtype": "(2,3", "shape": [8]}}),
        json.dumps({"w": [1, 2]}),
        json.dumps({"gone": {"bits": 3, "low": 0, "dtype": "<i2", "shape": [8]}}),
        "[" * 200_000,
        "no JSON",
    ],
)
def test_an_artefact_whose_packing_was_tampered_with_is_no_artefact(packed):
    content = artifact.pack({"w": np.arange(8, dtype=np.int16)}, bits={"w": 3})
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"]["packed"] = packed
    text = json.dumps(header).encode()
    with pytest.raises(DecoderError, match="no safetensors file"):
        artifact.unpack(len(text).to_bytes(8, "little") + text + content[8 + size :])


def test_packed_bits_may_not_swell_beyond_a_gibibyte():
    content = artifact.pack({"w": np.zeros(1 << 20, np.int64)}, bits={"w": 1})
    forged = content.replace(b"1048576", b"999999999")
    size = int.from_bytes(content[:8], "little") + len(forged) - len(content)
    with pytest.raises(DecoderError, match="1073741824 are allowed"):
        artifact.unpack(size.to_bytes(8, "little") + forged[8:])


def test_many_blocks_are_packed_as_one():
    values = np.random.default_rng(1).integers(-4, 4, 3 * BLOCK + 5).astype(np.int8)
    packed = pack_integers(values, 3)
    assert np.array_equal(unpack_integers(packed), values)
    whole = np.unpackbits((values + 4).astype(np.uint8)[:, None], axis=1)[:, 5:]
    assert np.array_equal(packed.content, np.packbits(whole))


def test_an_array_cannot_take_the_name_that_the_format_needs():
    with pytest.raises(DecoderError, match="rename it"):
        artifact.pack({"__metadata__": np.zeros(3)})
