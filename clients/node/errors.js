// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

// The google.rpc details of a failed call. grpc-js hands them over as bytes.

import { status } from "@grpc/grpc-js";
import protobuf from "protobufjs";

const types = protobuf.parse(`
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

/** What a failed call says: code, reason, domain, the fields at fault, and after how long to try again. */
export function describe(error) {
  const failure = { code: status[error.code], reason: "", domain: "", fields: [] };
  for (const bytes of error.metadata?.get("grpc-status-details-bin") ?? []) {
    for (const { typeUrl, value } of types.lookupType("Status").decode(bytes).details) {
      const name = typeUrl.split(".").at(-1);
      if (!types.get(name)) continue;
      const detail = types.lookupType(name).decode(value);
      if (name === "ErrorInfo") Object.assign(failure, { reason: detail.reason, domain: detail.domain });
      if (name === "BadRequest") failure.fields.push(...detail.fieldViolations.map((v) => v.field));
      if (name === "RetryInfo") {
        const { seconds, nanos } = detail.retryDelay;
        failure.retry_ms = Number(seconds) * 1000 + Math.floor(nanos / 1e6);
      }
    }
  }
  return failure;
}
