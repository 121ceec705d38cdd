"""What the two commands that open a backup have in common: their words, and their refusals."""

from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from hospital.backup import identities, opening, receipts, restoring
from hospital.backup.engines import Trouble
from hospital.backup.envelopes import Damaged, WrongIdentity
from hospital.backup.restoring import Source


def add(parser: ArgumentParser) -> None:
    parser.add_argument(
        "receipt", type=Path, metavar="RECEIPT", help="备份的回执（….receipt.json）"
    )
    parser.add_argument(
        "--identity",
        type=Path,
        action="append",
        required=True,
        metavar="FILE",
        help="私钥文件，给出两次：两组各一把",
    )
    parser.add_argument(
        "--keys-from",
        type=Path,
        metavar="RECEIPT",
        help="密钥文件已到期的，取自这份更晚的备份：其间没有更换过数据密钥和索引密钥才可用",
    )


def source(options: Mapping[str, Any]) -> Source:
    keys = [identities.load(path) for path in options["identity"]]
    return restoring.source(options["receipt"], keys, keys_from=options["keys_from"])


@contextmanager
def answered() -> Iterator[None]:
    """:raises CommandError: for whatever keeps a backup from being put back, in Chinese"""
    try:
        yield
    except receipts.Forged:
        raise CommandError("这不是本系统的回执，或 AUDIT_MAC_KEY 不是备份时的；未作改动") from None
    except Damaged:
        raise CommandError("备份文件残缺或被改动，现有数据库没有改动") from None
    except WrongIdentity:
        raise CommandError("私钥打不开这份备份，现有数据库没有改动") from None
    except (identities.Unusable, opening.NotTwo, restoring.Refused) as exc:
        raise CommandError(f"{exc}；未作改动") from None
    except Trouble as exc:
        raise CommandError(f"{exc}；没有启用，处理后再次运行同一命令") from None
    except OSError as exc:
        raise CommandError(f"{exc.filename or '文件'} 不能读写：{exc.strerror}") from None


def described(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield what came of it, in words."""
    yield f"载入 {found['rows']:,} 行，与备份时逐表一致；打开封存的姓名 {found['opened']} 个"
    yield f"重做其后的删除 {found['erasures']:,} 项"
    kinds = "、".join(f"{kind} {count}" for kind, count in sorted(found["kinds"].items()))
    yield f"留痕核验{'有异常：' + kinds if kinds else '无异常'}"
