// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { Connection, endpointOf } from "../connection.js";
import { connect, KohortError } from "../kohort.js";
import { all, failure, serve } from "./fake.js";

/** A GetModel that answers with each outcome in turn, the last one again and again; and the calls that it got. */
function models(...outcomes) {
  const calls = [];
  const getModel = (call, answer) => {
    calls.push(call);
    const outcome = outcomes[Math.min(calls.length, outcomes.length) - 1];
    if (outcome instanceof Error) answer(outcome);
    else if (outcome) answer(null, { model: { name: call.request.name } });
  };
  return { calls, implementations: { SamplingService: { getModel } } };
}

const down = failure("UNAVAILABLE", "SHUTTING_DOWN");
const header = (call, key) => call.metadata.get(key)[0];

test("a failed call says why", async (t) => {
  const refused = failure("INVALID_ARGUMENT", "INVALID_REQUEST", { fields: ["name"], metadata: { request_id: "of-the-server", about: "x" } });
  const { client } = await serve(t, models(refused).implementations);
  await assert.rejects(client.model("models/m"), (error) => {
    assert.ok(error instanceof KohortError);
    assert.deepEqual([error.code, error.reason, error.fields], ["INVALID_ARGUMENT", "INVALID_REQUEST", ["name"]]);
    assert.deepEqual([error.requestId, error.metadata, error.hint], ["of-the-server", { about: "x" }, ""]);
    assert.equal(error.message, "INVALID_REQUEST: refused\n  name: refused");
    return true;
  });
});

test("details that cannot be read are none", async (t) => {
  const refused = failure("NOT_FOUND", "MODEL_NOT_FOUND");
  refused.metadata.set("grpc-status-details-bin", Buffer.from([0xff, 0xff]));
  const { client } = await serve(t, models(refused).implementations);
  await assert.rejects(client.model("models/m"), { code: "NOT_FOUND", reason: "", message: "NOT_FOUND: refused" });
});

test("what was not taken is sent again, under one request id", async (t) => {
  const { calls, implementations } = models(down, failure("RESOURCE_EXHAUSTED", "TOO_MANY_STREAMS", { retryMs: 20 }), true);
  const { client } = await serve(t, implementations);
  assert.equal((await client.model("models/m")).name, "models/m");
  assert.equal(calls.length, 3);
  assert.equal(new Set(calls.map((call) => header(call, "x-request-id"))).size, 1);
  assert.match(String(header(calls[0], "x-request-id")), /^[0-9a-f-]{36}$/);
});

test("five tries and no more", async (t) => {
  const { calls, implementations } = models(down);
  const { client } = await serve(t, implementations);
  await assert.rejects(client.model("models/m"), { code: "UNAVAILABLE", reason: "SHUTTING_DOWN" });
  assert.equal(calls.length, 5);
});

test("nothing else is sent again", async (t) => {
  for (const [code, about] of [["INTERNAL", {}], ["RESOURCE_EXHAUSTED", {}], ["ABORTED", { retryMs: 1 }]]) {
    const { calls, implementations } = models(failure(code, "ANY", about));
    const { client } = await serve(t, implementations);
    await assert.rejects(client.model("models/m"), { code });
    assert.equal(calls.length, 1, code);
  }
});

test("a wait that the deadline has no room for is the error itself", async (t) => {
  const { calls, implementations } = models(failure("RESOURCE_EXHAUSTED", "QUEUE_FULL", { retryMs: 60_500 }));
  const { client } = await serve(t, implementations);
  const begun = performance.now();
  await assert.rejects(client.model("models/m"), { reason: "QUEUE_FULL", retryAfterMs: 60_500 });
  assert.ok(performance.now() - begun < 20_000);
  assert.equal(calls.length, 1);
});

test("a deadline", async (t) => {
  const { client } = await serve(t, models(undefined).implementations);
  await assert.rejects(client.model("models/m", { timeoutMs: 50 }), (error) => {
    assert.equal(error.code, "DEADLINE_EXCEEDED");
    assert.match(error.hint, /timeout of this call/);
    return true;
  });
});

