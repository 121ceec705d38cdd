"""
Open everything in sealing.json without a line of the project: from docs/cryptography.md alone.

    python3 -I open_sealing.py sealing.json

Needs `cryptography`, for the ciphers. Root key → epochs → data keys → texts, and index keys →
blind indexes. Prints what it read; ends with 0 only if everything was as the file says.
"""

import json
import re
import sys
from unicodedata import normalize
from uuid import UUID

from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

CIPHERS = {1: algorithms.AES256, 2: algorithms.SM4}
DIGESTS = {1: hashes.SHA256, 2: hashes.SM3}
DOTS = str.maketrans(dict.fromkeys("•‧・．･∙⋅", "·"))


def pack(*parts):
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def mac(number, key, data):
    keyed = hmac.HMAC(key, DIGESTS[number]())
    keyed.update(data)
    return keyed.finalize()


def decrypted(suite, key, box, aad):
    nonce, ciphertext, tag = box[:12], box[12:-16], box[-16:]
    decryptor = Cipher(CIPHERS[suite](key), modes.GCM(nonce, tag)).decryptor()
    decryptor.authenticate_additional_data(aad)
    return decryptor.update(ciphertext) + decryptor.finalize()


def unwrapped(row, *, by, suite, mac_number, aad):
    key = decrypted(suite, by, bytes.fromhex(row["wrapped"]), aad)
    assert mac(mac_number, key, b"kcv")[:8].hex() == row["check_value"]
    assert key.hex() == row["key"]
    return key


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


def u32(*numbers):
    return [number.to_bytes(4, "big") for number in numbers]


def main(file):
    root, epochs, data_keys, index_keys = bytes.fromhex(file["root_key"]), {}, {}, {}
    for row in file["epochs"]:
        number, suite = row["epoch"], row["suite"]
        aad = pack(b"hfe-kek", *u32(number, suite))
        epochs[number] = suite, unwrapped(row, by=root, suite=1, mac_number=suite, aad=aad)
    for row in file["data_keys"]:
        (wrapping, kek), suite = epochs[row["epoch"]], row["suite"]
        subject, numbers = UUID(row["subject"]).bytes, u32(row["generation"], suite, row["epoch"])
        aad = pack(b"hfe-dek", subject, *numbers)
        key = unwrapped(row, by=kek, suite=wrapping, mac_number=suite, aad=aad)
        data_keys[subject, row["generation"]] = suite, key
    for row in file["values"]:
        header, box = bytes.fromhex(row["sealed"][:16]), bytes.fromhex(row["sealed"][16:])
        magic, suite, flags, generation = header[:2], header[2], header[3], header[4:]
        assert (magic, flags) == (b"\xfe\x01", 1)
        subject = UUID(row["subject"]).bytes
        key_suite, key = data_keys[subject, int.from_bytes(generation, "big")]
        assert suite == key_suite
        aad = pack(b"hfe1", header, row["context"].encode(), subject, UUID(row["row"]).bytes)
        padded = decrypted(suite, key, box, aad)
        text, marker, zeros = padded.rpartition(b"\x80")
        assert marker and not zeros.strip(b"\0") and len(padded) % 32 == 0  # noqa: PT018
        assert text.decode() == row["text"]
        print("opened", suite, row["context"], text.decode())
    for row in file["index_keys"]:
        (wrapping, kek), algorithm = epochs[row["epoch"]], row["algorithm"]
        numbers = u32(row["version"], algorithm, row["epoch"])
        aad = pack(b"hfe-ixk", row["label"].encode(), *numbers)
        key = unwrapped(row, by=kek, suite=wrapping, mac_number=algorithm, aad=aad)
        index_keys[row["label"], row["version"]] = algorithm, key, row["normaliser"]
    for row in file["indexes"]:
        algorithm, key, rule = index_keys[row["label"], row["version"]]
        values = [normalised(value, rule, file["formerly_private"]) for value in row["values"]]
        assert values == row["normalised"]
        named = (b"hfe-ix", row["label"].encode(), rule.encode())
        digest = mac(algorithm, key, pack(*named, *(value.encode() for value in values)))
        assert digest.hex()[: row["bits"] // 4] == row["index"]
        print("indexed", algorithm, row["label"], row["index"])


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as vectors:  # noqa: PTH123
        main(json.load(vectors))
