"""`python -m tests.access` prints the table that `docs/access.md` is."""

import logging
import os

import django
from django.test.utils import setup_databases, setup_test_environment, teardown_databases


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()
    from django.conf import settings  # noqa: PLC0415
    from django.db import connection, transaction  # noqa: PLC0415

    from hospital.audit import guards  # noqa: PLC0415
    from hospital.crypto.providers.file import FileProvider  # noqa: PLC0415
    from tests.access import table, world  # noqa: PLC0415

    logging.disable()
    setup_test_environment()
    made = setup_databases(verbosity=0, interactive=False)
    guards.remove(connection)  # what is found there was made without an event
    FileProvider.create(settings.KEY_FILE)
    around = transaction.atomic()
    around._from_testcase = True  # pages begin durable transactions of their own
    with around:
        print(table.table(world.build()), end="")
    teardown_databases(made, verbosity=0)


if __name__ == "__main__":
    main()
