// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

import { Channel, credentials, Metadata } from "@grpc/grpc-js";
import { setMaxListeners } from "node:events";
import { readFileSync } from "node:fs";
import { isIPv6 } from "node:net";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

import { Attempts, RETRY } from "./attempts.js";
import { services } from "./protos.js";

const VERSION = "0.1.0";
const DEFAULT_PORT = 50051;
/** A server allows one ping every 10 seconds and sends away who pings faster. */
const MIN_KEEPALIVE_MS = 10_000;

/**
 * @typedef {object} TLS paths of PEM files
 * @property {string} [ca] authorities that may have signed the server's certificate; those of Node unless set
 * @property {string} [cert] this client's certificate chain, for servers that ask for one (mTLS); needs `key`
 * @property {string} [key] the private key of `cert`
 * @property {string} [serverName] the name in the server's certificate, where it is not the host of the target
 */

/**
 * @typedef {object} Options
 * @property {TLS | boolean} [tls] false is plaintext, in which tokens and rows can be read on the way; unless set, TLS is
 *   spoken with every host but this machine
 * @property {string | (() => string | Promise<string>)} [token] sent as `authorization: Bearer`; a function is
 *   asked before every try
 * @property {Record<string, string>} [metadata] sent with every call
 * @property {{intervalMs?: number, timeoutMs?: number}} [keepalive] pings, also without calls: every 30 s unless
 *   set and not below 10 s; the connection counts as dead 15 s after one without an answer
 * @property {Partial<typeof RETRY>} [retry]
 * @property {{callMs?: number, transferMs?: number}} [timeouts] for calls that ask one thing (30 s) and for
 *   uploads and samples (1 h), all tries together
 */

/**
 * @typedef {object} CallOptions
 * @property {number} [timeoutMs] for all tries together, instead of the client's; Infinity is no limit
 * @property {AbortSignal} [signal] ends the call, which then throws the signal's reason
 */

/** A channel with its settings, and the shapes that calls have on it. */
export class Connection {
  #channel;
  #clients = new Map();
  #closing = new AbortController();
  #token;
  #metadata;
  #retry;

