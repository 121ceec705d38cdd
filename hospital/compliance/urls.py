"""Of staff, under the admin's own address: its doors (network, second factor) are for these too."""

from django.contrib import admin
from django.urls import path

from hospital.compliance.views.matrix import Collect, Matrix

app_name = "compliance"
urlpatterns = [
    path("", admin.site.admin_view(Matrix.as_view()), name="matrix"),
    path("collect/", admin.site.admin_view(Collect.as_view()), name="collect"),
]
