"""The composition root: builds every part of the server, starts it, and stops it without losing work."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Callable
from importlib.util import find_spec
from wsgiref.simple_server import WSGIServer

import grpc
import structlog
from grpc_health.v1 import health_pb2_grpc

from kohort.sessions import check_installation
from kohort.v1 import (
    capabilities_pb2_grpc,
    dataset_pb2_grpc,
    evaluation_pb2_grpc,
    sampling_pb2_grpc,
    training_pb2_grpc,
)
from server.background import Background
from server.blobs import BlobStore, open_blobs
from server.bundles import Bundles
from server.capabilities import VERSION, CapabilitiesService
from server.cohorts import Cohorts
from server.datasets import DatasetService
from server.dispatcher import RAY, dispatcher_config
from server.evaluation import EvaluationService
from server.gauges import Gauges
from server.health import Health
from server.host import Host
from server.janitor import Janitor
from server.layout import DataDir
from server.lifecycle import Lifecycle
from server.lineage import settle_key
from server.metrics import Metrics
from server.modelcache import ModelCache
from server.observer import Observer
from server.reports import Reports
from server.sampling import SamplingService
from server.schemas import Schemas
from server.settings import Settings
from server.signing import ensure_signing_key, trusted_keys
from server.spool import SpoolFolder
from server.store import Store
from server.supervisor import Supervisor
from server.threads import Threads
from server.tls import Certificate
from server.tracing import Tracing, open_tracing
from server.training import TrainingService
from server.transport import add_reflection, open_server
from server.watch import Watch
from server.worker import worker_config
from trainers import registry

_STORE_THREADS = 8
_STORE_PATIENCE_SECONDS = 20.0
"""Shorter than clients usually wait: a store that hangs is told, not waited for."""
_SPOOL_THREADS = 4
_PARSE_THREADS = 2
_LISTING_SECONDS = 600.0
_log = structlog.get_logger(log="server")


class StartError(Exception):
    """The server cannot start; the text says why, for the operator."""


class Server:
    """One server. `start`, then `drain` or `stop`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.port = 0
        """The gRPC port, once started."""
        self.metrics_port = 0
        """The metrics port, once started; 0 where none is served."""
        self.lifecycle = Lifecycle()
        kept = (RAY,) if settings.executor == "ray" else settings.slots()
        self.metrics = Metrics(list(registry.trainers()), VERSION, kept)
        self.metrics.queue_limit.set(settings.max_queued_jobs)
        self._closing = contextlib.AsyncExitStack()
        self._background = Background()

    async def start(self) -> None:
        """Binds the ports, opens the stores, starts workers, serves.

        Raises:
            StartError: a port is taken, a file is missing, the installation is broken.
            Problem: the store does not answer.
        """
        settings = self.settings
        try:
            check_installation()
        except RuntimeError as error:
            raise StartError(str(error)) from error
        async with contextlib.AsyncExitStack() as closing:
            self._certificate = self._read_certificate()
            self._tracing = self._open_tracing(closing)
            self._server = self._build()
            closing.push_async_callback(self._server.stop, 0)
            self.port = self._bind()
            self._serve_metrics(closing)
            folders = self._prepare()
            blobs = self._open_blobs(folders)
            store = self._open_store(closing)
            await self.spool_threads.run(store.migrate)
            await self._settle_key(folders, store)
            await self.spool_threads.run(blobs.check, write=True)
            closing.push_async_callback(self._background.cancel)
            self._add_services(store, blobs, folders)
            self._start_workers(closing)
            await self.health.check()
            await self._server.start()
            self._tell_address()
            self._closing = closing.pop_all()
        _log.info("serving", host=settings.host, port=self.port, metrics_port=self.metrics_port, tls=self.tls)

    def _prepare(self) -> DataDir:
        folders = DataDir(self.settings.data_dir.absolute(), self.settings.patient_key_file.absolute())
        try:
            folders.prepare()
        except OSError as error:
            raise StartError(f"data_dir cannot be used: {error.strerror}") from error
        try:
            ensure_signing_key(self.settings.signing_key_file)
            trusted_keys(self.settings)
        except (OSError, ValueError) as error:
            raise StartError(f"signing_key_file or trusted_keys_file: {error}") from error
        return folders

    def _open_blobs(self, folders: DataDir) -> BlobStore:
        try:
            return open_blobs(self.settings.blob_place, folders.blobs)
        except ValueError as error:
            raise StartError(str(error)) from error

    async def _settle_key(self, folders: DataDir, store: Store) -> None:
        try:
            await self.spool_threads.run(settle_key, folders.patient_key, store.deployment, make=True)
        except ValueError as error:
            raise StartError(str(error)) from error

    def _tell_address(self) -> None:
        target = self.settings.address_file
        if target is None:
            return
        draft = target.with_name(target.name + ".new")
        try:
            draft.write_text(f"{self.settings.host}:{self.port}\n", encoding="utf-8")
            draft.replace(target)
        except OSError as error:
            raise StartError(f"address_file cannot be written: {error.strerror}") from error

    @property
    def tls(self) -> bool:
        """Whether connections are encrypted."""
        return self._certificate is not None

    async def drain(self) -> None:
        """Stops gracefully: nothing new, watchers end, samples finish or end resumable, jobs are kept."""
        settings = self.settings
        _log.info("draining")
        self.lifecycle.draining.set()
        await self.health.shut_down()
        await asyncio.sleep(settings.drain_delay_seconds)
        self.lifecycle.ending.set()
        grace = settings.drain_grace_seconds
        stopping = asyncio.create_task(self._server.stop(grace))
        done, _ = await asyncio.wait([stopping], timeout=grace * 0.8)
        if not done:
            self.lifecycle.closing.set()
        await stopping
        await self._closing.aclose()
        _log.info("stopped")

    async def stop(self) -> None:
        """Stops at once."""
        self.lifecycle.draining.set()
        self.lifecycle.ending.set()
        self.lifecycle.closing.set()
        await self._closing.aclose()

    def _read_certificate(self) -> Certificate | None:
        if not self.settings.tls_certificate:
            return None
        try:
            certificate = Certificate(self.settings)
        except (OSError, ValueError) as error:
            raise StartError(f"TLS: {error}") from error
        return certificate

    def _open_tracing(self, closing: contextlib.AsyncExitStack) -> Tracing:
        try:
            tracing = open_tracing(self.settings.tracing, "kohort", uuid.uuid4().hex)
        except (OSError, ValueError) as error:
            raise StartError(f"traces: {error}") from error
        closing.push_async_callback(_in_thread, tracing.close)
        return tracing

    def _build(self) -> grpc.aio.Server:
        try:
            return open_server(self.settings, self._tracing, self.lifecycle, self.metrics)
        except (OSError, ValueError) as error:
            raise StartError(f"identities: {error}") from error

    def _bind(self) -> int:
        settings = self.settings
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        address = f"{host}:{settings.port}"
        try:
            if self._certificate:
                return self._server.add_secure_port(address, self._certificate.credentials())
            return self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise StartError(f"cannot listen on {address}: the port is taken or not allowed") from error

    def _serve_metrics(self, closing: contextlib.AsyncExitStack) -> None:
        settings = self.settings
        if settings.metrics_port < 0:
            return
        try:
            server, self.metrics_port = self.metrics.serve(settings.metrics_host, settings.metrics_port)
        except OSError as error:
            where = f"{settings.metrics_host}:{settings.metrics_port}"
            raise StartError(f"cannot serve metrics on {where}: the port is taken or not allowed") from error
        closing.callback(_shut_down, server)

    def _open_store(self, closing: contextlib.AsyncExitStack) -> Store:
        settings = self.settings
        self.threads = Threads("store", _STORE_THREADS, _STORE_PATIENCE_SECONDS, self.metrics.store_called)
        self.spool_threads = Threads("spool", _SPOOL_THREADS)
        self.parse_threads = Threads("parse", _PARSE_THREADS)
        self.sampling_threads = Threads("sample", settings.sample_threads)
        store = Store(
            settings.database,
            max_queued_jobs=settings.max_queued_jobs,
            max_jobs_per_principal=settings.max_jobs_per_principal,
            max_running_per_principal=settings.max_running_per_principal,
            max_attempts=settings.max_attempts,
            max_evaluations_per_day=settings.max_evaluations_per_day,
            request_window_s=settings.request_id_ttl_seconds,
            # The sweeps and publications of the spool threads need connections too.
            pool_size=_STORE_THREADS + _SPOOL_THREADS,
        )
        closing.callback(store.close)
        for threads in (self.threads, self.spool_threads, self.parse_threads, self.sampling_threads):
            # Not on the event loop: a second signal must still be heard.
            closing.push_async_callback(_in_thread, threads.close)
        return store

    def _add_services(self, store: Store, blobs: BlobStore, folders: DataDir) -> None:
        settings, server, threads = self.settings, self._server, self.threads
        watch = Watch(store, threads, self.lifecycle, settings.poll_seconds)
        spool = SpoolFolder(folders.root / "spool")
        schemas = Schemas(settings, blobs, spool, self.parse_threads)
        bundles = Bundles(settings, store, blobs, spool, self.spool_threads, self.sampling_threads)
        cache = ModelCache(bundles.load, self.sampling_threads, settings.cached_models, self.metrics)
        cohorts = Cohorts(
            store,
            blobs,
            folders,
            spool,
            self.spool_threads,
            self.sampling_threads,
            self.metrics,
            settings.min_patients_per_value,
        )
        self.health = Health(settings, store, blobs, threads, self.metrics)
        capabilities_pb2_grpc.add_CapabilitiesServiceServicer_to_server(
            CapabilitiesService(settings, store, threads), server
        )
        dataset_pb2_grpc.add_DatasetServiceServicer_to_server(
            DatasetService(
                settings, store, blobs, folders, spool, threads, self.spool_threads, schemas, self.metrics
            ),
            server,
        )
        training_pb2_grpc.add_TrainingServiceServicer_to_server(
            TrainingService(settings, store, threads, watch, schemas), server
        )
        evaluation_pb2_grpc.add_EvaluationServiceServicer_to_server(
            EvaluationService(settings, store, threads, watch, Reports(store, blobs)), server
        )
        sampling_pb2_grpc.add_SamplingServiceServicer_to_server(
            SamplingService(
                settings,
                store,
                threads,
                self.sampling_threads,
                cache,
                bundles,
                cohorts,
                self.lifecycle,
                self.metrics,
            ),
            server,
        )
        health_pb2_grpc.add_HealthServicer_to_server(self.health.servicer, server)
        if settings.reflection:
            add_reflection(server)
        self._background.run(watch.run())
        self._background.run(self.health.run())
        self._background.run(Observer(store, threads, self.metrics, settings.poll_seconds).run())
        # A bucket is listed for money.
        every = _LISTING_SECONDS if settings.blob_url else 0.0
        janitor = Janitor(store, blobs, folders, self.spool_threads, self._tracing, blobs_every_s=every)
        self._background.run(janitor.run())

    def _start_workers(self, closing: contextlib.AsyncExitStack) -> None:
        settings = self.settings
        if settings.executor == "ray" and find_spec("ray") is None:
            raise StartError("executor ray needs Ray: pip install 'kohort-server[ray]'")
        configs = [worker_config(settings, slot) for slot in settings.slots()]
        dispatchers = [dispatcher_config(settings)] if settings.executor == "ray" else []
        grace = settings.cancel_grace_seconds + settings.terminate_grace_seconds
        self._supervisor = Supervisor([*configs, *dispatchers], stop_s=grace + 5)
        self._supervisor.start()
        closing.push_async_callback(_in_thread, self._supervisor.stop)
        host = Host(self.metrics.host, settings.data_dir, "server")
        host.start()
        closing.push_async_callback(_in_thread, host.stop)
        gauges = Gauges(self.metrics, self._certificate, self._supervisor, settings.poll_seconds)
        self._background.run(gauges.run())


def _shut_down(server: WSGIServer) -> None:
    server.shutdown()
    server.server_close()


async def _in_thread(work: Callable[[], None]) -> None:
    await asyncio.to_thread(work)
