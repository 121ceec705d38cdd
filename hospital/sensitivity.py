"""How sensitive a thing is: the levels of GB/T 39725-2020 that this system knows."""

from django.db.models import IntegerChoices


class Label(IntegerChoices):
    """From what staff may know to what names a person."""

    INTERNAL = 2, "内部"
    SENSITIVE = 3, "敏感"
    IDENTIFYING = 4, "直接标识"
