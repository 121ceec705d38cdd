"""
Open the index keys in sealing.json and recompute what was indexed with them, and every check value.

    python3 -I index_sealing.py sealing.json
"""

import json
import re
import sys
from unicodedata import normalize

from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

CIPHERS = {1: algorithms.AES256, 2: algorithms.SM4}
DIGESTS = {1: hashes.SHA256, 2: hashes.SM3}
DOTS = str.maketrans(dict.fromkeys("•‧・．･∙⋅", "·"))


def mac(number, key, *parts):
    keyed = hmac.HMAC(key, DIGESTS[number]())
    keyed.update(b"".join(parts))
    return keyed.finalize()


def pack(*parts):
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def opened(suite, key, box, aad):
    opening = Cipher(CIPHERS[suite](key), modes.GCM(box[:12], box[-16:])).decryptor()
    opening.authenticate_additional_data(aad)
    return opening.update(box[12:-16]) + opening.finalize()


def document_number(value):
    return normalize("NFKC", re.sub(r"\s+", "", normalize("NFKC", value)).upper())


def person_name_1(value):
    dotted = normalize("NFKC", value.translate(DOTS)).translate(DOTS)
    return re.sub(r"\s+", " ", normalize("NFKC", dotted.casefold())).strip()


def normalised(value, rule, formerly_private):
    if rule == "person_name/2":
        moved = {0xE815 + place: character for place, character in enumerate(formerly_private)}
        value, rule = value.translate(moved), "person_name/1"
    rules = {"opaque/1": str, "document_number/1": document_number, "person_name/1": person_name_1}
    return rules[rule](value)


with open(sys.argv[1], encoding="utf-8") as vectors:  # noqa: PTH123
    file = json.load(vectors)
epochs, keys = {row["epoch"]: row for row in file["epochs"]}, {}
for row in file["epochs"] + file["data_keys"] + file["index_keys"]:
    number = row["algorithm"] if "algorithm" in row else row["suite"]
    assert mac(number, bytes.fromhex(row["key"]), b"kcv")[:8].hex() == row["check_value"]
for row in file["index_keys"]:
    epoch, numbers = epochs[row["epoch"]], (row["version"], row["algorithm"], row["epoch"])
    aad = pack(b"hfe-ixk", row["label"].encode(), *(one.to_bytes(4, "big") for one in numbers))
    key = opened(epoch["suite"], bytes.fromhex(epoch["key"]), bytes.fromhex(row["wrapped"]), aad)
    keys[row["label"], row["version"]] = row["algorithm"], key, row["normaliser"]
for row in file["indexes"]:
    algorithm, key, rule = keys[row["label"], row["version"]]
    values = [normalised(value, rule, file["formerly_private"]) for value in row["values"]]
    assert values == row["normalised"]
    named = (b"hfe-ix", row["label"].encode(), rule.encode())
    digest = mac(algorithm, key, pack(*named, *(value.encode() for value in values)))
    assert digest.hex()[: row["bits"] // 4] == row["index"]
    print("indexed", algorithm, row["label"], row["index"])
