"""Decoders that do one wrong thing in the 500th bin. Each must cost its own record and nothing else."""

import contextlib
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness import Decoder

AT_BIN = 499


@dataclass
class SumOfCounts(Decoder):
    """Answers with the sum of all counts, twice: a decoder that does nothing wrong."""

    inputs = ("spikes",)
    deterministic = True

    def fit(self, train, validation):
        self.map_ = np.ones((train[0].session.streams["spikes"].n_channels, 2), np.float32)

    def reset(self, session):
        self.n_seen = 0

    def step(self, bin):
        self.n_seen += 1
        if self.n_seen == AT_BIN + 1:
            return self.wrong(bin)
        return bin["spikes"] @ self.map_

    def wrong(self, bin):
        return bin["spikes"] @ self.map_


@dataclass
class Raises(SumOfCounts):
    def wrong(self, bin):
        raise ValueError("boom")


@dataclass
class Hangs(SumOfCounts):
    def wrong(self, bin):
        time.sleep(1000)


@dataclass
class Exits(SumOfCounts):
    def wrong(self, bin):
        os._exit(7)


@dataclass
class EatsMemory(SumOfCounts):
    def wrong(self, bin):
        return bytearray(20_000_000_000)


@dataclass
class Forks(SumOfCounts):
    def wrong(self, bin):
        for _ in range(300):
            if os.fork() == 0:
                time.sleep(100)


@dataclass
class Floods(SumOfCounts):
    def wrong(self, bin):
        for _ in range(100):
            print("x" * 1_000_000, flush=True)


@dataclass
class SaysNan(SumOfCounts):
    def wrong(self, bin):
        return np.full(2, np.nan)


@dataclass
class TooWide(SumOfCounts):
    def wrong(self, bin):
        return np.zeros(3)


@dataclass
class SaysNothing(SumOfCounts):
    def wrong(self, bin):
        return None


@dataclass
class FailsToFit(SumOfCounts):
    def fit(self, train, validation):
        raise RuntimeError("no convergence")


@dataclass
class KeepsObjects(SumOfCounts):
    def state(self):
        return {"map_": np.array([object()])}


def write_to_the_judge(message):
    """Put a message of our own into every socket that this process has."""
    for descriptor in range(3, 64):
        with contextlib.suppress(OSError):
            socket.socket(fileno=os.dup(descriptor)).send(message)


@dataclass
class AnswersEarly(SumOfCounts):
    """Writes the answer of a bin that has not been sent yet."""

    def wrong(self, bin):
        write_to_the_judge(b"A" + bytes(15) + np.zeros(2, "<f4").tobytes())
        return bin["spikes"] @ self.map_


@dataclass
class ClaimsSuccess(SumOfCounts):
    """Reports a fault whose status is that of success."""

    def wrong(self, bin):
        write_to_the_judge(b"E" + bytes(15) + b'{"status": "ok", "error": "all is well", "kind": "x", "where": "y"}')
        os._exit(0)


@dataclass
class TalksRubbish(SumOfCounts):
    """Answers the request to fit with something that is no JSON."""

    def fit(self, train, validation):
        write_to_the_judge(b"A" + bytes(15) + b"not json")


class UsageError(Exception):
    """Only named like the harness's own."""


@dataclass
class BlamesTheUser(SumOfCounts):
    def wrong(self, bin):
        raise UsageError("you typed something wrong")


@dataclass
class Mumbles(SumOfCounts):
    """Fails with a text that no file can hold."""

    def wrong(self, bin):
        raise ValueError("\udc80 \x1b[31m")


@dataclass
class HasInfiniteField(SumOfCounts):
    limit: float = float("inf")


@dataclass
class LooksAround(SumOfCounts):
    """Reports what a worker can reach: home, data, network, its environment."""

    look_for: str = ""

    def step(self, bin):
        found = Path(self.look_for).exists()
        try:
            socket.create_connection(("127.0.0.1", 9), timeout=0.2)
            online = True
        except ConnectionRefusedError:
            online = len(socket.if_nameindex()) > 1
        except OSError:
            online = False
        return np.array([found, online], np.float32)


@dataclass
class LooksAhead(SumOfCounts):
    """Has `predict` only, and uses the next bin."""

    causal = False

    def step(self, bin):
        raise NotImplementedError("I need the whole recording")

    def predict(self, inputs, session):
        counts = inputs.streams["spikes"] @ self.map_
        return np.concatenate([counts[1:], counts[:1]])