test("a signal ends a call, and closing ends all", async (t) => {
  const { calls, implementations } = models(undefined);
  const { client } = await serve(t, implementations);
  const reason = new Error("enough");
  await assert.rejects(client.model("models/m", { signal: AbortSignal.abort(reason) }), reason);
  assert.equal(calls.length, 0);
  const control = new AbortController();
  const ended = assert.rejects(client.model("models/m", { signal: control.signal }), reason);
  setTimeout(() => control.abort(reason), 20);
  await ended;
  const closed = assert.rejects(client.model("models/m"), /the client was closed/);
  setTimeout(() => client.close(), 20);
  await closed;
  await assert.rejects(client.model("models/m"), /the client was closed/);
});

test("who calls", async (t) => {
  const { calls, implementations } = models(true);
  let made = 0;
  const token = async () => `token-${(made += 1)}\n`;
  const { client } = await serve(t, implementations, { token, metadata: { "x-ward": "B" } });
  await client.model("models/m");
  await client.model("models/m");
  assert.deepEqual(calls.map((call) => header(call, "authorization")), ["Bearer token-1", "Bearer token-2"]);
  assert.equal(header(calls[0], "x-ward"), "B");
  assert.match(String(header(calls[0], "user-agent")), /^kohort-node\/\d/);
});

test("a token that no header holds is not told", async (t) => {
  const { client } = await serve(t, models(true).implementations, { token: "se\ncret" });
  await assert.rejects(client.model("models/m"), (error) => {
    assert.match(error.message, /a character that no bearer token has/);
    assert.doesNotMatch(error.message, /cret/);
    return true;
  });
});

test("metadata that no header holds is not told", async (t) => {
  const { client } = await serve(t, models(true).implementations, { metadata: { "x-key": "secret\n" } });
  await assert.rejects(client.model("models/m"), (error) => {
    assert.match(error.message, /^the value of x-key has characters/);
    assert.doesNotMatch(String(error.stack), /secret/);
    return true;
  });
});

test("a wait that is longer than timers are waits", async (t) => {
  const { calls, implementations } = models(failure("RESOURCE_EXHAUSTED", "QUEUE_FULL", { retryMs: 2 ** 33 }));
  const { client } = await serve(t, implementations);
  const leave = new AbortController();
  const reason = new Error("enough");
  const waiting = assert.rejects(client.model("models/m", { timeoutMs: Infinity, signal: leave.signal }), reason);
  while (calls.length === 0) await new Promise(setImmediate);
  setTimeout(() => leave.abort(reason), 100);
  await waiting;
  assert.equal(calls.length, 1);
});

test("many calls at once", async (t) => {
  const { calls, implementations } = models(true);
  const { client } = await serve(t, implementations);
  const warnings = [];
  const warned = (warning) => warnings.push(warning.message);
  process.on("warning", warned);
  t.after(() => process.off("warning", warned));
  await Promise.all(Array.from({ length: 30 }, () => client.model("models/m")));
  await new Promise(setImmediate);
  assert.deepEqual([calls.length, warnings], [30, []]);
});

test("nobody there", async () => {
  const client = connect("127.0.0.1:1", { retry: { initialBackoffMs: 1 } });
  await assert.rejects(client.model("models/m"), (error) => {
    assert.equal(error.code, "UNAVAILABLE");
    assert.match(error.hint, /127\.0\.0\.1:1 could not be reached/);
    return true;
  });
  client.close();
});

test("where to connect", () => {
  assert.deepEqual(endpointOf("localhost"), { target: "localhost:50051", local: true });
  assert.deepEqual(endpointOf("::1"), { target: "[::1]:50051", local: true });
  assert.deepEqual(endpointOf("127.3.2.1:5"), { target: "127.3.2.1:5", local: true });
  assert.deepEqual(endpointOf("kohort.example"), { target: "kohort.example:50051", local: false });
  assert.deepEqual(endpointOf("[2001:db8::1]:70"), { target: "[2001:db8::1]:70", local: false });
  for (const wrong of ["", "https://kohort.example", "host:0", "host:65536", "host:name", "a/b"]) {
    assert.throws(() => endpointOf(wrong), TypeError, wrong);
  }
});

test("settings that cannot be", () => {
  assert.throws(() => connect("localhost", { keepalive: { intervalMs: 5000 } }), /one ping every 10 s/);
  assert.throws(() => connect("localhost", { tls: { cert: "client.pem" } }), /cert and key belong together/);
  for (const tls of ["", null, 0]) {
    assert.throws(() => connect("kohort.example", { tls: /** @type {any} */ (tls) }), /tls is true, false, or/);
  }
});

