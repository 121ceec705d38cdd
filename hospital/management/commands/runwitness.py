"""`python -m hospital.audit.witness`, for who is at `manage.py` already."""

import argparse
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from hospital.audit.witness import __main__ as witness


class Command(BaseCommand):
    help = "见证留痕的检查点（不需要数据库；另一台主机上请直接用 python -m hospital.audit.witness）"
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        witness.parser(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        sys.exit(witness.serve(argparse.Namespace(**options)))
