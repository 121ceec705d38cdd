"""How far the trail was handed to somebody else's log server."""

from django.db import models


class Forwarded(models.Model):
    """
    One receiver: the leaves before `sent` were written to it, those before `acknowledged` read.

    Retention: for ever, one row a receiver.
    """

    sink = models.CharField("接收方", max_length=64, primary_key=True)
    sent = models.BigIntegerField("已发送", default=0)
    acknowledged = models.BigIntegerField("已确认", default=0)
    at = models.DateTimeField("时间")

    class Meta:
        verbose_name = verbose_name_plural = "留痕外发"

    def __str__(self) -> str:
        return self.sink
