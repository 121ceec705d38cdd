"""Open what is sealed in sealing.json: python3 -I open_sealing.py sealing.json"""

import json
import sys
from uuid import UUID

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

CIPHERS = {1: algorithms.AES256, 2: algorithms.SM4}


def opened(suite, key, box, *place):
    parts = [part.to_bytes(4, "big") if isinstance(part, int) else part for part in place]
    opening = Cipher(CIPHERS[suite](key), modes.GCM(box[:12], box[-16:])).decryptor()
    opening.authenticate_additional_data(b"".join(len(p).to_bytes(4, "big") + p for p in parts))
    return opening.update(box[12:-16]) + opening.finalize()


with open(sys.argv[1], encoding="utf-8") as vectors:  # noqa: PTH123
    file = json.load(vectors)
root, epochs, keys = bytes.fromhex(file["root_key"]), {}, {}
for row in file["epochs"]:
    place = b"hfe-kek", row["epoch"], row["suite"]
    epochs[row["epoch"]] = row["suite"], opened(1, root, bytes.fromhex(row["wrapped"]), *place)
for row in file["data_keys"]:
    subject, generation = UUID(row["subject"]).bytes, row["generation"]
    place = b"hfe-dek", subject, generation, row["suite"], row["epoch"]
    box = bytes.fromhex(row["wrapped"])
    keys[subject, generation] = row["suite"], opened(*epochs[row["epoch"]], box, *place)
for row in file["values"]:
    sealed, subject = bytes.fromhex(row["sealed"]), UUID(row["subject"]).bytes
    suite, key = keys[subject, int.from_bytes(sealed[4:8], "big")]
    assert sealed[:4] == bytes([0xFE, 1, suite, 1])
    place = b"hfe1", sealed[:8], row["context"].encode(), subject, UUID(row["row"]).bytes
    text, marker, zeros = opened(suite, key, sealed[8:], *place).rpartition(b"\x80")
    assert marker and not zeros.strip(b"\0")  # noqa: PT018
    assert text.decode() == row["text"]
    print("opened", suite, row["context"], text.decode())
