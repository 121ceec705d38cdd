from allauth.account.apps import AccountConfig


class Unguarded(AccountConfig):
    """allauth's accounts, whose tables are ours too, without the middleware they insist on."""

    def ready(self) -> None:
        pass
