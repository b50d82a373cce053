// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

// From a file of patients to synthetic ones:   node example.js localhost:50051 patients.csv

import { connect, JobError, KohortError } from "./kohort.js";

const [address = "localhost:50051", file = "../../tests/data/heart.csv"] = process.argv.slice(2);
const kohort = connect(address);
try {
  const dataset = await kohort.upload(file, { table: "patients" });
  for (const { reason, column, message } of dataset.findings) console.log(`${reason} ${column}: ${message}`);

  const job = await kohort.train(dataset.name, { trainer: "copula", seed: 1 });
  for await (const { job: now, event } of job.updates()) {
    if (event?.phaseStarted) console.log(`${now.name}: ${event.phaseStarted.phase}`);
  }
  const model = await job.result();

  const sample = kohort.sample(model, { units: 5, seed: 7, conditions: { age: { min: 60, max: 80 } }, integers: "number" });
  for await (const row of sample) console.log(JSON.stringify(row));
  console.log(sample.header.privacy.statement);
} catch (error) {
  if (!(error instanceof KohortError || error instanceof JobError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
} finally {
  kohort.close();
}
