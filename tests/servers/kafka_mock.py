"""librdkafka's mock cluster: brokers inside this process that answer with the error codes they are told to.

It comes with `confluent-kafka` and is reached through ctypes, in the library that the client itself has loaded. Other
clients connect to it as to any broker. It is neither Apache Kafka nor does it check logins.
"""

from __future__ import annotations

import ctypes
from enum import IntEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Self

_PRODUCER = 0
_OK = 0
_PERSISTENTLY = 100


class Api(IntEnum):
    """Kafka's requests, by their key."""

    PRODUCE = 0
    FETCH = 1
    METADATA = 3
    OFFSET_COMMIT = 8
    OFFSET_FETCH = 9
    FIND_COORDINATOR = 10
    JOIN_GROUP = 11
    SYNC_GROUP = 14
    INIT_PRODUCER_ID = 22
    ADD_PARTITIONS_TO_TXN = 24
    END_TXN = 26


def find_library() -> Path | None:
    """The shared library of the installed `confluent-kafka`."""
    spec = find_spec("confluent_kafka")
    for folder in spec.submodule_search_locations or () if spec is not None else ():
        package = Path(folder)
        for library in (*package.parent.glob("confluent_kafka.libs/librdkafka*"), *package.glob(".dylibs/librdkafka*")):
            return library
    return None


class KafkaMockCluster:
    """One or several mock brokers on free ports of 127.0.0.1, gone at the end of the `with` block.

    Args:
        library: The `librdkafka` shared library.
        brokers: How many brokers.
    """

    def __init__(self, library: Path, brokers: int = 1) -> None:
        self._brokers = brokers
        self._rd = _load(library)
        self._client: int | None = None
        self._cluster: int | None = None

    def __enter__(self) -> Self:
        rd = self._rd
        settings = rd.rd_kafka_conf_new()
        error = ctypes.create_string_buffer(256)
        for name, value in ((b"log_level", b"0"), (b"bootstrap.servers", b"127.0.0.1:1")):
            if rd.rd_kafka_conf_set(settings, name, value, error, len(error)) != _OK:
                raise RuntimeError(error.value.decode())
        self._client = rd.rd_kafka_new(_PRODUCER, settings, error, len(error))
        if not self._client:
            raise RuntimeError(error.value.decode())
        self._cluster = rd.rd_kafka_mock_cluster_new(self._client, self._brokers)
        rd.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        rd.rd_kafka_mock_topic_create(self._cluster, b"orders", 1, 1)
        return self

    def __exit__(self, *_: object) -> None:
        self._rd.rd_kafka_mock_cluster_destroy(self._cluster)
        self._rd.rd_kafka_destroy(self._client)

    @property
    def address(self) -> str:
        """Hosts and ports for a client's bootstrap servers."""
        bootstraps: bytes = self._rd.rd_kafka_mock_cluster_bootstraps(self._cluster)
        return bootstraps.decode()

    def answer(self, api: Api, code: int, times: int = _PERSISTENTLY) -> None:
        """Answer the next so many requests of a kind with an error code; -195 hangs up instead."""
        codes = (ctypes.c_int * times)(*[code] * times)
        self._rd.rd_kafka_mock_push_request_errors_array(self._cluster, int(api), times, codes)

    def behave(self, api: Api) -> None:
        """Answer requests of a kind as they deserve again."""
        self._rd.rd_kafka_mock_clear_request_errors(self._cluster, int(api))


def _load(library: Path) -> ctypes.CDLL:
    rd = ctypes.CDLL(str(library))
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    for name, result, arguments in (
        ("rd_kafka_conf_new", pointer, []),
        ("rd_kafka_conf_set", number, [pointer, text, text, text, ctypes.c_size_t]),
        ("rd_kafka_new", pointer, [number, pointer, text, ctypes.c_size_t]),
        ("rd_kafka_destroy", None, [pointer]),
        ("rd_kafka_mock_cluster_new", pointer, [pointer, number]),
        ("rd_kafka_mock_cluster_destroy", None, [pointer]),
        ("rd_kafka_mock_cluster_bootstraps", text, [pointer]),
        ("rd_kafka_mock_group_initial_rebalance_delay_ms", None, [pointer, ctypes.c_int32]),
        ("rd_kafka_mock_topic_create", number, [pointer, text, number, number]),
        (
            "rd_kafka_mock_push_request_errors_array",
            None,
            [pointer, ctypes.c_int16, ctypes.c_size_t, ctypes.POINTER(number)],
        ),
        ("rd_kafka_mock_clear_request_errors", None, [pointer, ctypes.c_int16]),
    ):
        function = getattr(rd, name)
        function.restype, function.argtypes = result, arguments
    return rd
