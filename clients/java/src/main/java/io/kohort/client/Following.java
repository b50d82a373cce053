// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

/**
 * A server stream, resumed until it is complete, read by a thread that waits. Read by one thread at a time; closed
 * by any.
 *
 * @param <Q> the request
 * @param <R> the messages
 */
final class Following<Q, R> implements AutoCloseable {
  private final Connection connection;
  private final Attempts attempts;
  private final Resumable<Q, R> state;
  private volatile ResponseStream<R> stream;
  private volatile boolean closed;
  private boolean done;
  private RuntimeException failed;

  Following(Connection connection, Attempts attempts, Resumable<Q, R> state) {
    this.connection = connection;
    this.attempts = attempts;
    this.state = state;
  }

  /**
   * Waits until the state has received one more message, over breaks.
   *
   * @return false once the stream is complete, or was closed
   * @throws RpcException what could not be mended in time; the same whenever it is asked again, for nobody must find
   *     an end that looks well
   */
  boolean step() {
    if (failed != null) {
      throw failed;
    }
    try {
      return read();
    } catch (RuntimeException error) {
      failed = error;
      close();
      throw error;
    }
  }

  private boolean read() {
    while (!done && !closed) {
      try {
        if (advance()) {
          return true;
        }
      } catch (RpcException error) {
        mend(error);
      }
    }
    return false;
  }

  private boolean advance() {
    ResponseStream<R> open = stream;
    if (open == null) {
      open = ResponseStream.open(connection, attempts, state.method(), state.request());
      stream = open;
      if (closed) {
        open.close();
      }
    }
    R message = open.next();
    if (message != null) {
      attempts.progressed();
      state.receive(message);
      return true;
    }
    if (!state.ended()) {
      throw connection.endedEarly(attempts);
    }
    done = true;
    return false;
  }

  private void mend(RpcException error) {
    if (stream != null) {
      stream.close();
      stream = null;
    }
    if (closed || state.complete()) {
      done = true;
      return;
    }
    if (state.broken(error)) {
      return;
    }
    attempts.again(error);
  }

  /** Cancels the call, if one is under way; safe to repeat. */
  @Override
  public void close() {
    closed = true;
    ResponseStream<R> open = stream;
    if (open != null) {
      open.close();
    }
  }
}
