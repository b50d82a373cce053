// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

import { status } from "@grpc/grpc-js";
import protobuf from "protobufjs";

/** grpc-js hands the details of a failed call over as bytes; this is all of google.rpc that they hold. */
export const rpc = protobuf.parse(`
  syntax = "proto3";
  package google.rpc;
  message Any { string type_url = 1; bytes value = 2; }
  message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
  message ErrorInfo { string reason = 1; string domain = 2; map<string, string> metadata = 3; }
  message FieldViolation { string field = 1; string description = 2; }
  message BadRequest { repeated FieldViolation field_violations = 1; }
  message Duration { int64 seconds = 1; int32 nanos = 2; }
  message RetryInfo { Duration retry_delay = 1; }
`).root.lookup("google.rpc");

/** @typedef {{field: string, description: string}} Violation one thing that is wrong with a request or a table */

/** A call failed. */
export class KohortError extends Error {
  name = "KohortError";

  /**
   * @param {string} code the gRPC code, such as "NOT_FOUND"
   * @param {string} message for people; never holds a cell
   * @param {object} [about]
   * @param {string} [about.reason]
   * @param {Violation[]} [about.violations]
   * @param {Record<string, string>} [about.metadata]
   * @param {number} [about.retryAfterMs]
   * @param {string} [about.requestId]
   * @param {string} [about.hint]
   * @param {unknown} [about.cause]
   */
  constructor(code, message, about = {}) {
    const { reason = "", violations = [], metadata = {}, requestId = "", hint = "" } = about;
    const said = violations.map((each) => `${each.field}: ${each.description}`);
    const lines = said.filter((line) => !message.includes(line)).map((line) => `  ${line}`);
    super([`${reason || code}: ${message}`, ...lines, hint].filter(Boolean).join("\n"), { cause: about.cause });
    /** The gRPC code, such as "NOT_FOUND". */
    this.code = code;
    /** A stable reason (docs/errors.md), such as "DATASET_EXPIRED"; empty where no Kohort server answered. */
    this.reason = reason;
    /** What is wrong with which field or column. */
    this.violations = violations;
    /** The fields or columns at fault. */
    this.fields = violations.map((each) => each.field);
    /** Short facts for programs, such as `units_reached`. */
    this.metadata = metadata;
    /** After how many milliseconds a repeat makes sense; undefined where the server does not say. */
    this.retryAfterMs = about.retryAfterMs;
    /** Finds the call in the server's log. */
    this.requestId = requestId;
    /** What to check, where the cause is likely outside of the request. */
    this.hint = hint;
  }
}

/** A stream brought rows that are incomplete or do not have their digest. */
export class IntegrityError extends Error {
  name = "IntegrityError";
}

/** A job ended without a model: it failed or was cancelled. The calls about it did not fail. */
export class JobError extends Error {
  name = "JobError";

  /** @param {any} job the Job message, as it ended */
  constructor(job) {
    const { error, name, state } = job;
    super(state === "JOB_STATE_CANCELLED" ? `${name} was cancelled` : `${name}: ${error?.reason}: ${error?.message}`);
    /** The job as it ended. */
    this.job = job;
    /** A stable reason, such as "TRAINING_DIVERGED"; empty for a cancelled job. */
    this.reason = error?.reason ?? "";
    /** The column at fault, if one is. */
    this.column = error?.column ?? "";
  }
}

/**
 * The error of a failed call.
 * @param {any} error what grpc-js gave
 * @param {string} target where the call went
 * @param {string} requestId the id that it was sent with
 */
export function fromGrpc(error, target, requestId) {
  /** @type {any} */
  const told = { violations: [], requestId: error.metadata?.get("x-request-id")[0] ?? requestId, cause: error };
  let message = error.details || status[error.code];
  for (const bytes of error.metadata?.get("grpc-status-details-bin") ?? []) {
    try {
      const decoded = decode("Status", bytes);
      for (const { typeUrl, value } of decoded.details) readDetail(told, typeUrl.split("/").at(-1), value);
      message = decoded.message || message;
    } catch {
      // Details that cannot be read are none: the code and the text of the status remain.
    }
  }
  if (!told.reason) told.hint = hint(status[error.code], target);
  return new KohortError(status[error.code], message, told);
}

function readDetail(told, type, value) {
  if (type === "google.rpc.ErrorInfo") {
    const { reason, domain, metadata } = decode("ErrorInfo", value);
    if (domain !== "kohort") return;
    const { request_id: requestId = told.requestId, ...rest } = metadata;
    Object.assign(told, { reason, metadata: rest, requestId });
  } else if (type === "google.rpc.BadRequest") {
    const { fieldViolations } = decode("BadRequest", value);
    told.violations.push(...fieldViolations.map(({ field, description }) => ({ field, description })));
  } else if (type === "google.rpc.RetryInfo") {
    const { seconds, nanos } = decode("RetryInfo", value).retryDelay ?? { seconds: 0, nanos: 0 };
    told.retryAfterMs = Number(seconds) * 1000 + nanos / 1e6;
  }
}

/** @returns {any} */
function decode(name, bytes) {
  return /** @type {any} */ (rpc).lookupType(name).decode(bytes);
}

function hint(code, target) {
  switch (code) {
    case "UNIMPLEMENTED":
      return `${target} does not know this call: is it the gRPC port of a Kohort server as new as this client?`;
    case "UNAVAILABLE":
      return (
        `${target} could not be reached: check host and port, whether the server speaks TLS as this client does, ` +
        "the authority and name of its certificate, and whether it asks for a client's."
      );
    case "DEADLINE_EXCEEDED":
      return "The timeout of this call was over; a job that the server has goes on.";
    default:
      return "";
  }
}
