// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

import { createHash, randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

const CHUNK = 1 << 20;

/** Sends one CSV file by chunks and tells what the server stored. */
export async function upload(service, path, table) {
  const data = await readFile(path);
  const messages = function* () {
    yield {
      header: {
        requestId: randomUUID(),
        format: "UPLOAD_FORMAT_CSV",
        schema: { tables: [{ name: table }] },
        digests: [{ table, sha256: createHash("sha256").update(data).digest() }],
      },
    };
    for (let start = 0; start < data.length; start += CHUNK) {
      yield { chunk: { table, data: data.subarray(start, start + CHUNK) } };
    }
  };
  const { dataset } = await new Promise((resolve, reject) => {
    const deadline = Date.now() + 60_000;
    const call = service.uploadDataset({ deadline }, (error, response) => (error ? reject(error) : resolve(response)));
    // A server that has answered already closes the stream; the callback tells why.
    pipeline(Readable.from(messages()), call).catch(() => {});
  });
  return {
    dataset: dataset.name,
    rows: dataset.rowCounts[table],
    digest: dataset.digest.toString("hex"),
    columns: dataset.schema.tables.flatMap(({ columns }) => columns.map(({ name }) => name)),
  };
}
