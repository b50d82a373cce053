// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

import { loadPackageDefinition, Metadata, Server, ServerCredentials, status } from "@grpc/grpc-js";

import { rpc } from "../errors.js";
import { connect } from "../kohort.js";
import { definition } from "../protos.js";

const { v1 } = /** @type {any} */ (loadPackageDefinition(definition())).kohort;

const encode = (name, fields) => rpc.lookupType(name).encode(rpc.lookupType(name).fromObject(fields)).finish();
const any = (name, fields) => ({ typeUrl: `type.googleapis.com/google.rpc.${name}`, value: encode(name, fields) });

/**
 * A failure with google.rpc details, as the server sends it.
 * @param {string} code
 * @param {string} reason
 * @param {{fields?: string[], retryMs?: number, metadata?: Record<string, string>}} [about]
 */
export function failure(code, reason, { fields = [], retryMs, metadata = {} } = {}) {
  const details = [any("ErrorInfo", { reason, domain: "kohort", metadata })];
  if (fields.length) {
    details.push(any("BadRequest", { fieldViolations: fields.map((field) => ({ field, description: "refused" })) }));
  }
  if (retryMs !== undefined) {
    const retryDelay = { seconds: Math.floor(retryMs / 1000), nanos: (retryMs % 1000) * 1e6 };
    details.push(any("RetryInfo", { retryDelay }));
  }
  const trailers = new Metadata();
  trailers.set("grpc-status-details-bin", Buffer.from(encode("Status", { code: status[code], message: "refused", details })));
  return Object.assign(new Error("refused"), { code: status[code], details: "refused", metadata: trailers });
}

/**
 * A server on a free port and a client of it; both end with the test.
 * @param {import("node:test").TestContext} t
 * @param {Record<string, Record<string, Function>>} implementations by service and method
 * @param {import("../connection.js").Options & {credentials?: ServerCredentials}} [options]
 */
export async function serve(t, implementations, { credentials = ServerCredentials.createInsecure(), ...options } = {}) {
  const server = new Server();
  for (const [service, methods] of Object.entries(implementations)) server.addService(v1[service].service, /** @type {any} */ (methods));
  const port = await new Promise((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", credentials, (error, bound) => (error ? reject(error) : resolve(bound)));
  });
  const client = connect(`127.0.0.1:${port}`, { retry: { initialBackoffMs: 1 }, ...options });
  t.after(() => {
    client.close();
    server.forceShutdown();
  });
  return { client, port, server };
}

/** Every item of an async iterable. @returns {Promise<any[]>} */
export async function all(items) {
  const found = [];
  for await (const item of items) found.push(item);
  return found;
}
