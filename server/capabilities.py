"""CapabilitiesService: what this server can do."""

from __future__ import annotations

from importlib.metadata import version

from kohort.v1 import capabilities_pb2, capabilities_pb2_grpc, dataset_pb2, sampling_pb2
from server import convert
from server.context import principal
from server.interceptors import Context
from server.settings import MESSAGE_BYTES, Settings
from server.signing import own_key
from server.store import Store
from server.threads import Threads
from trainers import registry

VERSION = version("kohort-server")
API_VERSION = "v1"
UPLOAD_FORMATS = tuple(v for v in dataset_pb2.UploadFormat.values() if v)
SAMPLE_FORMATS = tuple(v for v in sampling_pb2.SampleFormat.values() if v)


class CapabilitiesService(capabilities_pb2_grpc.CapabilitiesServiceServicer):
    """See capabilities.proto."""

    def __init__(self, settings: Settings, store: Store, threads: Threads) -> None:
        self._settings = settings
        self._store = store
        self._threads = threads
        self._signing_key = own_key(settings)

    async def GetCapabilities(  # noqa: N802
        self, request: capabilities_pb2.GetCapabilitiesRequest, context: Context
    ) -> capabilities_pb2.GetCapabilitiesResponse:
        """Versions, trainers, limits, formats, devices, and who the caller is."""
        from kohort.programs import PROGRAMS

        settings, who = self._settings, principal()
        live = await self._threads.run(self._store.workers.live, settings.lease_seconds)
        held = {worker.slot for worker in live}
        return capabilities_pb2.GetCapabilitiesResponse(
            api_version=API_VERSION,
            server_version=VERSION,
            trainers=[convert.trainer(trainer.info) for trainer in registry.trainers().values()],
            default_trainer=registry.default_trainer(),
            limits=capabilities_pb2.Limits(
                max_message_bytes=MESSAGE_BYTES,
                max_upload_bytes=settings.max_upload_bytes,
                max_rows=settings.max_rows,
                max_columns=settings.max_columns,
                max_units=settings.max_units,
                max_queued_jobs=settings.max_queued_jobs,
                max_jobs_per_principal=settings.max_jobs_per_principal,
                max_bundle_bytes=settings.max_bundle_bytes,
            ),
            upload_formats=UPLOAD_FORMATS,
            sample_formats=SAMPLE_FORMATS,
            devices=[
                capabilities_pb2.Device(name=slot, kind=slot.partition(":")[0], available=slot in held)
                for slot in sorted(held | set(settings.offered()))
            ],
            programs=sorted(PROGRAMS),
            multi_table=False,
            caller=capabilities_pb2.Caller(tenant=who.tenant, roles=sorted(who.roles)),
            signing_key=self._signing_key,
        )
