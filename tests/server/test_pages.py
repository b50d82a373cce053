"""Pages of lists, whose items may be large."""

from __future__ import annotations

from google.protobuf.wrappers_pb2 import BytesValue

from kohort.v1 import dataset_pb2
from server import pages
from server.pages import fill
from server.records import Page
from tests.server.conftest import Start


def _read(sizes: list[int], after: int = 0) -> object:
    """Records are indices; `next` is where to go on."""

    def read(size: int) -> Page[int]:
        items = tuple(range(after, min(after + size, len(sizes))))
        end = after + len(items)
        return Page(items, end if end < len(sizes) else None)

    return read


def test_a_page_of_large_items_is_shorter_and_loses_none() -> None:
    sizes = [10, pages.MAX_BYTES // 2, pages.MAX_BYTES // 2, 2 * pages.MAX_BYTES, 10, 10, 10]
    seen: list[int] = []
    after: int | None = 0
    while after is not None:
        messages, after = fill(
            _read(sizes, after),  # type: ignore[arg-type]
            lambda index: BytesValue(value=bytes(sizes[index])),
            50,
        )
        assert len(messages) == 1 or sum(m.ByteSize() for m in messages) <= pages.MAX_BYTES
        seen += [len(m.value) for m in messages]
    assert seen == sizes


def test_an_empty_list_is_a_page() -> None:
    assert fill(_read([]), lambda _: BytesValue(), 50) == ([], None)  # type: ignore[arg-type]


async def test_lists_of_wide_tables_arrive(start: Start) -> None:
    _, stubs = await start()
    header = ",".join(f"column_{'x' * 200}_{i}" for i in range(1500))
    data = "\n".join([header, *(",".join(["1"] * 1500) for _ in range(6))]).encode()
    names = {(await stubs.upload(data, table="wide")).name for _ in range(6)}
    found: list[str] = []
    token = ""
    while True:
        page = await stubs.datasets.ListDatasets(dataset_pb2.ListDatasetsRequest(page_token=token))
        found += [dataset.name for dataset in page.datasets]
        token = page.next_page_token
        if not token:
            break
    assert len(found) == len(names)
    assert set(found) == names
