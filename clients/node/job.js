// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

import { IntegrityError, JobError, KohortError } from "./errors.js";

const TERMINAL = ["JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED"];

/**
 * @typedef {object} JobUpdate
 * @property {any} job the Job message, as it is now
 * @property {any} [event] the JobEvent message that brought it there, if one did
 * @property {string} sequence the place in the job's history: pass it as `afterSequence` to go on from here
 */

/** A job on the server. It lives apart from every call: whatever happens here changes nothing there. */
export class Job {
  #connection;

  /**
   * @param {import("./connection.js").Connection} connection
   * @param {string} name "jobs/…"
   */
  constructor(connection, name) {
    this.#connection = connection;
    this.name = name;
  }

  /**
   * The Job message, as it is now.
   * @param {import("./connection.js").CallOptions} [options]
   */
  async info(options) {
    return (await this.#connection.unary("TrainingService", "getJob", { name: this.name }, options)).job;
  }

  /**
   * What happened and happens, until the job is over. A stream that breaks goes on after the last event that was
   * read. Leaving the loop leaves the job alone. No timeout unless one is given.
   * @param {import("./connection.js").CallOptions & {afterSequence?: number | bigint | string}} [options]
   * @returns {AsyncGenerator<JobUpdate, void>}
   */
  async *updates({ afterSequence = 0, ...options } = {}) {
    const attempts = this.#connection.attempts(options);
    let sequence = BigInt(afterSequence);
    let job;
    while (true) {
      const request = { job: this.name, afterSequence: String(sequence) };
      try {
        for await (const { update } of this.#connection.stream("TrainingService", "status", request, attempts)) {
          if (update.update === "heartbeat") continue;
          const { event } = update;
          // A resumed stream may begin with what is known.
          if (event && BigInt(event.sequence) <= sequence) continue;
          if (event && !job) throw new IntegrityError(`${this.name}: the stream did not begin with the job`);
          job = event ? moved(job, event) : update.job;
          sequence = largest(sequence, update.sequence, event?.sequence ?? 0);
          yield { job, event: event ?? undefined, sequence: String(sequence) };
        }
        if (TERMINAL.includes(job?.state)) return;
        // Ended well but too early, as by a proxy's time limit: no different from a break.
        throw new KohortError("UNAVAILABLE", "the stream ended early");
      } catch (error) {
        const oldest = compacted(attempts.typed(error), sequence);
        if (oldest === undefined) await attempts.again(error);
        else sequence = oldest;
      }
    }
  }

  /**
   * Waits until the job is over and gives the Model message that it made. No timeout unless one is given.
   * @param {import("./connection.js").CallOptions} [options]
   * @throws {JobError} it failed or was cancelled
   */
  async result(options) {
    let last;
    for await (const { job } of this.updates(options)) last = job;
    if (last.state !== "JOB_STATE_SUCCEEDED") throw new JobError(last);
    return (await this.#connection.unary("SamplingService", "getModel", { name: last.model }, options)).model;
  }

  /**
   * Asks the job to stop and gives the Job message, as it is then. A job that ended first stays as it ended.
   * @param {import("./connection.js").CallOptions} [options]
   */
  async cancel(options) {
    return firstJob(this.#connection, "cancel", { job: this.name }, options);
  }
}

/**
 * The job in the first message of a stream about it; the stream is left then, which changes nothing.
 * @param {import("./connection.js").Connection} connection
 * @param {"train" | "cancel"} method
 * @param {object} request safe to repeat
 * @param {import("./connection.js").CallOptions} [options]
 */
export async function firstJob(connection, method, request, options) {
  const attempts = connection.attempts(options, connection.timeouts.callMs);
  while (true) {
    try {
      for await (const { update } of connection.stream("TrainingService", method, request, attempts)) {
        if (update.job) return update.job;
      }
      throw new IntegrityError(`${method} ended without naming a job`);
    } catch (error) {
      await attempts.again(error);
    }
  }
}

/** The job after an event; the server sends the whole job only when its state changes. */
function moved(job, event) {
  const { attempt } = event;
  switch (event.detail) {
    case "progress":
      return { ...job, attempt, progress: event.progress };
    case "phaseStarted":
      return { ...job, attempt, phase: event.phaseStarted.phase };
    case "stateChanged": {
      const { state } = event.stateChanged;
      // Told again from the start, an attempt has not the steps that the job has reached since.
      const begins = ["JOB_STATE_QUEUED", "JOB_STATE_RUNNING"].includes(state);
      return { ...job, attempt, state, ...(begins && { phase: "", progress: null }) };
    }
    default:
      return job;
  }
}

/** Events that the server no longer keeps are skipped: the sequence to go on from, where that was the error. */
function compacted(error, sequence) {
  if (error?.reason !== "EVENTS_COMPACTED" || !/^\d+$/.test(error.metadata.oldest ?? "")) return undefined;
  const before = BigInt(error.metadata.oldest) - 1n;
  return before > sequence ? before : undefined;
}

function largest(...sequences) {
  return sequences.map(BigInt).reduce((a, b) => (a > b ? a : b));
}
