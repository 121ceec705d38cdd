"""What is measured against what, and what it may cost."""

import asyncio
import cProfile
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from tests.benchmarks import bare, fields, ours, peer, scene
from tests.benchmarks.bare import Floor
from tests.benchmarks.ours import AsyncOurs, Ours
from tests.benchmarks.paired import SLICES, Batch, each
from tests.benchmarks.upstream import ANYBODY, answering

THREADS = 8
THREADED_SLICE = 0.03  # CPU seconds: a call by each thread takes half of it

_OF_RSA = re.compile(r"'(sign|verify|encrypt|decrypt)' of '.*\.RSAP(rivate|ublic)Key'")


@dataclass(frozen=True)
class Ratio:
    """One line: `one` ÷ `other`."""

    id: str
    name: str
    one: str
    other: str


@dataclass(frozen=True)
class Case:
    """Contestants that run in the same rounds; `calls` is how many one of a batch stands for."""

    ratios: tuple[Ratio, ...]
    contestants: Callable[[], AbstractContextManager[Mapping[str, Batch]]]
    slice: float = 0.006  # CPU seconds
    calls: int = 1
    slices: int = SLICES  # in a round


@contextmanager
def _v2() -> Iterator[Mapping[str, Batch]]:
    talk = scene.talk()
    build, parse = ours.v2_build(talk), ours.v2_parse(talk)

    def both() -> None:
        build()
        parse()

    yield {
        "build": each(build),
        "parse": each(parse),
        "both": each(both),
        "hmac of the request": each(bare.digest(talk.question, talk.key)),
        "hmac of the answer": each(bare.digest(talk.answer, talk.key)),
        "RSA sign": each(Floor(scene.play()).sign),
    }


@contextmanager
def _authorization() -> Iterator[Mapping[str, Batch]]:
    play = scene.play()
    yield {
        "authorization": each(Ours(play).authorization),
        "RSA sign": each(Floor(play).sign),
        "wechatpayv3 authorization": each(peer.authorization(play)),
    }


@contextmanager
def _verify() -> Iterator[Mapping[str, Batch]]:
    play = scene.play()
    yield {
        "verify": each(Ours(play).verify),
        "RSA verify": each(Floor(play).verify),
        "wechatpayv3 verify": each(peer.verify(play)),
    }


@contextmanager
def _open() -> Iterator[Mapping[str, Batch]]:
    play = scene.play()
    yield {"open": each(Ours(play).open), "2 RSA decrypts": each(Floor(play).decrypt)}


@contextmanager
def _cryptography() -> Iterator[Mapping[str, Batch]]:
    """What a completion does with keys, and the least that is: three signatures and one check."""
    play = scene.play()
    mine, floor = Ours(play), Floor(play)

    def ours() -> None:
        mine.authorization()
        mine.verify()
        mine.open()

    def least() -> None:
        for _ in range(3):
            floor.sign()
        floor.verify()

    yield {"completion's cryptography": each(ours), "3 RSA signs + verify": each(least)}


@contextmanager
def _query() -> Iterator[Mapping[str, Batch]]:
    play = scene.play()
    with answering({ANYBODY: play.raw}) as upstream:
        mine, floor = Ours(play, upstream.base_url), Floor(play, upstream.base_url)
        yield {
            "query": each(mine.query),
            "bare query": each(floor.query),
            "ask": each(mine.ask),
            "wechatpayv3 ask": each(peer.ask(play, upstream.base_url)),
        }
        mine.client.close()
        floor.http.close()


@contextmanager
def _async_query() -> Iterator[Mapping[str, Batch]]:
    play = scene.play()
    with answering({ANYBODY: play.raw}) as upstream, asyncio.Runner() as runner:
        mine, floor = AsyncOurs(play, upstream.base_url), Floor(play, upstream.base_url)

        async def repeat(act: Callable[[], Awaitable[None]], times: int) -> None:
            for _ in range(times):
                await act()

        yield {
            "async query": lambda times: runner.run(repeat(mine.query, times)),
            "bare async query": lambda times: runner.run(repeat(floor.async_query, times)),
        }
        runner.run(mine.client.aclose())
        runner.run(floor.async_http.aclose())


@contextmanager
def _threads() -> Iterator[Mapping[str, Batch]]:
    play = scene.play()
    with answering({ANYBODY: play.raw}) as upstream, ThreadPoolExecutor(THREADS) as pool:
        mine, floor = Ours(play, upstream.base_url), Floor(play, upstream.base_url)
        yield {
            "8 threads": in_threads(pool, mine.query),
            "8 threads, bare": in_threads(pool, floor.query),
        }
        mine.client.close()
        floor.http.close()


