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

  Following(Connection connection, Attempts attempts, Resumable<Q, R> state) {
    this.connection = connection;
    this.attempts = attempts;
    this.state = state;
  }

  /**
   * Waits until the state has received one more message, over breaks.
   *
   * @return false once the stream is complete, or was closed
   * @throws RpcException what could not be mended in time
   */
  boolean step() {
    while (!done && !closed) {
      try {
        if (advance()) {
          return true;
        }
      } catch (RpcException error) {
        mend(error);
      } catch (RuntimeException error) {
        done = true;
        close();
        throw error;
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
    try {
      attempts.again(error);
    } catch (RuntimeException last) {
      done = true;
      throw last;
    }
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
