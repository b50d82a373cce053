// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { test } from "node:test";

import { IntegrityError, JobError } from "../kohort.js";
import { all, failure, serve } from "./fake.js";

const job = (state, about = {}) => ({ update: { sequence: "0", job: { name: "jobs/j", state: `JOB_STATE_${state}`, ...about } } });
const event = (sequence, detail) => ({ update: { sequence, event: { sequence, attempt: 1, ...detail } } });
const heartbeat = { update: { sequence: "0", heartbeat: {} } };

const HISTORY = [
  event("1", { stateChanged: { state: "JOB_STATE_RUNNING" } }),
  event("2", { phaseStarted: { phase: "fitting" } }),
  event("3", { progress: { step: "1", totalSteps: "2" } }),
  event("4", { phaseStarted: { phase: "publishing" } }),
];

/** Plays one list of messages per call of a method, an error in it ends the stream; and the requests that came. */
function playing(method, ...streams) {
  const requests = [];
  const play = (call) => {
    requests.push(call.request);
    const stream = streams[Math.min(requests.length, streams.length) - 1];
    for (const message of stream) {
      if (message instanceof Error) return call.emit("error", message);
      call.write(message);
    }
    return call.end();
  };
  return { requests, implementations: { [method]: play } };
}

const training = (...players) => ({ TrainingService: Object.assign({}, ...players.map(({ implementations }) => implementations)) });
const down = failure("UNAVAILABLE", "SHUTTING_DOWN");

test("training starts once, whatever breaks", async (t) => {
  const train = playing("train", [down], [job("QUEUED"), heartbeat]);
  const { client } = await serve(t, training(train));
  const started = await client.train("datasets/d", {
    trainer: "ctgan",
    seed: -1n,
    parameters: { epochs: 3, sizes: [1, 2], name: "x", on: true, none: null },
  });
  assert.equal(started.name, "jobs/j");
  const [first, second] = train.requests;
  assert.deepEqual(first, second);
  assert.match(first.requestId, /^[0-9a-f-]{36}$/);
  assert.deepEqual([first.dataset, first.trainer, first.seed], ["datasets/d", "ctgan", "-1"]);
  const { fields } = first.parameters;
  assert.deepEqual([fields.epochs.numberValue, fields.name.stringValue, fields.on.boolValue], [3, "x", true]);
  assert.deepEqual(fields.sizes.listValue.values.map(({ numberValue }) => numberValue), [1, 2]);
});

test("following goes on after the last event that was read", async (t) => {
  const status = playing(
    "status",
    [job("RUNNING"), ...HISTORY.slice(0, 2), heartbeat, down],
    [job("RUNNING", { phase: "fitting" }), ...HISTORY.slice(1, 3)], // ends early, and repeats what is known
    [job("RUNNING"), HISTORY[3], job("SUCCEEDED", { model: "models/m" })],
  );
  const { client } = await serve(t, training(status));
  const updates = await all(client.job("jobs/j").updates());
  const events = updates.filter((update) => update.event);
  assert.deepEqual(events.map(({ sequence }) => sequence), ["1", "2", "3", "4"]);
  assert.deepEqual(status.requests.map(({ afterSequence }) => afterSequence), ["0", "2", "3"]);
  assert.equal(events[1].job.phase, "fitting");
  assert.equal(events[2].job.progress.step, "1");
  assert.deepEqual([updates.at(-1)?.job.state, updates.at(-1)?.job.model], ["JOB_STATE_SUCCEEDED", "models/m"]);
});

test("events that are gone are skipped", async (t) => {
  const status = playing(
    "status",
    [failure("OUT_OF_RANGE", "EVENTS_COMPACTED", { metadata: { oldest: "3" } })],
    [job("RUNNING"), ...HISTORY.slice(2), job("SUCCEEDED")],
  );
  const { client } = await serve(t, training(status));
  const updates = await all(client.job("jobs/j").updates({ afterSequence: 1n }));
  assert.deepEqual(status.requests.map(({ afterSequence }) => afterSequence), ["1", "2"]);
  assert.equal(updates.at(-1)?.sequence, "4");
});

test("a stream that does not begin with the job is refused", async (t) => {
  const { client } = await serve(t, training(playing("status", HISTORY)));
  await assert.rejects(all(client.job("jobs/j").updates()), IntegrityError);
});

test("a result", async (t) => {
  const status = playing("status", [job("SUCCEEDED", { model: "models/m" })]);
  const getModel = ({ request: { name } }, answer) => answer(null, { model: { name } });
  const { client } = await serve(t, { ...training(status), SamplingService: { getModel } });
  assert.equal((await client.job("jobs/j").result()).name, "models/m");
});

test("a job that failed is no failed call", async (t) => {
  const error = { reason: "TRAINING_DIVERGED", message: "the loss is no number", column: "age" };
  const status = playing("status", [job("FAILED", { error })], [job("CANCELLED")]);
  const { client } = await serve(t, training(status));
  await assert.rejects(client.job("jobs/j").result(), (failed) => {
    assert.ok(failed instanceof JobError);
    assert.deepEqual([failed.reason, failed.column], ["TRAINING_DIVERGED", "age"]);
    assert.equal(failed.message, "jobs/j: TRAINING_DIVERGED: the loss is no number");
    return true;
  });
  await assert.rejects(client.job("jobs/j").result(), /jobs\/j was cancelled/);
});

test("cancelling needs the first message only", async (t) => {
  const cancel = playing("cancel", [job("CANCELLING"), heartbeat]);
  const { client } = await serve(t, training(cancel));
  assert.equal((await client.job("jobs/j").cancel()).state, "JOB_STATE_CANCELLING");
});
