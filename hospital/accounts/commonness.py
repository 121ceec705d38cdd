"""Passwords everybody thinks of, however they are dressed up. Nothing is asked of the network."""

import re
from typing import Final

from django.contrib.auth.password_validation import CommonPasswordValidator
from django.core.exceptions import ValidationError
from django.utils.functional import cached_property

from hospital.accounts.models import Staff

# What Django's list of 20 000, made abroad, does not have.
_HERE: Final = frozenset(
    (
        "admin", "administrator", "changeme", "denglu", "guanli", "guanliyuan", "hospital",
        "huanzhe", "hushi", "jiandang", "jianding", "mima", "qwer", "test", "user", "weixin",
        "wechat", "welcome", "woaini", "xitong", "yisheng", "yiyuan", "zhongguo",
    )
)  # fmt: skip
_DRESSED: Final = str.maketrans("@4831!0$57", "aabeiiosst")
# What a finger does on a keyboard, with shift or without.
_UNSHIFTED: Final = str.maketrans("!@#$%^&*()", "1234567890")
_WALKS: Final = (
    "abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p", "qazwsxedcrfvtgbyhnujmikolp",
    "q1w2e3r4t5y6u7i8o9p0", "zaq1xsw2cde3vfr4bgt5nhy6mju7",
)  # fmt: skip
_STEP: Final = 4  # characters that make a walk
_PHRASE: Final = 3  # different words, though each is common, that nobody thinks of together
_LEAST: Final = 6  # different characters that have to be left without words and walks


class NotCommon(CommonPasswordValidator):
    def validate(self, password: str, user: Staff | None = None) -> None:
        plain = password.casefold()
        stem = re.sub(r"^[^a-z]+|[^a-z]+$", "", plain)
        words = {plain, stem, stem.translate(_DRESSED)}
        if words & self._known or len(_left(self._without_words(plain))) < _LEAST:
            raise ValidationError(f"{self.get_help_text()}。", code="password_too_common")

    def _without_words(self, plain: str) -> str:
        rest = plain
        for read in (plain, plain.translate(_DRESSED)):  # character by character the same length
            words = [run for run in re.finditer("[a-z]{3,}", read) if self._is_word(run[0])]
            if len({run[0] for run in words} - _HERE) >= _PHRASE:
                continue
            for run in words:
                rest = rest[: run.start()] + " " * len(run[0]) + rest[run.end() :]
        return rest

    def _is_word(self, letters: str) -> bool:
        once = re.sub(r"^(.+?)\1+$", r"\1", letters)
        return bool({letters, once} & self._known)

    @cached_property
    def _known(self) -> frozenset[str]:
        return _HERE | self.passwords

    def get_help_text(self) -> str:
        return "密码不能是常见的词、键盘上相邻的键或重复的字符"


def _left(plain: str) -> set[str]:
    """Return the characters that are in no walk over the keyboard."""
    left = plain.translate(_UNSHIFTED)
    for walk in _WALKS:
        for way in (walk, walk[::-1]):
            for length in range(len(way), _STEP - 1, -1):
                for begin in range(len(way) - length + 1):
                    left = left.replace(way[begin : begin + length], " ")
    return {*left} - {" "}
