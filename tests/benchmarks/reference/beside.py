"""The bare views, and behind them the project's own, which its middleware knows by name."""

from hospital.urls import urlpatterns as project
from tests.benchmarks.reference.urls import urlpatterns as bare

urlpatterns = [*bare, *project]
