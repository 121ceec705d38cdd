from django.urls import path

from devices import views

urlpatterns = [
    path("terminals/activation/", views.ActivationView.as_view(), name="activation"),
    path("terminals/keys/", views.TerminalKeysView.as_view(), name="keys"),
    path("terminals/keys/<slug:key_id>/", views.TerminalKeyView.as_view(), name="key"),
]
