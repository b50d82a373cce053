// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

import { randomUUID } from "node:crypto";

import { Connection } from "./connection.js";
import { firstJob, Job } from "./job.js";
import { Sample } from "./sample.js";
import { structOf } from "./struct.js";
import { uploadMessages } from "./upload.js";

export { IntegrityError, JobError, KohortError } from "./errors.js";

/** @typedef {import("./connection.js").CallOptions} CallOptions */

/**
 * @typedef {object} TrainWishes
 * @property {string} [trainer] one of `capabilities()`, the server's default unless set
 * @property {Record<string, any>} [parameters] of the trainer, by name
 * @property {number | bigint | string} [seed] makes training repeatable on one machine
 * @property {string} [device] such as "cuda"; any unless set
 * @property {string} [displayName] for people
 * @property {Record<string, string>} [labels] for programs
 * @property {object} [schemaOverrides] a SchemaOverrides message: changes to the dataset's schema for this job;
 *   every other field of TrainRequest will do as well
 */

/**
 * A client of the server at `target`. Nothing is sent before the first call; a lost connection is made again.
 *
 * Values are the messages of the contract (protos/kohort/v1) as plain objects; 64-bit numbers in them are
 * decimal strings. Failed calls throw a `KohortError`.
 *
 * @param {string} target host:port; without a port 50051
 * @param {import("./connection.js").Options} [options]
 */
export function connect(target, options = {}) {
  return new Client(new Connection(target, options));
}

/** See `connect`. */
export class Client {
  #connection;

  /** @param {Connection} connection */
  constructor(connection) {
    this.#connection = connection;
  }

  /** Ends every call under way, which throw, and the connection. Jobs go on. */
  close() {
    this.#connection.close();
  }

  /**
   * Versions, trainers with their parameters, limits, and the roles that the server sees in this caller.
   * @param {CallOptions} [options]
   */
  async capabilities(options) {
    return this.#connection.unary("CapabilitiesService", "getCapabilities", {}, options);
  }

  /**
   * Stores a file of rows and gives the Dataset message. An upload that breaks is sent again.
   * @param {string | Uint8Array} file the path of a .csv, .parquet or .xlsx file, or its bytes and a `format`
   * @param {import("./upload.js").UploadWishes & CallOptions} [wishes]
   */
  async upload(file, { timeoutMs, signal, ...wishes } = {}) {
    const messages = await uploadMessages(file, wishes);
    const options = { timeoutMs, signal };
    return (await this.#connection.send("DatasetService", "uploadDataset", messages, options)).dataset;
  }

  /**
   * Deletes a dataset; its `models` are those made from it.
   * @param {string} name "datasets/…"
   * @param {CallOptions} [options]
   */
  async deleteDataset(name, options) {
    return this.#connection.unary("DatasetService", "deleteDataset", { name }, options);
  }

  /**
   * Starts a job. It is stored before this returns.
   * @param {string} dataset "datasets/…"
   * @param {TrainWishes & CallOptions} [wishes]
   */
  async train(dataset, { timeoutMs, signal, parameters = {}, seed, ...wishes } = {}) {
    const request = {
      ...wishes,
      requestId: randomUUID(),
      dataset,
      parameters: structOf(parameters),
      seed: seed === undefined ? undefined : String(seed),
    };
    const job = await firstJob(this.#connection, "train", request, { timeoutMs, signal });
    return this.job(job.name);
  }

  /**
   * A job that was started before, here or elsewhere. Nothing is sent.
   * @param {string} name "jobs/…"
   */
  job(name) {
    return new Job(this.#connection, name);
  }

  /**
   * One model, as a Model message.
   * @param {string} name "models/…"
   * @param {CallOptions} [options]
   */
  async model(name, options) {
    return (await this.#connection.unary("SamplingService", "getModel", { name }, options)).model;
  }

  /**
   * Every model, newest first, as Model messages.
   * @param {CallOptions} [options] for each page
   * @returns {AsyncGenerator<any, void>}
   */
  async *models(options) {
    let pageToken = "";
    do {
      const page = await this.#connection.unary("SamplingService", "listModels", { pageToken }, options);
      yield* page.models;
      pageToken = page.nextPageToken;
    } while (pageToken);
  }

  /**
   * Deletes a model.
   * @param {string} name "models/…"
   * @param {CallOptions} [options]
   */
  async deleteModel(name, options) {
    await this.#connection.unary("SamplingService", "deleteModel", { name }, options);
  }

  /**
   * Synthetic rows. Nothing is sent before the sample is iterated.
   * @param {string | {name: string}} model its name or message
   * @param {import("./sample.js").SampleWishes & CallOptions} wishes
   */
  sample(model, { timeoutMs, signal, ...wishes }) {
    const name = typeof model === "string" ? model : model.name;
    return new Sample(this.#connection, name, wishes, { timeoutMs, signal });
  }
}
