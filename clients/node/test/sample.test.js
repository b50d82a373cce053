// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { test } from "node:test";

import { IntegrityError, KohortError } from "../kohort.js";
import { all, failure, serve } from "./fake.js";
import { sampleMessages } from "./rows.js";

/** Plays the streams one after another; each turns the messages of a request into those that are sent. */
function sampling(...streams) {
  const requests = [];
  const sample = async (call) => {
    requests.push(call.request);
    const stream = streams[Math.min(requests.length, streams.length) - 1];
    try {
      for await (const message of stream([...sampleMessages(call.request)], call)) await new Promise((sent) => call.write(message, sent));
      call.end();
    } catch (error) {
      call.emit("error", error);
    }
  };
  return { requests, implementations: { SamplingService: { sample } } };
}

const whole = (messages) => messages;
const cut = (count) =>
  function* (messages) {
    yield* messages.slice(0, count);
    throw failure("UNAVAILABLE", "SHUTTING_DOWN");
  };
/** The header and the dictionaries, before the first batch. */
const BEFORE = 5;

test("every kind of cell", async (t) => {
  const { implementations, requests } = sampling(whole);
  const { client } = await serve(t, implementations);
  const sample = client.sample("models/m", { units: 5, seed: -5n });
  const rows = await all(sample);
  assert.deepEqual(rows[2], {
    alive: false,
    count: 2n,
    ratio: 0.1,
    dose: "0.05",
    born: "2795-02-10",
    local: "2795-06-15T23:59:59.999999",
    moment: "2795-06-15T23:59:59.999999Z",
    stay: 3_000_000n,
    ward: "日本語",
    key: "synthetic-2",
    drugs: ["日本語", "Zürich – Öst", "日本語"],
  });
  assert.deepEqual(rows.map(({ count }) => count).slice(0, 2), [9_223_372_036_854_775_807n, -9_223_372_036_854_775_808n]);
  assert.ok(Number.isNaN(rows[0].ratio) && Object.is(rows[1].ratio, -0));
  assert.deepEqual(rows.map(({ dose }) => dose), ["-0.05", "0.00", "0.05", "0.10", null]);
  assert.equal(rows[0].born, "0001-01-01");
  assert.deepEqual([rows[0].ward, rows[0].drugs], ["", []]);
  assert.deepEqual([sample.header.seed, sample.streams, sample.acceptanceRate], ["-5", 1, 0.5]);
  assert.equal(requests[0].seed, "-5");
});

test("integers as numbers, where they fit", async (t) => {
  const { client } = await serve(t, sampling(whole).implementations);
  const [batch] = await all(client.sample("models/m", { units: 3, integers: "number" }).batches());
  assert.equal(batch.column("count").get(2), 2);
  assert.throws(() => batch.column("count").get(0), RangeError);
  assert.deepEqual(batch.column("stay").toArray(), [0, 1_500_000, 3_000_000]);
  assert.throws(() => batch.column("none"), RangeError);
});

test("a stream that breaks goes on where it broke", async (t) => {
  const { implementations, requests } = sampling(cut(BEFORE + 2), cut(BEFORE), whole);
  const { client } = await serve(t, implementations);
  const sample = client.sample("models/m", { units: 10, startUnit: 100, conditions: { ward: ["a", "b"] } });
  const rows = await all(sample.rows());
  assert.deepEqual(rows.map(({ key }) => key), Array.from({ length: 10 }, (_, i) => `synthetic-${100 + i}`));
  assert.equal(sample.streams, 3);
  assert.deepEqual(requests.map(({ startUnit, unitCount }) => [startUnit, unitCount]), [["100", "10"], ["106", "4"], ["106", "4"]]);
  assert.deepEqual(requests.map(({ runtimeFingerprint }) => runtimeFingerprint), ["", "fake/1", "fake/1"]);
  assert.deepEqual(requests.map(({ seed }) => seed), [undefined, "5", "5"]);
  assert.deepEqual(requests[2].conditions, requests[0].conditions);
});

test("a break after the last batch costs nothing", async (t) => {
  const { client } = await serve(t, sampling((messages) => cut(messages.length - 1)(messages)).implementations);
  const sample = client.sample("models/m", { units: 7 });
  assert.equal((await all(sample.rows())).length, 7);
  assert.equal(sample.streams, 1);
});

test("a stream is not resumed without patience", async (t) => {
  const { requests, implementations } = sampling(cut(BEFORE + 1));
  const { client } = await serve(t, implementations, { retry: { initialBackoffMs: 1, streamPatienceMs: 0 } });
  await assert.rejects(all(client.sample("models/m", { units: 7 }).rows()), { code: "UNAVAILABLE" });
  assert.equal(requests.length, 1);
});

