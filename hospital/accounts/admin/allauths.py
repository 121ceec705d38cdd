"""The pages allauth would add are nobody's; ours are in `hospital.accounts.views.factors`."""

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib import admin

admin.site.unregister(EmailAddress)
admin.site.unregister(Authenticator)
