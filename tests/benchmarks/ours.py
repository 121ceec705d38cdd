"""Our client: its parts, and the whole of it as the worker uses it."""

import time
from collections.abc import Callable
from typing import Never

from faceauth.wechat import (
    AsyncIdentityClient,
    Credential,
    Decryptor,
    Identity,
    IdentityClient,
    LocalSigner,
    Party,
    Verifier,
    steps,
    v2,
)
from tests.benchmarks.scene import PERSON, Scene, Talk

NOWHERE = "http://127.0.0.1:9"


def v2_build(talk: Talk) -> Callable[[], None]:
    def act() -> None:
        assert v2.build(talk.fields, talk.key).startswith(b"<xml>")

    return act


def v2_parse(talk: Talk) -> Callable[[], None]:
    def act() -> None:
        assert v2.parse(talk.body, talk.key)["authinfo"]

    return act


class Parts:
    def __init__(self, scene: Scene) -> None:
        world = scene.simulator.world
        pem = world.merchant_key.encode()
        self.scene = scene
        self.party = Party(world.appid, world.mch_id)
        signer = LocalSigner.from_pem(pem, serial=world.merchant_serial)
        self.credential = Credential(world.mch_id, signer)
        self.verifier = Verifier(public_keys={world.wechat_public_key_id: scene.wechat_public_pem})
        self.decryptor = Decryptor.from_pem(pem)

    def authorization(self) -> None:
        made = self.credential.authorize("GET", self.scene.target, timestamp=int(time.time()))
        assert steps.run(made, _asks_nobody).startswith("WECHATPAY2")

    def verify(self) -> None:
        self.verifier.verify(self.scene.headers, self.scene.body, now=time.time())


class Ours(Parts):
    """The client for threads."""

    def __init__(self, scene: Scene, base_url: str = NOWHERE) -> None:
        super().__init__(scene)
        self.client = IdentityClient(
            self.party,
            credential=self.credential,
            verifier=self.verifier,
            decryptor=self.decryptor,
            base_url=base_url,
        )

    def open(self) -> None:
        _expect(self.client.open(self.scene.body))

    def ask(self) -> None:
        assert self.client.ask(self.scene.face_sid).body == self.scene.body

    def query(self) -> None:
        _expect(self.client.open(self.client.ask(self.scene.face_sid).body))


class AsyncOurs(Parts):
    """The client for tasks."""

    def __init__(self, scene: Scene, base_url: str) -> None:
        super().__init__(scene)
        self.client = AsyncIdentityClient(
            self.party,
            credential=self.credential,
            verifier=self.verifier,
            decryptor=self.decryptor,
            base_url=base_url,
        )

    async def query(self) -> None:
        answer = await self.client.ask(self.scene.face_sid)
        _expect(self.client.open(answer.body))


def _expect(who: Identity) -> None:
    assert (who.real_name, who.document_number) == (PERSON.name, PERSON.document_number)


def _asks_nobody(ask: steps.Ask) -> Never:
    raise AssertionError(ask)
