import os

from django.core.wsgi import get_wsgi_application

from hospital.checks import refuse_unfit

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hospital.settings")
application = get_wsgi_application()
refuse_unfit(web=True)

# Knows models, which exist only now.
from hospital.starting import (  # noqa: E402
    refuse_beyond_lines,
    refuse_unreplayed,
    refuse_without_keys,
)

refuse_beyond_lines()
refuse_without_keys()
refuse_unreplayed()
