"""OpenTelemetry traces of the API, where its SDK and FastAPI instrumentation are installed and configured."""

from __future__ import annotations

import importlib
import os

from fastapi import FastAPI

from hanse.errors import Fault


def traced(app: FastAPI) -> FastAPI:
    """``app``, traced if ``OTEL_EXPORTER_OTLP_ENDPOINT`` is set; keys are never part of a trace.

    Raises `Fault` ``serve.traces`` if traces are asked for and the packages are missing.
    """
    if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        return app
    try:
        trace = importlib.import_module("opentelemetry.trace")
        sdk = importlib.import_module("opentelemetry.sdk.trace")
        export = importlib.import_module("opentelemetry.sdk.trace.export")
        otlp = importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        fastapi = importlib.import_module("opentelemetry.instrumentation.fastapi")
    except ImportError as error:
        raise Fault("serve.traces", "traces are asked for and OpenTelemetry is not installed",
                    remedy="pip install 'hanse[traces]', or unset its endpoint") from error  # fmt: skip
    provider = sdk.TracerProvider()
    provider.add_span_processor(export.BatchSpanProcessor(otlp.OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    fastapi.FastAPIInstrumentor.instrument_app(app, excluded_urls="healthz,metrics")
    return app
