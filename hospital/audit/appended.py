"""What is written once: models whose rows are only ever inserted, as far as the ORM is asked."""

from typing import Any, ClassVar, NoReturn, TypeVar

from django.db import models

M_co = TypeVar("M_co", bound=models.Model, covariant=True)


class AppendOnly(TypeError):
    """The trail is written once; nothing changes or removes a record."""


class AppendedQuerySet(models.QuerySet[M_co]):
    def update(self, **_kwargs: Any) -> NoReturn:
        raise AppendOnly

    def delete(self) -> NoReturn:
        raise AppendOnly


class Appended(models.Model):
    """A row nobody changes. The database refuses it as well: `hospital.audit.guards`."""

    objects: ClassVar[models.Manager[Any]] = AppendedQuerySet.as_manager()

    class Meta:
        abstract = True

    def save(self, *_args: Any, **_kwargs: Any) -> None:
        """
        Insert it.

        :raises AppendOnly: it is there already
        """
        if not self._state.adding:
            raise AppendOnly
        super().save(force_insert=True)

    def delete(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise AppendOnly
