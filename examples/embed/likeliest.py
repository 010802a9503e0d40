#!/usr/bin/env python3
"""examples/embed/likeliest.py -- a compiled model inside a Python program, by ctypes alone.

    likeliest.py LIBRARY [CHECKPOINT] < ids

Prints the five ids that most likely follow, with their logits. With numpy the logits are an array
of its own kind over the same memory; without, one of ctypes.
"""
import ctypes
import sys
from ctypes import POINTER, c_char_p, c_float, c_int, c_int32, c_int64, c_void_p

try:
    import numpy
except ImportError:
    numpy = None


class Opening(ctypes.Structure):
    """ssmc_opening of ssmc.h."""

    _fields_ = [
        ("weights", c_char_p),
        ("variant", c_char_p),
        ("pack_cache", c_char_p),
        ("threads", c_int),
        ("progress", c_void_p),
        ("user", c_void_p),
    ]


def declare(lib):
    """The types of the functions that are used here."""
    lib.ssmc_error.restype = c_char_p
    lib.model_compiled.restype = c_void_p
    lib.ssmc_compiled_open.argtypes = [c_void_p, POINTER(Opening), POINTER(c_void_p)]
    lib.ssmc_model_close.argtypes = [c_void_p]
    lib.ssmc_model_vocab.argtypes = [c_void_p]
    lib.ssmc_model_vocab.restype = c_int64
    lib.ssmc_session_open.argtypes = [c_void_p, c_int, c_int, POINTER(c_void_p)]
    lib.ssmc_session_close.argtypes = [c_void_p]
    lib.ssmc_prefill.argtypes = [c_void_p, c_int, POINTER(c_int32), c_int64, POINTER(c_float)]


class Model:
    """A model with a session of one sequence."""

    def __init__(self, path, weights=None):
        self.lib, self.model, self.session = ctypes.CDLL(path), c_void_p(), c_void_p()
        declare(self.lib)
        how = Opening(weights=weights.encode() if weights else None)
        self.check(self.lib.ssmc_compiled_open(self.lib.model_compiled(), how, self.model))
        self.check(self.lib.ssmc_session_open(self.model, 1, 0, self.session))

    def __enter__(self):
        return self

    def __exit__(self, *fault):
        self.lib.ssmc_session_close(self.session)
        self.lib.ssmc_model_close(self.model)

    def check(self, status):
        if status != 0:
            raise RuntimeError(self.lib.ssmc_error().decode())

    def read(self, ids):
        """The sequence reads ids: logits of the last."""
        logits = (c_float * self.lib.ssmc_model_vocab(self.model))()
        self.check(self.lib.ssmc_prefill(self.session, 0, (c_int32 * len(ids))(*ids), len(ids), logits))
        return numpy.ctypeslib.as_array(logits) if numpy else logits


def likeliest(logits, count):
    if numpy:
        return numpy.argsort(-logits, kind="stable")[:count]
    return sorted(range(len(logits)), key=lambda i: -logits[i])[:count]


def main():
    if not 2 <= len(sys.argv) <= 3:
        sys.exit("usage: likeliest.py LIBRARY [CHECKPOINT] < ids")
    try:
        with Model(*sys.argv[1:]) as model:
            logits = model.read([int(word) for word in sys.stdin.read().split()])
    except (RuntimeError, OSError, ValueError) as fault:
        sys.exit(f"likeliest: {fault}")
    for i in likeliest(logits, 5):
        print(f"{i} {logits[i]:.9g}")


if __name__ == "__main__":
    main()
