// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

import { conditionsOf } from "./conditions.js";
import { csvHeader, csvRows } from "./csv.js";
import { KohortError } from "./errors.js";
import { SampleState } from "./sampling.js";

/** @typedef {import("./sampling.js").Batch} Batch */

/**
 * @typedef {object} SampleWishes
 * @property {number} [units] patients where the generator models patients, else rows
 * @property {number} [augmentationFactor] instead of `units`: so many units per training row, in (0, 1000]
 * @property {number} [startUnit] the first unit, 0 unless set: unit i of a model, a seed and the same wishes is
 *   always the same, so a sample can be cut in parts
 * @property {number | bigint | string} [seed] makes the sample repeatable; unless set, drawn and in the header
 * @property {Record<string, import("./conditions.js").Wanted>} [conditions] what every row satisfies
 * @property {{column: string, shares: Record<string, number>}} [rebalance] draws the values of one column in
 *   these shares
 * @property {number} [temperature] flattens (above 1) or sharpens (below 1), in [0.1, 5]
 * @property {number} [topP] draws from the fewest values that together have this probability, in (0, 1]
 * @property {number} [maxAttempts] how often a unit may be drawn until it meets the conditions
 * @property {number} [maxBatchRows] a hint
 * @property {"bigint" | "number"} [integers] what 64-bit integers become: bigint unless set; "number" throws a
 *   RangeError beyond 2^53
 */

/**
 * A sample that is drawn while it is iterated, and again each time. A stream that breaks goes on at the first
 * unit that is missing; leaving the loop cancels the call.
 */
export class Sample {
  #connection;
  #request;
  #wishes;
  #options;
  /** @type {SampleState | undefined} */
  #state;

  /**
   * @param {import("./connection.js").Connection} connection
   * @param {string} model
   * @param {SampleWishes} wishes
   * @param {import("./connection.js").CallOptions} options
   */
  constructor(connection, model, wishes, options) {
    if ((wishes.units === undefined) === (wishes.augmentationFactor === undefined)) {
      throw new TypeError("sample: either units or augmentationFactor");
    }
    this.#connection = connection;
    this.#request = requestOf(model, wishes);
    this.#wishes = wishes;
    this.#options = options;
    /** Sample calls of the last iteration; 1 where nothing broke. */
    this.streams = 0;
  }

  /** Model, seed, schema, privacy statement (SampleHeader); undefined before the first batch. @returns {any} */
  get header() {
    return this.#state?.header;
  }

  /** The digest of the last stream's rows; undefined before the end. */
  get digest() {
    return this.#state?.digest;
  }

  /** Units for each draw, 1 where nothing was rejected; known at the end. */
  get acceptanceRate() {
    return this.#state?.drawn ? this.#state.units / this.#state.drawn : 1;
  }

  /**
   * The batches of all tables, as typed columns; each is verified before it is handed on.
   * @returns {AsyncGenerator<Batch, void>}
   */
  async *batches() {
    const { timeouts } = this.#connection;
    const attempts = this.#connection.attempts(this.#options, timeouts.transferMs);
    const state = (this.#state = new SampleState(this.#request, this.#wishes.integers ?? "bigint"));
    this.streams = 0;
    while (true) {
      this.streams += 1;
      try {
        for await (const message of this.#connection.stream("SamplingService", "sample", state.request(), attempts)) {
          yield* state.receive(message);
        }
        state.ended();
        return;
      } catch (error) {
        // All that was asked for was verified batch by batch; a break before the trailer costs nothing.
        if (state.isComplete() && attempts.typed(error) instanceof KohortError) return;
        await attempts.again(error);
      }
    }
  }

  /**
   * The rows of a model of one table, as objects by column name; `Column` says what a cell is.
   * @returns {AsyncGenerator<Record<string, any>, void>}
   */
  async *rows() {
    for await (const batch of this.#oneTable()) yield* batch.rows();
  }

  /** The same as `rows()`, for `for await (const row of sample)`. */
  [Symbol.asyncIterator]() {
    return this.rows();
  }

  /**
   * The rows of a model of one table as CSV (RFC 4180, one header line), a piece of text per batch:
   * `pipeline(sample.csv(), createWriteStream("rows.csv"))`.
   * @returns {AsyncGenerator<string, void>}
   */
  async *csv() {
    let isFirst = true;
    for await (const batch of this.#oneTable()) {
      if (isFirst) yield csvHeader(batch);
      isFirst = false;
      yield csvRows(batch);
    }
  }

  async *#oneTable() {
    for await (const batch of this.batches()) {
      const { tables } = this.header.schema;
      if (tables.length !== 1) {
        const names = tables.map(({ name }) => name).join(", ");
        throw new TypeError(`the model has several tables (${names}): read batches()`);
      }
      yield batch;
    }
  }
}

function requestOf(model, wishes) {
  const { units, startUnit = 0, seed, conditions = {}, rebalance, maxBatchRows = 0, maxAttempts = 0 } = wishes;
  const { temperature, topP, augmentationFactor } = wishes;
  for (const [name, value] of Object.entries({ units, startUnit })) {
    if (value !== undefined && !Number.isSafeInteger(value)) throw new TypeError(`sample: ${name} is a whole number`);
  }
  return {
    model,
    startUnit,
    unitCount: units,
    seed: seed === undefined ? undefined : String(seed),
    format: "SAMPLE_FORMAT_COLUMNS",
    conditions: conditionsOf(conditions),
    rebalancing: rebalance,
    maxBatchRows,
    maxAttempts,
    temperature,
    topP,
    augmentationFactor,
  };
}
