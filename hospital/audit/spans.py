"""How long, in words."""


def in_words(seconds: float) -> str:
    """Return a time span in Chinese, in its largest whole unit."""
    for unit, length in (("天", 86_400), ("小时", 3_600), ("分钟", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{int(seconds)} 秒"
