"""`make released`: write down the last migration of each of our apps."""

import django
from django.db.migrations.loader import MigrationLoader

from tests.packaging.previous import RELEASED


def main() -> None:
    django.setup()
    loader = MigrationLoader(None)
    ours = {app for app, migration in loader.disk_migrations if _is_ours(loader, app, migration)}
    leaves = sorted(one for one in loader.graph.leaf_nodes() if one[0] in ours)
    head = [line for line in RELEASED.read_text().splitlines() if line.startswith("#")]
    RELEASED.write_text("\n".join([*head, *(f"{app} {name}" for app, name in leaves)]) + "\n")


def _is_ours(loader: MigrationLoader, app: str, name: str) -> bool:
    module = type(loader.disk_migrations[app, name]).__module__
    return module.startswith(("hospital.", "devices.", "faceauth."))


if __name__ == "__main__":
    main()
