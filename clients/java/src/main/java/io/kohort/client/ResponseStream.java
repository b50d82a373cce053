// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;

/**
 * One server stream, read by a thread that waits for its messages. A few are fetched ahead; no more come before
 * these are read. Read by one thread at a time; closed by any.
 *
 * @param <R> the messages
 */
final class ResponseStream<R> implements AutoCloseable {
  private static final int AHEAD = 2;

  private final Connection connection;
  private final Attempts attempts;
  private final ClientCall<?, R> call;
  private final BlockingQueue<Object> arrived = new LinkedBlockingQueue<>();

  private ResponseStream(Connection connection, Attempts attempts, ClientCall<?, R> call) {
    this.connection = connection;
    this.attempts = attempts;
    this.call = call;
  }

  /** Sends the request. */
  static <Q, R> ResponseStream<R> open(
      Connection connection, Attempts attempts, MethodDescriptor<Q, R> method, Q request) {
    connection.awaitConnection(attempts);
    Metadata headers = connection.headers(attempts);
    ClientCall<Q, R> call = connection.channel().newCall(method, connection.options(attempts));
    ResponseStream<R> stream = new ResponseStream<>(connection, attempts, call);
    call.start(stream.new Listener(), headers);
    call.request(AHEAD);
    call.sendMessage(request);
    call.halfClose();
    return stream;
  }

  /**
   * The next message, waited for.
   *
   * @return null once the server ended the stream well
   * @throws RpcException the stream broke, or the waiting thread was interrupted (the call is then cancelled)
   */
  R next() {
    Object next;
    try {
      next = arrived.take();
    } catch (InterruptedException interrupted) {
      close();
      Thread.currentThread().interrupt();
      throw connection.statuses().exception(Status.CANCELLED.asRuntimeException(), attempts.requestId());
    }
    if (next instanceof End) {
      // For whoever asks again.
      arrived.add(next);
      End end = (End) next;
      if (end.status.isOk()) {
        return null;
      }
      throw connection.statuses().exception(
          new StatusRuntimeException(end.status, end.trailers), attempts.requestId());
    }
    call.request(1);
    @SuppressWarnings("unchecked")
    R message = (R) next;
    return message;
  }

  /** Cancels the call, if it is still under way; safe to repeat. */
  @Override
  public void close() {
    call.cancel("not read to its end", null);
  }

  private static final class End {
    private final Status status;
    private final Metadata trailers;

    End(Status status, Metadata trailers) {
      this.status = status;
      this.trailers = trailers;
    }
  }

  private final class Listener extends ClientCall.Listener<R> {
    @Override
    public void onMessage(R message) {
      arrived.add(message);
    }

    @Override
    public void onClose(Status status, Metadata trailers) {
      arrived.add(new End(status, trailers));
    }
  }
}
