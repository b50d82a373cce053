// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

// The cells of a ColumnData as text, and their content digest (RecordBatch in table.proto).

import { createHash } from "node:crypto";

/** Which storages may travel in which values. */
const STORAGES = {
  bools: ["STORAGE_BOOL"],
  int64s: ["STORAGE_INT64", "STORAGE_DECIMAL", "STORAGE_DATETIME", "STORAGE_DURATION"],
  doubles: ["STORAGE_DOUBLE"],
  dates: ["STORAGE_DATE"],
  indices: ["STORAGE_STRING"],
  strings: ["STORAGE_STRING"],
  lists: ["STORAGE_STRING_LIST"],
};

/** Every cell in the canonical form of tests/interop/canonical.py; null where it is null. */
export function cellTexts(column, data, rows, dictionary) {
  const values = data[data.values]?.values;
  const count = data.values === "lists" ? data.lists.offsets.length - 1 : values?.length;
  const bits = data.validity.length;
  const fits = STORAGES[data.values]?.includes(column.storage) && count === rows;
  if (!fits || (bits !== 0 && bits !== Math.ceil(rows / 8))) {
    throw new Error(`${column.name}: the cells do not fit the schema`);
  }
  const text = cellReader(column, data, values, dictionary);
  return Array.from({ length: rows }, (_, i) => (isValid(data, i) ? text(i) : null));
}

function cellReader(column, data, values, dictionary) {
  switch (column.storage) {
    case "STORAGE_DECIMAL":
      return (i) => decimal(BigInt(values[i]), column.scale);
    case "STORAGE_DURATION":
      return (i) => `${decimal(BigInt(values[i]), 6)}s`;
    case "STORAGE_DATETIME":
      return (i) => dateTime(BigInt(values[i])) + (column.timeZone ? "Z" : "");
    case "STORAGE_DATE":
      return (i) => new Date(values[i] * 86_400_000).toISOString().slice(0, 10);
    case "STORAGE_DOUBLE":
      return (i) => {
        const bytes = Buffer.alloc(8);
        bytes.writeDoubleBE(values[i]);
        return bytes.toString("hex");
      };
    case "STORAGE_STRING":
      return data.values === "strings" ? (i) => values[i] : (i) => dictionary[values[i]];
    case "STORAGE_STRING_LIST": {
      const { offsets } = data.lists;
      return (i) => values.slice(offsets[i], offsets[i + 1]).map((index) => dictionary[index]);
    }
    default: // booleans, and integers, which proto-loader gives as strings
      return (i) => String(values[i]);
  }
}

/** Whether cell i is not null. */
function isValid({ validity }, i) {
  return validity.length === 0 || ((validity[i >> 3] >> (i & 7)) & 1) === 1;
}

/** value / 10^scale with exactly `scale` digits after the point. */
function decimal(value, scale) {
  const sign = value < 0n ? "-" : "";
  const digits = String(value).replace("-", "").padStart(scale + 1, "0");
  const point = digits.length - scale;
  return sign + digits.slice(0, point) + (scale ? `.${digits.slice(point)}` : "");
}

/** Microseconds since 1970; a Date holds milliseconds only. */
function dateTime(micros) {
  const below = ((micros % 1000n) + 1000n) % 1000n;
  const text = new Date(Number((micros - below) / 1000n)).toISOString();
  return text.slice(0, -1) + String(below).padStart(3, "0");
}

/** Hashes the cells of one column. */
export class ColumnDigest {
  validity = createHash("sha256");
  values = createHash("sha256");

  add(data, rows) {
    this.validity.update(Buffer.from(Array.from({ length: rows }, (_, i) => Number(isValid(data, i)))));
    this.values.update(valueBytes(data));
  }
}

/** The content digest of columns in schema order; they take no more cells after it. */
export function contentDigest(columns) {
  const whole = createHash("sha256");
  for (const { validity, values } of columns) {
    whole.update(createHash("sha256").update(validity.digest()).update(values.digest()).digest());
  }
  return whole.digest();
}

function valueBytes(data) {
  const { values } = data[data.values];
  switch (data.values) {
    case "bools":
      return Buffer.from(values.map(Number));
    case "int64s":
      return packed(values, 8, (out, value, at) => out.writeBigInt64LE(BigInt(value), at));
    case "doubles":
      return packed(values, 8, (out, value, at) => out.writeDoubleLE(value, at));
    case "dates":
      return packed(values, 4, (out, value, at) => out.writeInt32LE(value, at));
    case "indices":
      return packed(values, 4, (out, value, at) => out.writeUInt32LE(value, at));
    case "strings":
      return Buffer.concat(values.flatMap((text) => [uint32(Buffer.byteLength(text)), Buffer.from(text)]));
    default: {
      const { offsets } = data.lists;
      return Buffer.concat(
        offsets.slice(1).flatMap((end, row) => {
          const cell = values.slice(offsets[row], end);
          return [uint32(cell.length), ...cell.map(uint32)];
        }),
      );
    }
  }
}

function packed(values, width, write) {
  const out = Buffer.alloc(values.length * width);
  values.forEach((value, i) => write(out, value, i * width));
  return out;
}

function uint32(value) {
  const out = Buffer.alloc(4);
  out.writeUInt32LE(value);
  return out;
}
