// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

// Calls a Kohort server and prints what it saw as JSON, in the form that tests/interop compares
// between languages. The protos are read at run time: nothing is generated.
//
//   node main.js sample ADDRESS MODEL START_UNIT UNIT_COUNT SEED [COLUMN VALUE COLUMN LOW HIGH]
//   node main.js upload ADDRESS FILE.csv TABLE
//
// With five words more every row has VALUE in the first column, and in the second one something from
// LOW to HIGH.
//
// A failed call prints {"error": …} and exits with 3. A stream that breaks the contract, a wrong
// digest above all, exits with 1.

import { credentials, loadPackageDefinition } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { fileURLToPath } from "node:url";

import { describe } from "./errors.js";
import { sample } from "./sample.js";
import { upload } from "./upload.js";

const FAILED_CALL = 3;
const definition = loadSync(["kohort/v1/dataset.proto", "kohort/v1/sampling.proto"], {
  includeDirs: [fileURLToPath(new URL("../../protos", import.meta.url))],
  defaults: true,
  enums: String,
  longs: String, // a number of JavaScript holds 53 bits
  oneofs: true,
});
const { DatasetService, SamplingService } = loadPackageDefinition(definition).kohort.v1;

const [mode, address, ...rest] = process.argv.slice(2);
const service = new (mode === "upload" ? DatasetService : SamplingService)(address, credentials.createInsecure());
try {
  const result = await { sample, upload }[mode](service, ...rest);
  process.stdout.write(`${JSON.stringify(result)}\n`);
} catch (error) {
  if (error.metadata) {
    process.stdout.write(`${JSON.stringify({ error: describe(error) })}\n`);
    process.exitCode = FAILED_CALL;
  } else {
    console.error(error.message);
    process.exitCode = 1;
  }
} finally {
  service.close();
}
