from django.urls import path

from hospital.accounts.views.factors import (
    CodesView,
    EnrolView,
    FactorsView,
    KeyView,
    RemoveView,
    TotpView,
)
from hospital.accounts.views.signing_in import SecondFactorView

app_name = "account"
urlpatterns = [
    path("second-factor/", SecondFactorView.as_view(), name="second-factor"),
    path("factors/", FactorsView.as_view(), name="factors"),
    path("factors/enrol/", EnrolView.as_view(), name="enrol"),
    path("factors/totp/", TotpView.as_view(), name="totp"),
    path("factors/key/", KeyView.as_view(), name="key"),
    path("factors/codes/", CodesView.as_view(), name="codes"),
    path("factors/<int:pk>/remove/", RemoveView.as_view(), name="remove"),
]
