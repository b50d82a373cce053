// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

import { createHash } from "node:crypto";

/** The content digest of rows (RecordBatch in table.proto); it does not depend on how they were cut into batches. */
export class ContentDigest {
  #columns;

  /** @param {number} columns how many columns there are, those of all tables together */
  constructor(columns) {
    this.#columns = Array.from({ length: columns }, () => [createHash("sha256"), createHash("sha256")]);
  }

  /**
   * Adds the cells of columns that stand next to each other.
   * @param {import("./columns.js").Column[]} columns
   * @param {number} first the position of the first of them
   */
  add(columns, first = 0) {
    columns.forEach((column, i) => {
      const [validity, values] = this.#columns[first + i];
      validity.update(validityBytes(column));
      values.update(valueBytes(column));
    });
    return this;
  }

  /** 32 bytes; nothing can be added after it. */
  digest() {
    const whole = createHash("sha256");
    for (const [validity, values] of this.#columns) {
      whole.update(createHash("sha256").update(validity.digest()).update(values.digest()).digest());
    }
    return whole.digest();
  }
}

function validityBytes(column) {
  const bytes = new Uint8Array(column.length).fill(1);
  if (column.validity.length === 0) return bytes;
  return bytes.map((_, i) => (column.isNull(i) ? 0 : 1));
}

function valueBytes({ carrier, values, offsets }) {
  if (carrier === "strings") return stringBytes(values);
  if (carrier !== "lists") return new Uint8Array(values.buffer);
  const out = new Uint32Array(offsets.length - 1 + values.length);
  for (let row = 0, at = 0; row + 1 < offsets.length; row++) {
    const cell = values.subarray(offsets[row], offsets[row + 1]);
    out[at] = cell.length;
    out.set(cell, at + 1);
    at += 1 + cell.length;
  }
  return new Uint8Array(out.buffer);
}

/** Every string as the length of its UTF-8 and its UTF-8. */
function stringBytes(values) {
  const out = Buffer.allocUnsafe(values.reduce((size, text) => size + 4 + Buffer.byteLength(text), 0));
  let at = 0;
  for (const text of values) {
    const length = out.write(text, at + 4);
    out.writeUInt32LE(length, at);
    at += 4 + length;
  }
  return out;
}