def in_threads(pool: ThreadPoolExecutor, act: Callable[[], object]) -> Batch:
    """Return the batch in which every thread calls `act` so many times."""

    def batch(times: int) -> None:
        list(pool.map(each(act), [times] * THREADS))

    return batch


def connections(queries: int = 50) -> int:
    """Return how many connections one new client opens for 8 threads of `queries` each."""
    play = scene.play()
    with answering({ANYBODY: play.raw}) as upstream, ThreadPoolExecutor(THREADS) as pool:
        mine = Ours(play, upstream.base_url)
        in_threads(pool, mine.query)(queries)
        mine.client.close()
        return upstream.accepts()


def rsa_operations(queries: int = 20) -> float:
    """Return how many operations with an RSA key one query takes."""
    play = scene.play()
    with answering({ANYBODY: play.raw}) as upstream, cProfile.Profile() as profile:
        mine = Ours(play, upstream.base_url)
        each(mine.query)(queries)
        mine.client.close()
    profile.create_stats()
    calls = (stat[0] for (_, _, name), stat in profile.stats.items() if _OF_RSA.search(name))
    return sum(calls) / queries


def _sealed(number: str, act: str, *others: str) -> tuple[Ratio, ...]:
    """Return the ratios of one act on sealed fields to the same on plain ones, and to Fernet's."""
    first = Ratio(number, f"{act}/plain", f"{act}, sealed", f"{act}, plain")
    kinds = {"m": ("sealed with SM4", "_sm4"), "i": ("sealed and indexed", "_indexed")}
    more = (
        Ratio(
            number + kind, f"{act}{kinds[kind][1]}/plain", f"{act}, {kinds[kind][0]}", first.other
        )
        for kind in others
    )
    # Its one key for everybody is always at hand: where keys are fetched or made there is no goal.
    peers = Ratio(f"{number}p", f"{act}/fernet_fields", first.one, f"{act}, fernet")
    return (first, *more, peers)


CASES = (
    Case(
        (
            Ratio("W1", "v2_sign_build/hmac", "build", "hmac of the request"),
            Ratio("W2", "v2_parse_verify/hmac", "parse", "hmac of the answer"),
            Ratio("W2s", "v2_both/rsa_sign", "both", "RSA sign"),
        ),
        _v2,
    ),
    Case(
        (
            Ratio("W3", "authorization/rsa_sign", "authorization", "RSA sign"),
            Ratio("W3p", "authorization/wechatpayv3", "authorization", "wechatpayv3 authorization"),
        ),
        _authorization,
    ),
    Case(
        (
            Ratio("W4", "verify/rsa_verify", "verify", "RSA verify"),
            Ratio("W4p", "verify/wechatpayv3", "verify", "wechatpayv3 verify"),
        ),
        _verify,
    ),
    Case((Ratio("W5", "open/rsa_decrypt_x2", "open", "2 RSA decrypts"),), _open),
    Case(
        (Ratio("P7", "crypto/3_sign+verify", "completion's cryptography", "3 RSA signs + verify"),),
        _cryptography,
    ),
    Case(
        (
            Ratio("W6", "whole_query/bare", "query", "bare query"),
            Ratio("W6p", "sign_get_verify/wechatpayv3", "ask", "wechatpayv3 ask"),
        ),
        _query,
    ),
    Case((Ratio("W7", "async_query/bare", "async query", "bare async query"),), _async_query),
    Case(
        (Ratio("W8", "8_threads/bare_8_threads", "8 threads", "8 threads, bare"),),
        _threads,
        slice=THREADED_SLICE,
        calls=THREADS,
    ),
    # Sealed fields; rotation's rates belong below them.
    Case(_sealed("S1", "create", "m", "i"), fields.create, calls=fields.CREATED, slices=4),
    Case(_sealed("S2", "bulk_create", "m", "i"), fields.bulk_create, calls=fields.ROWS, slices=4),
    Case(_sealed("S3", "unread", "i"), fields.unread, calls=fields.PAGE, slices=4),
    Case(_sealed("S4", "read", "m", "i"), fields.read, calls=fields.PAGE, slices=4),
    Case(_sealed("S5", "cold", "m"), fields.cold, calls=fields.PATIENTS, slices=1),
    Case(
        _sealed("S6", "new patients", "m", "i"),
        fields.new_patients,
        calls=fields.ROWS,
        slices=1,
    ),
)