/** An UploadDataset that fails `failures` times once all has come; and what came. */
function uploads(failures) {
  const seen = [];
  const uploadDataset = (call, answer) => {
    const got = { header: undefined, data: [] };
    seen.push(got);
    call.on("data", ({ header: first, chunk }) => (first ? (got.header = first) : got.data.push(chunk.data)));
    call.on("end", () => {
      if (seen.length <= failures) return answer(down);
      const rowCounts = { visits: "3" };
      return answer(null, { dataset: { name: "datasets/d", rowCounts, digest: got.header.digests[0].sha256 } });
    });
  };
  return { seen, implementations: { DatasetService: { uploadDataset } } };
}

test("an upload is sent again under its own request id", async (t) => {
  const { seen, implementations } = uploads(2);
  const { client } = await serve(t, implementations);
  const path = join(tmpdir(), `${randomUUID()}.csv`);
  t.after(() => rm(path));
  const bytes = Buffer.alloc(2_500_000, "a,b\n1,2\n");
  await writeFile(path, bytes);
  for (const file of [path, bytes]) {
    seen.length = 0;
    const dataset = await client.upload(file, { table: "visits", format: ".csv", subjectKey: "a" });
    assert.equal(dataset.name, "datasets/d");
    assert.deepEqual(dataset.digest, createHash("sha256").update(bytes).digest());
    assert.ok(seen.every(({ data }) => Buffer.concat(data).equals(bytes) && data.length === 3));
    assert.equal(seen.length, 3);
    assert.equal(new Set(seen.map(({ header: { requestId } }) => requestId)).size, 1);
    const [table] = seen[0].header.schema.tables;
    assert.deepEqual([table.name, table.subjectKey, seen[0].header.format], ["visits", "a", "UPLOAD_FORMAT_CSV"]);
  }
});

test("a file that is none", async (t) => {
  const { client } = await serve(t, uploads(0).implementations);
  await assert.rejects(client.upload("rows.txt"), /one of \.csv, \.parquet, \.xlsx/);
  await assert.rejects(client.upload("/nowhere/rows.csv"), { code: "ENOENT" });
});

test("an upload that is refused at once", async (t) => {
  const uploadDataset = (call, answer) => {
    call.once("data", () => answer(failure("INVALID_ARGUMENT", "INVALID_SCHEMA", { fields: ["schema"] })));
  };
  const { client } = await serve(t, { DatasetService: { uploadDataset } });
  await assert.rejects(client.upload(Buffer.alloc(8_000_000, "1\n"), { format: ".csv" }), { reason: "INVALID_SCHEMA" });
});

test("an answer before the end of an upload ends the reading", async (t) => {
  const outcomes = [failure("INVALID_ARGUMENT", "EMPTY_TABLE"), null];
  const uploadDataset = (call, answer) => {
    call.once("data", () => answer(outcomes.shift(), { dataset: { name: "datasets/d" } }));
  };
  const { port } = await serve(t, { DatasetService: { uploadDataset } });
  const connection = new Connection(`127.0.0.1:${port}`, {});
  t.after(() => connection.close());
  let closed = 0;
  const messages = async function* () {
    try {
      while (true) yield { chunk: { table: "table", data: Buffer.alloc(1 << 20) } };
    } finally {
      closed += 1;
    }
  };
  await assert.rejects(connection.send("DatasetService", "uploadDataset", messages), { reason: "EMPTY_TABLE" });
  assert.equal((await connection.send("DatasetService", "uploadDataset", messages)).dataset.name, "datasets/d");
  while (closed < 2) await new Promise(setImmediate);
});

test("models come page by page", async (t) => {
  const listModels = ({ request: { pageToken } }, answer) => {
    const page = Number(pageToken || 0);
    answer(null, { models: [{ name: `models/${page}` }], nextPageToken: page < 2 ? String(page + 1) : "" });
  };
  const { client } = await serve(t, { SamplingService: { listModels } });
  assert.deepEqual((await all(client.models())).map(({ name }) => name), ["models/0", "models/1", "models/2"]);
});
