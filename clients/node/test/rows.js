// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

// A sample as a server sends it, of one table with a column of every storage.

import { Column } from "../columns.js";
import { ContentDigest } from "../digest.js";

const WARDS = ["", "Zürich – Öst", "日本語"];
const MICROS = [0n, -1n, 26_048_822_399_999_999n]; // 1970, just before it, and 2795

/** Storage, what to say of the column, the values of unit i as they travel. */
const COLUMNS = [
  ["alive", { storage: "STORAGE_BOOL" }, (i) => i % 2],
  ["count", { storage: "STORAGE_INT64" }, (i) => [9_223_372_036_854_775_807n, -9_223_372_036_854_775_808n, BigInt(i)][i % 3]],
  ["ratio", { storage: "STORAGE_DOUBLE" }, (i) => [NaN, -0, 0.1][i % 3]],
  ["dose", { storage: "STORAGE_DECIMAL", scale: 2 }, (i) => BigInt(i * 5 - 5)],
  ["born", { storage: "STORAGE_DATE" }, (i) => [-719_162, 0, 301_365][i % 3]],
  ["local", { storage: "STORAGE_DATETIME" }, (i) => MICROS[i % 3]],
  ["moment", { storage: "STORAGE_DATETIME", timeZone: "Europe/Zurich" }, (i) => MICROS[i % 3]],
  ["stay", { storage: "STORAGE_DURATION" }, (i) => BigInt(i) * 1_500_000n],
  ["ward", { storage: "STORAGE_STRING" }, (i) => i % 3],
  ["key", { storage: "STORAGE_STRING" }, (i) => `synthetic-${i}`],
  ["drugs", { storage: "STORAGE_STRING_LIST" }, (i) => [[], [1], [2, 1, 2]][i % 3]],
];

/** Unit 4, 9, 14 … has no `dose`. */
const isNull = (name, i) => name === "dose" && i % 5 === 4;

const CARRIERS = {
  STORAGE_BOOL: ["bools", Uint8Array],
  STORAGE_DOUBLE: ["doubles", Float64Array],
  STORAGE_DATE: ["dates", Int32Array],
  STORAGE_STRING: ["indices", Uint32Array],
};

const SCHEMA = { tables: [{ name: "patients", columns: COLUMNS.map(([name, about]) => ({ name, ...about })) }] };

function data(name, storage, values) {
  const validity = Buffer.alloc(Math.ceil(values.length / 8));
  values.forEach(({ i }, at) => (validity[at >> 3] |= Number(!isNull(name, i)) << (at & 7)));
  const cells = values.map(({ i, value }) => (isNull(name, i) ? 0n : value));
  const whole = { validity: values.some(({ i }) => isNull(name, i)) ? validity : Buffer.alloc(0) };
  if (name === "key") return { ...whole, values: "strings", strings: { values: cells } };
  if (storage === "STORAGE_STRING_LIST") {
    const offsets = cells.reduce((ends, cell) => [...ends, ends.at(-1) + cell.length], [0]);
    return { ...whole, values: "lists", lists: { offsets: bytes(Uint32Array, offsets), values: bytes(Uint32Array, cells.flat()) } };
  }
  const [carrier, Type] = CARRIERS[storage] ?? ["int64s", BigInt64Array];
  return { ...whole, values: carrier, [carrier]: { values: bytes(Type, cells) } };
}

const bytes = (Type, values) => Buffer.from(Type.from(values).buffer);

function columnsOf(units) {
  return COLUMNS.map(([name, { storage }, value]) => data(name, storage, units.map((i) => ({ i, value: value(i) }))));
}

function digestOf(parts, rows) {
  const columns = SCHEMA.tables[0].columns.map((schema, c) => new Column({ scale: 0, ...schema }, parts[c], rows, WARDS, "bigint"));
  return new ContentDigest(columns.length).add(columns).digest();
}

const range = (start, stop) => Array.from({ length: stop - start }, (_, i) => start + i);

/**
 * The messages of a sample of `unitCount` units.
 * @param {{model: string, startUnit: any, unitCount: any, seed?: any}} request
 */
export function* sampleMessages({ model, startUnit, unitCount, seed }, unitsPerBatch = 3) {
  const [start, stop] = [Number(startUnit), Number(startUnit) + Number(unitCount)];
  yield {
    header: {
      model,
      contentDigest: Buffer.alloc(32, 7),
      seed: seed ?? "5",
      startUnit,
      unitCount,
      schema: SCHEMA,
      runtimeFingerprint: "fake/1",
      synthetic: true,
    },
  };
  for (const column of ["ward", "drugs"]) {
    yield { dictionary: { table: "patients", column, firstIndex: 0, values: WARDS.slice(0, 1), total: 3 } };
    yield { dictionary: { table: "patients", column, firstIndex: 1, values: WARDS.slice(1), total: 3 } };
  }
  for (let first = start; first < stop; first += unitsPerBatch) {
    const units = range(first, Math.min(first + unitsPerBatch, stop));
    const columns = columnsOf(units);
    const digest = digestOf(columns, units.length);
    yield { batch: { table: "patients", firstUnit: first, nextUnit: units.at(-1) + 1, rowCount: units.length, columns, digest } };
  }
  const digest = digestOf(columnsOf(range(start, stop)), stop - start);
  yield { trailer: { rowCounts: { patients: stop - start }, unitCount, digest, drawnUnits: 2 * unitCount } };
}
