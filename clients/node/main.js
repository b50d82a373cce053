// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

// One call of the client from the command line, what it saw as JSON, in the form that tests/interop compares
// between languages (canonical.py there says it all):
//
//   node main.js VERB ADDRESS ARGUMENT…        the verbs are those of `verbs` below

import { setTimeout as sleep } from "node:timers/promises";

import { decimalText } from "./columns.js";
import { csvRows } from "./csv.js";
import { connect, IntegrityError, KohortError } from "./kohort.js";

const FAILED_CALL = 3;

/** The form in which languages are compared, where it differs from `Column.get`. */
function canonical(column) {
  switch (column.schema.storage) {
    case "STORAGE_DOUBLE": // its 64 bits: no two languages write floats alike
      return (i) => {
        const bytes = Buffer.alloc(8);
        bytes.writeDoubleBE(column.values[i]);
        return bytes.toString("hex");
      };
    case "STORAGE_DURATION":
      return (i) => `${decimalText(column.values[i], 6)}s`;
    case "STORAGE_STRING_LIST":
      return column.get;
    default:
      return (i) => String(column.get(i));
  }
}

function wishesOf(start, count, seed, words, timeoutMs) {
  const [equal, value, within, min, max] = words;
  const conditions = words.length ? { [equal]: value, [within]: { min, max } } : {};
  return { startUnit: Number(start), units: Number(count), seed, conditions, timeoutMs };
}

async function followed(job, afterSequence, timeoutMs) {
  const sequences = [];
  const phases = [];
  let last;
  for await (const { job: info, event } of job.updates({ afterSequence, timeoutMs })) {
    last = info;
    if (event) sequences.push(Number(event.sequence));
    if (event?.phaseStarted) phases.push(event.phaseStarted.phase);
  }
  return {
    job: job.name,
    state: last.state.replace("JOB_STATE_", ""),
    model: last.model,
    events: sequences.length,
    sequences: sequences.length ? [sequences[0], sequences.at(-1)] : [],
    phases,
    error: last.error && { reason: last.error.reason, column: last.error.column },
  };
}

const verbs = {
  async sample(kohort, timeoutMs, model, start, count, seed, ...words) {
    const sample = kohort.sample(model, wishesOf(start, count, seed, words, timeoutMs));
    let tables;
    let nextUnit = 0;
    for await (const { table, columns, length, nextUnit: next } of sample.batches()) {
      tables ??= Object.fromEntries(
        sample.header.schema.tables.map((told) => [
          told.name,
          Object.fromEntries(told.columns.map(({ name }) => [name, []])),
        ]),
      );
      for (const column of columns) {
        const text = canonical(column);
        const cells = tables[table][column.schema.name];
        for (let i = 0; i < length; i++) cells.push(column.isNull(i) ? null : text(i));
      }
      nextUnit = next;
    }
    const { header } = sample;
    return {
      model: header.model,
      seed: header.seed,
      synthetic: header.synthetic,
      runtime_fingerprint: header.runtimeFingerprint,
      units: header.unitCount,
      next_unit: String(nextUnit),
      digest: sample.digest?.toString("hex") ?? "", // a stream that broke before its trailer has none
      streams: sample.streams,
      tables,
    };
  },

  async read(kohort, timeoutMs, model, start, count, seed, how) {
    const sample = kohort.sample(model, wishesOf(start, count, seed, [], timeoutMs));
    const rows = {};
    let bytes = 0;
    const begun = performance.now();
    for await (const batch of sample.batches()) {
      let read = batch.length;
      if (how === "rows") {
        read = 0;
        for (const _ of batch.rows()) read += 1;
      }
      if (how === "csv") bytes += Buffer.byteLength(csvRows(batch));
      rows[batch.table] = (rows[batch.table] ?? 0) + read;
    }
    const seconds = (performance.now() - begun) / 1000;
    const counts = Object.fromEntries(Object.entries(rows).map(([table, n]) => [table, String(n)]));
    return { rows: counts, streams: sample.streams, seconds, ...(how === "csv" && { bytes }) };
  },

  async first(kohort, timeoutMs, model, count, seed) {
    let rows = "0";
    for await (const batch of kohort.sample(model, wishesOf(0, count, seed, [], timeoutMs)).batches()) {
      rows = String(batch.length);
      break;
    }
    return { rows, model: (await kohort.model(model, { timeoutMs })).name };
  },

  async upload(kohort, timeoutMs, path, table) {
    const dataset = await kohort.upload(path, { table, timeoutMs });
    return {
      dataset: dataset.name,
      rows: dataset.rowCounts[table],
      digest: dataset.digest.toString("hex"),
      columns: dataset.schema.tables.flatMap(({ columns }) => columns.map(({ name }) => name)),
    };
  },

  async train(kohort, timeoutMs, dataset, trainer, seed, ...words) {
    const parameters = {};
    for (let i = 0; i < words.length; i += 2) parameters[words[i]] = Number(words[i + 1]);
    return followed(await kohort.train(dataset, { trainer, seed, parameters }), 0, timeoutMs);
  },

  async follow(kohort, timeoutMs, job, after) {
    return followed(kohort.job(job), after, timeoutMs);
  },

  async cancel(kohort, timeoutMs, job) {
    return { state: (await kohort.job(job).cancel({ timeoutMs })).state.replace("JOB_STATE_", "") };
  },

  async model(kohort, timeoutMs, name) {
    const model = await kohort.model(name, { timeoutMs });
    return { model: model.name, trainer: model.trainer, unit: model.unit };
  },

  async idle(kohort, timeoutMs, name, seconds) {
    await kohort.model(name);
    await sleep(Number(seconds) * 1000);
    return { model: (await kohort.model(name)).name };
  },
};

const { KOHORT_CA: ca, KOHORT_CERT: cert, KOHORT_KEY: key, KOHORT_TOKEN: token } = process.env;
const timeout = process.env.KOHORT_TIMEOUT ?? "60";
const [verb, address, ...words] = process.argv.slice(2);
const kohort = connect(address, { token, ...((ca || cert) && { tls: { ca, cert, key } }) });
try {
  const result = await verbs[verb](kohort, Number(timeout) * 1000, ...words);
  process.stdout.write(`${JSON.stringify(result)}\n`);
} catch (error) {
  if (error instanceof KohortError) {
    const { code, reason, fields, retryAfterMs: retry_ms, requestId: request_id, hint } = error;
    process.stdout.write(`${JSON.stringify({ error: { code, reason, fields, retry_ms, request_id, hint } })}\n`);
    process.exitCode = FAILED_CALL;
  } else {
    console.error(error instanceof IntegrityError ? error.message : error);
    process.exitCode = 1;
  }
} finally {
  kohort.close();
}
