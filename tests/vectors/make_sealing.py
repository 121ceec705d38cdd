"""
Write sealing.json: run once, and again only to add cases.

Builds every byte by hand, from the published form and with nonces of its own choice, which the
product never takes from anybody. Nothing of the project is imported: what it writes is to be
judged by the project's code, not made by it. Normalised values are written out here, for the
same reason.
"""

import hashlib
import hmac
import json
from pathlib import Path
from uuid import UUID

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hmac import HMAC

AES_256_GCM, SM4_GCM = 1, 2
HMAC_SHA256, HMAC_SM3 = 1, 2
COMMENT = (
    "Sealed values, wrapped keys and blind indexes, as docs/cryptography.md describes them. All in"
    " hex. Every key and nonce is SHA-256 of a word, for anybody to see: of no use for anything"
    " else. 'key' is what unwrapping has to give, to compare half-way."
)
PERSON = UUID("01890000-0000-7000-8000-000000000001")
ACCOUNT = UUID("01890000-0000-7000-8000-000000000002")
TEXTS = {  # name → column, row, text
    "name": ("patient.real_name", PERSON, "张三"),
    "document": ("patient.document_number", PERSON, "11010119900307001X"),
    "empty": ("patient.real_name", PERSON, ""),
    "31 bytes": ("patient.real_name", PERSON, "阿卜杜热合曼买买提江A"),
    "32 bytes": ("patient.real_name", PERSON, "阿卜杜热合曼·买买提江"),
    "33 bytes": ("patient.real_name", PERSON, "阿卜杜热合曼买买提江甲"),
    "rare character": ("patient.real_name", PERSON, "王\U0002b5af"),
    "row of a patient": ("wechat_account.openid", ACCOUNT, "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"),
}
# fmt: off
# What GBK kept at U+E815…U+E864, where Unicode has it now.
FORMERLY_PRIVATE = (
    "⺁𠂇𠂉𠃌⺄㑳㑇⺈⺋龴㖞㘚㘎⺌⺗㥮㤘龵㧏㧟㩳㧐龶龷㭎㱮㳠⺧𡗗龸⺪䁖䅟⺮䌷⺳⺶⺷𢦏䎱䎬⺻䏝䓖䙡䙌龹䜣䜩䝼䞍⻊䥇䥺䥽䦂䦃䦅䦆䦟䦛䦷䦶龺"
    "𤇾䲣䲟䲠䲡䱷䲢䴓䴔䴕䴖䴗䴘䴙䶮龻"
)
# fmt: on
RULES = {  # label → bits, and the rule of its first and of its second version
    "patient.document": (128, "opaque/1", "opaque/1"),
    "patient.name_birth": (64, "person_name/1", "person_name/2"),
    "wechat_account.openid": (128, "opaque/1", "opaque/1"),
    "example.document": (128, "document_number/1", "document_number/1"),
}
INDEXES = [  # label, values as typed, values as digested by its first and by its second version
    ("patient.document", ["citizen", "11010119900307001X"], None, None),
    ("patient.name_birth", ["张三", "1990-03-07"], None, None),
    (
        "patient.name_birth",
        [" 阿依古丽．买买提\u3000", "1990-03-07"],
        ["阿依古丽·买买提", "1990-03-07"],
        ["阿依古丽·买买提", "1990-03-07"],
    ),
    (
        "patient.name_birth",
        ["Ｊｏｈｎ \t Straße", "1990-03-07"],
        ["john strasse", "1990-03-07"],
        ["john strasse", "1990-03-07"],
    ),
    (
        "patient.name_birth",
        ["张\ue863\ue816", "1990-03-07"],
        ["张\ue863\ue816", "1990-03-07"],
        ["张䶮\U00020087", "1990-03-07"],
    ),
    ("wechat_account.openid", ["wx2b029c08a6232582", "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"], None, None),
    (
        "example.document",
        ["１１０１０１ 19900307\u3000001x"],
        ["11010119900307001X"],
        ["11010119900307001X"],
    ),
]


def word(text, size):
    return hashlib.sha256(b"hfe example: " + text.encode()).digest()[:size]


def pack(*parts):
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def u32(number):
    return number.to_bytes(4, "big")


def size_of(suite):
    return 32 if suite == AES_256_GCM else 16


def mac(algorithm, key, data):
    if algorithm == HMAC_SHA256:
        return hmac.digest(key, data, "sha256")
    sm3 = HMAC(key, hashes.SM3())
    sm3.update(data)
    return sm3.finalize()