test("what is altered or incomplete is refused", async (t) => {
  const altered = {
    "does not have the digest": (messages) => {
      messages[BEFORE].batch.columns[7].int64s.values[0] ^= 1;
      return messages;
    },
    "an index lies beyond the dictionary": (messages) => {
      messages[BEFORE].batch.columns[8].indices.values[0] = 3;
      return messages;
    },
    "a dictionary chunk is missing": (messages) => messages.filter((_, i) => i !== 1),
    "its dictionary has not come": (messages) => messages.filter((_, i) => i !== 4),
    "expected 3 cells": (messages) => {
      messages[BEFORE].batch.columns[9].strings.values.pop();
      return messages;
    },
    "without its trailer": (messages) => messages.slice(0, -1),
    "fewer units": (messages) => messages.filter((_, i) => i !== messages.length - 2),
    "digest of its trailer": (messages) => {
      messages.at(-1).trailer.digest = Buffer.alloc(32);
      return messages;
    },
    "not the rows": (messages) => {
      messages.at(-1).trailer.rowCounts.patients += 1;
      return messages;
    },
    "wrong order": (messages) => messages.slice(1),
    "a null cell is not zero or empty": (messages) => {
      const { validity, int64s } = messages[BEFORE + 1].batch.columns[3];
      int64s.values[validity.length && 8] = 1; // unit 4, the second of this batch
      return messages;
    },
    "does not fit its table": ([first, ...messages]) => {
      const [table] = first.header.schema.tables;
      first.header.schema = { tables: [{ ...table, columns: [] }] };
      Object.assign(messages[BEFORE - 1].batch, { columns: [], rowCount: 2 ** 31 - 1 });
      return [first, ...messages];
    },
    "longer than announced": (messages) => {
      messages[1].dictionary.values = ["a", "b", "c", "d"];
      return messages;
    },
  };
  for (const [said, alter] of Object.entries(altered)) {
    const { client } = await serve(t, sampling(alter).implementations);
    await assert.rejects(all(client.sample("models/m", { units: 6 }).batches()), (error) => {
      assert.ok(error instanceof IntegrityError, String(error));
      assert.match(error.message, new RegExp(said));
      return true;
    });
  }
});

test("a resumed stream of another model is refused", async (t) => {
  const other = (messages) => {
    messages[0].header.contentDigest = Buffer.alloc(32);
    return messages;
  };
  const { client } = await serve(t, sampling(cut(BEFORE + 1), other).implementations);
  await assert.rejects(all(client.sample("models/m", { units: 6 })), /another model, seed or runtime/);
});

test("leaving the loop cancels the call", async (t) => {
  /** @type {(value?: unknown) => void} */
  let told = () => {};
  const cancelled = new Promise((resolve) => (told = resolve));
  async function* endless(messages, call) {
    call.on("cancelled", told);
    yield* messages.slice(0, BEFORE + 1);
    await cancelled;
  }
  const { client } = await serve(t, sampling(endless).implementations);
  for await (const row of client.sample("models/m", { units: 1000 })) {
    assert.equal(row.key, "synthetic-0");
    break;
  }
  await cancelled;
});

test("CSV", async (t) => {
  const { client } = await serve(t, sampling(whole).implementations);
  const text = (await all(client.sample("models/m", { units: 5 }).csv())).join("");
  const lines = text.split("\r\n");
  assert.equal(lines[0], "alive,count,ratio,dose,born,local,moment,stay,ward,key,drugs");
  assert.equal(
    lines[2],
    'true,-9223372036854775808,-0.0,0.00,1970-01-01,1969-12-31T23:59:59.999999,1969-12-31T23:59:59.999999Z,PT1.5S,Zürich – Öst,synthetic-1,"[""Zürich – Öst""]"',
  );
  assert.ok(lines[1].startsWith("false,9223372036854775807,nan,-0.05,0001-01-01,1970-01-01T00:00:00,"));
  assert.ok(lines[1].endsWith(',PT0S,"",synthetic-0,[]'));
  assert.match(lines[5], /,-0\.0,,1970/); // dose is null
  assert.equal(lines.length, 7);
});

test("wishes that cannot be are refused before anything is sent", async (t) => {
  const { client } = await serve(t, {});
  assert.throws(() => client.sample("models/m", {}), /either units or augmentationFactor/);
  assert.throws(() => client.sample("models/m", { units: 1.5 }), /units is a whole number/);
  assert.throws(() => client.sample("models/m", { units: 1, conditions: { age: {} } }), /age: a range is/);
  assert.throws(() => client.sample("models/m", { units: 1, conditions: { age: [] } }), /age: a set of values is empty/);
});

test("an error after some rows", async (t) => {
  function* ended(messages) {
    yield* messages.slice(0, BEFORE + 1);
    throw failure("FAILED_PRECONDITION", "CONDITION_UNSATISFIED", { metadata: { units_reached: "3" } });
  }
  const { client } = await serve(t, sampling(ended).implementations);
  const rows = [];
  await assert.rejects(
    async () => {
      for await (const row of client.sample("models/m", { units: 9 })) rows.push(row);
    },
    (error) => error instanceof KohortError && error.reason === "CONDITION_UNSATISFIED" && error.metadata.units_reached === "3",
  );
  assert.equal(rows.length, 3);
});
