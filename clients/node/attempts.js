// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

import { fromGrpc, KohortError } from "./errors.js";

/**
 * When a call is tried again. Only what cannot harm is repeated: calls that the server did not take
 * (UNAVAILABLE), or declined for now naming a time to wait (RESOURCE_EXHAUSTED with RetryInfo). Calls that
 * create something carry a request id, so a repeat finds what the first try made.
 */
export const RETRY = {
  /** Tries of a call, the first included; 1 never retries. */
  attempts: 5,
  /** Milliseconds before the second try. */
  initialBackoffMs: 200,
  /** How much longer each further wait is. */
  multiplier: 2,
  /** The longest wait, unless the server names a longer one. */
  maxBackoffMs: 5000,
  /** The share by which each wait is randomly longer or shorter, so that clients do not return in step. */
  jitter: 0.2,
  /** For how long a stream that has begun is resumed without progress, as over a restart; 0 never resumes. */
  streamPatienceMs: 60_000,
};

/** A timer cannot wait longer, and would not wait at all; this is 24 days. */
const LONGEST_WAIT_MS = 2 ** 31 - 1;

/** The tries of one call under one deadline. */
export class Attempts {
  /** Sent as x-request-id with every try; it finds the call in the server's log. */
  requestId = randomUUID();
  #failures = 0;
  #begun = false;
  #failingSince = 0;
  #retry;
  #deadline;
  #target;

  /**
   * @param {object} about
   * @param {typeof RETRY} about.retry
   * @param {number | undefined} about.timeoutMs for all tries and the waits between them; undefined: no limit
   * @param {AbortSignal} about.signal ends the call
   * @param {string} about.target for hints
   */
  constructor({ retry, timeoutMs, signal, target }) {
    this.#retry = retry;
    this.#target = target;
    this.#deadline = timeoutMs === undefined ? Infinity : Date.now() + timeoutMs;
    this.signal = signal;
  }

  /** What grpc-js is to keep to; the same moment for every try. */
  options() {
    return this.#deadline === Infinity ? {} : { deadline: this.#deadline };
  }

  /** A stream brought something: from now on it is resumed with patience, counted anew. */
  progressed() {
    this.#begun = true;
    this.#failures = 0;
  }

  /** What grpc-js gave as a KohortError; anything else as it is. The reason of the signal where it was aborted. */
  typed(error) {
    if (this.signal.aborted) return this.signal.reason;
    const failed = typeof error?.code === "number" && error.metadata !== undefined;
    return failed ? fromGrpc(error, this.#target, this.requestId) : error;
  }

  /**
   * Waits until the call may be tried again.
   * @param {any} failure what the last try ended with
   * @throws the typed error where it is final, or where the wait would pass the deadline
   */
  async again(failure) {
    const error = this.typed(failure);
    // Counted from the break: a reader that takes its time over what came is not to blame for it.
    if (this.#failures === 0) this.#failingSince = Date.now();
    this.#failures += 1;
    if (!isRetryable(error) || this.#isExhausted()) throw error;
    const { initialBackoffMs, multiplier, maxBackoffMs, jitter } = this.#retry;
    const backoff = Math.min(initialBackoffMs * multiplier ** (this.#failures - 1), maxBackoffMs);
    const jittered = backoff * (1 + jitter * (2 * Math.random() - 1));
    const wait = Math.min(Math.max(jittered, error.retryAfterMs ?? 0), LONGEST_WAIT_MS);
    if (Date.now() + wait >= this.#deadline) throw error;
    await sleep(wait, undefined, { signal: this.signal }).catch(() => {
      throw this.signal.reason;
    });
  }

  #isExhausted() {
    if (this.#begun) return Date.now() - this.#failingSince >= this.#retry.streamPatienceMs;
    return this.#failures >= this.#retry.attempts;
  }
}

function isRetryable(error) {
  if (!(error instanceof KohortError)) return false;
  return error.code === "UNAVAILABLE" || (error.code === "RESOURCE_EXHAUSTED" && error.retryAfterMs !== undefined);
}