def encrypted(suite, key, plaintext, aad, about):
    """nonce ‖ ciphertext ‖ tag"""
    nonce = word("nonce of " + about, 12)
    cipher = algorithms.AES256(key) if suite == AES_256_GCM else algorithms.SM4(key)
    encryptor = Cipher(cipher, modes.GCM(nonce)).encryptor()
    encryptor.authenticate_additional_data(aad)
    return nonce + encryptor.update(plaintext) + encryptor.finalize() + encryptor.tag


def wrapped(about, key, *, algorithm, by, suite, aad):
    return {
        "key": key.hex(),
        "wrapped": encrypted(suite, by, key, aad, about).hex(),
        "check_value": mac(algorithm, key, b"kcv")[:8].hex(),
    }


def vectors():
    root = word("root key", 32)
    kek = {1: (AES_256_GCM, word("epoch 1", 32)), 2: (SM4_GCM, word("epoch 2", 16))}
    epochs = [
        {"epoch": number, "suite": suite, "provider": "file"}
        | wrapped(
            f"epoch {number}",
            key,
            algorithm=suite,
            by=root,
            suite=AES_256_GCM,  # the file provider's own, whatever the epoch is for
            aad=pack(b"hfe-kek", u32(number), u32(suite)),
        )
        for number, (suite, key) in kek.items()
    ]
    data = {1: (AES_256_GCM, word("data 1", 32)), 2: (SM4_GCM, word("data 2", 16))}
    data_keys = [
        {"subject": str(PERSON), "generation": number, "suite": suite, "epoch": number}
        | wrapped(
            f"data {number}",
            key,
            algorithm=suite,
            by=kek[number][1],
            suite=kek[number][0],
            aad=pack(b"hfe-dek", PERSON.bytes, u32(number), u32(suite), u32(number)),
        )
        for number, (suite, key) in data.items()
    ]
    values = [
        {
            "name": name,
            "text": text,
            "context": context,
            "subject": str(PERSON),
            "row": str(row),
            "generation": number,
            "sealed": sealed(
                text, context, row, suite=suite, key=key, generation=number, about=name
            ).hex(),
        }
        for number, (suite, key) in data.items()
        for name, (context, row, text) in TEXTS.items()
    ]
    index = {
        (label, version): word(f"index {label} {version}", 32)
        for label in RULES
        for version in (HMAC_SHA256, HMAC_SM3)
    }
    index_keys = [
        {
            "label": label,
            "version": version,
            "algorithm": version,
            "normaliser": RULES[label][version],
            "epoch": version,
        }
        | wrapped(
            f"index {label} {version}",
            key,
            algorithm=version,
            by=kek[version][1],
            suite=kek[version][0],
            aad=pack(b"hfe-ixk", label.encode(), u32(version), u32(version), u32(version)),
        )
        for (label, version), key in index.items()
    ]
    indexes = [
        {
            "label": label,
            "version": version,
            "bits": RULES[label][0],
            "values": typed,
            "normalised": each[version - 1] or typed,
            "index": mac(
                version,
                index[label, version],
                pack(
                    b"hfe-ix",
                    label.encode(),
                    RULES[label][version].encode(),
                    *(value.encode() for value in each[version - 1] or typed),
                ),
            ).hex()[: RULES[label][0] // 4],
        }
        for version in (HMAC_SHA256, HMAC_SM3)
        for label, typed, *each in INDEXES
    ]
    return {
        "comment": COMMENT,
        "root_key": root.hex(),
        "epochs": epochs,
        "data_keys": data_keys,
        "values": values,
        "index_keys": index_keys,
        "formerly_private": FORMERLY_PRIVATE,
        "indexes": indexes,
    }


def sealed(text, context, row, *, suite, key, generation, about):
    header = bytes([0xFE, 0x01, suite, 0x01]) + u32(generation)
    padded = text.encode() + b"\x80"
    padded += bytes(-len(padded) % 32)
    aad = pack(b"hfe1", header, context.encode(), PERSON.bytes, row.bytes)
    return header + encrypted(suite, key, padded, aad, f"{about} {generation}")


if __name__ == "__main__":
    text = json.dumps(vectors(), ensure_ascii=False, indent=2) + "\n"
    Path(__file__).with_name("sealing.json").write_text(text)
