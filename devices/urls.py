from django.urls import path

from devices import views

urlpatterns = [
    path("terminals/activation/", views.ActivationView.as_view(), name="activation"),
]