  /**
   * @param {string} target host:port; without a port 50051
   * @param {Options} options
   */
  constructor(target, { tls, token, metadata = {}, keepalive = {}, retry = {}, timeouts = {} }) {
    const { intervalMs = 30_000, timeoutMs = 15_000 } = keepalive;
    if (intervalMs < MIN_KEEPALIVE_MS) {
      throw new RangeError("keepalive: a server allows one ping every 10 s; intervalMs is at least 10000");
    }
    const endpoint = endpointOf(target);
    // Plaintext is asked for by name: an empty setting must not send a token in the clear.
    if (tls !== undefined && typeof tls !== "boolean" && (typeof tls !== "object" || tls === null)) {
      throw new TypeError("tls is true, false, or paths of PEM files");
    }
    const secure = tls ?? !endpoint.local;
    /** host:port. */
    this.target = endpoint.target;
    this.timeouts = { callMs: 30_000, transferMs: 3_600_000, ...timeouts };
    this.#token = token;
    this.#metadata = metadata;
    this.#retry = { ...RETRY, ...retry };
    setMaxListeners(0, this.#closing.signal); // every call under way listens
    const serverName = typeof secure === "object" ? secure.serverName : undefined;
    this.#channel = new Channel(this.target, secure ? ssl(secure === true ? {} : secure) : credentials.createInsecure(), {
      "grpc.primary_user_agent": `kohort-node/${VERSION}`,
      "grpc.enable_retries": 0, // tries are counted in Attempts, under one deadline
      "grpc.keepalive_time_ms": intervalMs,
      "grpc.keepalive_timeout_ms": timeoutMs,
      "grpc.keepalive_permit_without_calls": 1,
      "grpc.initial_reconnect_backoff_ms": 200,
      "grpc.max_reconnect_backoff_ms": 5000,
      ...(serverName && { "grpc.ssl_target_name_override": serverName }),
    });
  }

  /** Ends every call under way, which throw, and the connection. */
  close() {
    this.#closing.abort(new Error("the client was closed"));
    this.#channel.close();
  }

  /**
   * One logical call.
   * @param {CallOptions} options
   * @param {number} [defaultMs] its timeout unless the options say otherwise; undefined: none
   */
  attempts({ timeoutMs, signal } = {}, defaultMs = undefined) {
    const closed = this.#closing.signal;
    const either = signal ? AbortSignal.any([signal, closed]) : closed;
    either.throwIfAborted();
    const limit = timeoutMs ?? defaultMs;
    return new Attempts({
      retry: this.#retry,
      timeoutMs: limit === Infinity ? undefined : limit,
      signal: either,
      target: this.target,
    });
  }

  /**
   * A call that answers once, tried again where that is safe.
   * @param {string} service
   * @param {string} method
   * @param {object} request
   * @param {CallOptions} [options]
   * @returns {Promise<any>}
   */
  async unary(service, method, request, options) {
    const begin = (client, ...rest) => client[method](request, ...rest);
    return this.#answer(this.attempts(options, this.timeouts.callMs), begin, service);
  }

  /**
   * A call that sends many messages and answers once. Every try sends them anew.
   * @param {string} service
   * @param {string} method
   * @param {() => AsyncIterable<object> | Iterable<object>} messages
   * @param {CallOptions} [options]
   * @returns {Promise<any>}
   */
  async send(service, method, messages, options) {
    let unreadable;
    const source = async function* () {
      try {
        yield* messages();
      } catch (error) {
        unreadable = error;
        throw error;
      }
    };
    const begin = (client, metadata, limits, answered) => {
      const sending = Readable.from(source());
      const call = client[method](metadata, limits, (error, response) => {
        // A server may answer before all was sent: what is read from is closed then, too.
        sending.destroy();
        answered(error, response);
      });
      // Of all that ends the sending but its source, the answer tells.
      pipeline(sending, call).catch(() => unreadable && call.cancel());
      return call;
    };
    try {
      return await this.#answer(this.attempts(options, this.timeouts.transferMs), begin, service);
    } catch (error) {
      throw unreadable ?? error;
    }
  }

  /** @param {(client: any, ...rest: any[]) => any} begin */
  async #answer(attempts, begin, service) {
    while (true) {
      const metadata = await this.#callMetadata(attempts);
      /** @type {() => void} */
      let stop = () => {};
      try {
        return await new Promise((resolve, reject) => {
          const answered = (error, response) => (error ? reject(error) : resolve(response));
          const call = begin(this.#client(service), metadata, attempts.options(), answered);
          stop = () => call.cancel();
          attempts.signal.addEventListener("abort", stop);
        });
      } catch (error) {
        await attempts.again(error);
      } finally {
        attempts.signal.removeEventListener("abort", stop);
      }
    }
  }

  /**
   * One try of a call that answers with a stream. Leaving the loop cancels it.
   * @param {string} service
   * @param {string} method
   * @param {object} request
   * @param {Attempts} attempts
   * @returns {AsyncGenerator<any>}
   */
  async *stream(service, method, request, attempts) {
    const metadata = await this.#callMetadata(attempts);
    const call = this.#client(service)[method](request, metadata, attempts.options());
    const stop = () => call.cancel();
    attempts.signal.addEventListener("abort", stop);
    call.on("error", () => {}); // the loop gets it; a cancelled call has no loop any more
    try {
      for await (const message of call) {
        attempts.progressed();
        yield message;
      }
    } finally {
      attempts.signal.removeEventListener("abort", stop);
      call.cancel(); // of a call that has ended this does nothing
    }
  }

  #client(service) {
    if (!this.#clients.has(service)) {
      const options = { channelOverride: this.#channel };
      this.#clients.set(service, new services[service](this.target, credentials.createInsecure(), options));
    }
    return this.#clients.get(service);
  }

  async #callMetadata(attempts) {
    const metadata = new Metadata();
    for (const [key, value] of Object.entries(this.#metadata)) put(metadata, key, value);
    metadata.set("x-request-id", attempts.requestId);
    const given = typeof this.#token === "function" ? await this.#token() : this.#token;
    const token = given?.trim(); // whoever reads a file has its line break, too
    if (token && !/^[!-~]+$/.test(token)) throw new TypeError("the token holds a character that no bearer token has");
    if (token) metadata.set("authorization", `Bearer ${token}`);
    attempts.signal.throwIfAborted();
    return metadata;
  }
}

/** Sets a pair. What no header can hold is refused here: the error of grpc-js would quote it, a key of a proxy's perhaps. */
function put(metadata, key, value) {
  if (typeof value === "string" && !/^[\x20-\x7e]*$/.test(value)) {
    throw new TypeError(`the value of ${key} has characters that no header can hold: a line end, perhaps`);
  }
  metadata.set(key, value);
}

/**
 * The target as grpc-js wants it, and whether it is this machine.
 * @param {string} target
 */
export function endpointOf(target) {
  const like = `host:port, such as localhost:${DEFAULT_PORT}`;
  if (/^\w+:\/\//.test(target)) throw new TypeError(`the target is ${like}, not a URL`);
  const bare = isIPv6(target) ? `[${target}]` : target;
  const [, host, port = String(DEFAULT_PORT)] = /^(\[[^\]]+\]|[^:[\]/\s]+)(?::(\d+))?$/.exec(bare) ?? [];
  if (!host || Number(port) < 1 || Number(port) > 65_535) throw new TypeError(`the target is ${like}`);
  const local = /^(localhost|.+\.localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(host);
  return { target: `${host}:${port}`, local };
}

/** @param {TLS} tls */
function ssl({ ca, cert, key }) {
  if (!cert !== !key) throw new TypeError("tls: cert and key belong together");
  const [roots, chain, own] = [ca, cert, key].map((path) => (path ? readFileSync(path) : null));
  return credentials.createSsl(roots, own, chain);
}
