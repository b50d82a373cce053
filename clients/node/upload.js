// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

import { createHash, randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { extname } from "node:path";

const CHUNK = 1 << 20;

const FORMATS = {
  ".csv": "UPLOAD_FORMAT_CSV",
  ".parquet": "UPLOAD_FORMAT_PARQUET",
  ".xlsx": "UPLOAD_FORMAT_EXCEL",
};

/**
 * @typedef {object} UploadWishes
 * @property {string} [table] the table's name, "table" unless set
 * @property {string} [format] ".csv", ".parquet" or ".xlsx"; unless set, as the file's name ends
 * @property {string} [subjectKey] the column that identifies the patient; without one every row is a patient
 * @property {object[]} [columns] what is known of columns, as Column messages: {name, kind: "COLUMN_KIND_CATEGORY"}
 * @property {string} [displayName] for people
 * @property {Record<string, string>} [labels] for programs
 * @property {boolean} [deleteAfterTraining] delete the rows once a model has been trained on them
 */

/**
 * The messages of an upload, which can be read as often as it is tried: all with one request id.
 * @param {string | Uint8Array} file its path, or its bytes
 * @param {UploadWishes} wishes
 * @returns {Promise<() => AsyncIterable<object>>}
 */
export async function uploadMessages(file, wishes) {
  const { table = "table", subjectKey = "", columns = [], displayName = "", labels = {} } = wishes;
  const suffix = wishes.format ?? (typeof file === "string" ? extname(file).toLowerCase() : "");
  const format = FORMATS[suffix];
  if (!format) throw new TypeError(`upload: the format is one of ${Object.keys(FORMATS).join(", ")}`);
  const hash = createHash("sha256");
  for await (const chunk of chunksOf(file)) hash.update(chunk);
  const header = {
    requestId: randomUUID(),
    displayName,
    labels,
    format,
    schema: { tables: [{ name: table, subjectKey, columns }] },
    digests: [{ table, sha256: hash.digest() }],
    deleteAfterTraining: wishes.deleteAfterTraining ?? false,
  };
  return async function* () {
    yield { header };
    for await (const data of chunksOf(file)) yield { chunk: { table, data } };
  };
}

async function* chunksOf(file) {
  if (typeof file === "string") yield* createReadStream(file, { highWaterMark: CHUNK });
  else for (let at = 0; at < file.length; at += CHUNK) yield file.subarray(at, at + CHUNK);
}
