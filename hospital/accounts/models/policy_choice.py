from django.db import models

from hospital.audit.coverage import changes_recorded


@changes_recorded()
class PolicyChoice(models.Model):
    """What the security administrator set a parameter of `hospital.policy` to."""

    key = models.CharField("参数", max_length=48, primary_key=True)
    value = models.PositiveIntegerField("取值")
    set_at = models.DateTimeField("设置时间")

    class Meta:
        verbose_name = verbose_name_plural = "安全策略"

    def __str__(self) -> str:
        return self.key
