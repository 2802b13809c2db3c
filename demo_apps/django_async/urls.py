"""The contract's paths, and this project's own."""

from __future__ import annotations

from django.urls import path

from demo_apps.django_app import urls as contract
from demo_apps.django_async import drf_views, transactions, views

urlpatterns = [
    *contract.urlpatterns,
    path("sync/where", views.where),
    path("async/where", views.async_where),
    path("async/gathered", views.gathered),
    path("async/one-by-one", views.one_by_one),
    path("sync/linger", views.linger),
    path("async/linger", views.async_linger),
    path("outcome", views.outcome),
    path("set", views.explicit_settings),
    path("drf/where", drf_views.Where.as_view()),
    path("drf/async", drf_views.AsyncWhere.as_view()),
    path("drf/gathered", drf_views.Gathered.as_view()),
    path("drf/pooled", drf_views.Pooled.as_view()),
    path("drf/throttled", drf_views.Throttled.as_view()),
    path("adrf/where", drf_views.AdrfWhere.as_view()),
    path("transaction/sync", transactions.plain),
    path("transaction/async", transactions.coroutine),
    path("transaction/exempt", transactions.exempt),
    path("transaction/async-with", transactions.async_with),
    path("transaction/in-thread", transactions.in_thread),
]

handler400 = contract.handler400
handler500 = "demo_apps.django_async.views.server_error"
