// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

// The contract, read at run time: nothing is generated.

import { loadPackageDefinition } from "@grpc/grpc-js";
import { fromJSON } from "@grpc/proto-loader";
import protobuf from "protobufjs";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The folders that may hold kohort/v1/*.proto: packed along with the client, or those of this repository. */
const FOLDERS = ["./protos", "../../protos"].map((path) => fileURLToPath(new URL(path, import.meta.url)));
const FOLDER = FOLDERS.find(existsSync) ?? "";

const FILES = ["capabilities", "dataset", "sampling", "training"];

/** The fixed-width fields of the messages that hold cells. */
const PACKED = {
  BoolValues: ["values"],
  Int64Values: ["values"],
  DoubleValues: ["values"],
  DateValues: ["values"],
  IndexValues: ["values"],
  ListValues: ["offsets", "values"],
};

/**
 * The service clients of the contract by name, such as `services.SamplingService`.
 *
 * Messages are plain objects with camelCase names, every field set; enums are their names, and 64-bit
 * numbers decimal strings: a number holds 53 bits, and JSON.stringify takes no BigInt.
 */
export const services = /** @type {Record<string, import("@grpc/grpc-js").ServiceClientConstructor>} */ (
  /** @type {any} */ (loadPackageDefinition(definition())).kohort.v1
);

/** The package definition behind `services`, which a server can be built on as well. */
export function definition() {
  const root = new protobuf.Root();
  root.resolvePath = (_, path) => (path.startsWith("google/protobuf/") ? path : join(FOLDER, path));
  root.loadSync(FILES.map((name) => `kohort/v1/${name}.proto`));
  const json = root.toJSON();
  // On the wire a packed field of fixed width is what a field of bytes is: a length, then the values
  // in little-endian. Read as bytes it becomes a typed array in one copy, however many cells it holds.
  const messages = /** @type {any} */ (json).nested.kohort.nested.v1.nested;
  for (const [name, fields] of Object.entries(PACKED)) {
    for (const field of fields) {
      const { id } = messages[name].fields[field];
      messages[name].fields[field] = { type: "bytes", id };
    }
  }
  return fromJSON(json, { defaults: true, enums: String, longs: String, oneofs: true });
}
