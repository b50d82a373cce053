// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientInterceptors;
import io.grpc.ConnectivityState;
import io.grpc.Deadline;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.stub.AbstractStub;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.MetadataUtils;
import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * A channel with the settings of its client: what every call goes through. Safe to use from several threads.
 */
final class Connection {
  /** The reason of an error that this side makes when a connection does not come about in time. */
  static final String CONNECT_TIMEOUT = "CONNECT_TIMEOUT";

  private static final Duration RECONNECT = Duration.ofMillis(200);
  private static final Metadata.Key<String> AUTHORIZATION = key("authorization");
  private static final Metadata.Key<String> REQUEST_ID = key(Statuses.REQUEST_ID);

  private final ManagedChannel channel;
  private final Endpoint endpoint;
  private final Retry retry;
  private final Timeouts timeouts;
  private final Supplier<String> token;
  private final Metadata extra;
  private final Executor executor;
  private final Closing closing;
  private final Statuses statuses;

  Connection(
      ManagedChannel channel,
      Endpoint endpoint,
      Retry retry,
      Timeouts timeouts,
      Supplier<String> token,
      Metadata extra,
      Executor executor,
      Closing closing) {
    this.channel = channel;
    this.endpoint = endpoint;
    this.retry = retry;
    this.timeouts = timeouts;
    this.token = token;
    this.extra = extra;
    this.executor = executor;
    this.closing = closing;
    this.statuses = new Statuses(endpoint, closing::isClosed);
  }

  /** The same connection under other timeouts. */
  Connection withTimeouts(Timeouts others) {
    return new Connection(channel, endpoint, retry, others, token, extra, executor, closing);
  }

  static Metadata.Key<String> key(String name) {
    return Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER);
  }

  Channel channel() {
    return channel;
  }

  Endpoint endpoint() {
    return endpoint;
  }

  Retry retry() {
    return retry;
  }

  Timeouts timeouts() {
    return timeouts;
  }

  /** Runs what the client does beside the caller's thread. */
  Executor executor() {
    return executor;
  }

  Closing closing() {
    return closing;
  }

  Statuses statuses() {
    return statuses;
  }

  /** Begins one logical call; the timeout may be null for no limit. */
  Attempts attempts(Duration timeout) {
    closing.check();
    return new Attempts(this, timeout);
  }

  /**
   * The stub for one try: with the deadline of all tries and this call's metadata.
   *
   * @throws RpcException no connection came about within the connect timeout, or the waiting was ended
   */
  <S extends AbstractStub<S>> S prepare(S stub, Attempts attempts) {
    awaitConnection(attempts);
    S prepared = stub.withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers(attempts)));
    Deadline deadline = attempts.deadline();
    return deadline == null ? prepared : prepared.withDeadline(deadline);
  }

  /** The options for one try of a call that is made without a stub. See {@link #awaitConnection}. */
  CallOptions options(Attempts attempts) {
    Deadline deadline = attempts.deadline();
    return deadline == null ? CallOptions.DEFAULT : CallOptions.DEFAULT.withDeadline(deadline);
  }

  /** The metadata for one try: the caller's own, the token as it is now, and the request id. */
  Metadata headers(Attempts attempts) {
    Metadata headers = new Metadata();
    headers.merge(extra);
    String now = Settings.bearer(token.get());
    if (!now.isEmpty()) {
      headers.put(AUTHORIZATION, "Bearer " + now);
    }
    headers.put(REQUEST_ID, attempts.requestId());
    return headers;
  }

  /** An RPC that answers once, tried again where that is safe. */
  <Q, R> R unary(MethodDescriptor<Q, R> method, Q request) {
    return unary(method, request, timeouts.call());
  }

  /** The same with a timeout of its own; null for no limit. */
  <Q, R> R unary(MethodDescriptor<Q, R> method, Q request, Duration timeout) {
    return retried(
        attempts(timeout),
        attempts -> {
          awaitConnection(attempts);
          Channel with =
              ClientInterceptors.intercept(channel, MetadataUtils.newAttachHeadersInterceptor(headers(attempts)));
          return ClientCalls.blockingUnaryCall(with, method, options(attempts), request);
        });
  }

  /** Makes tries until one gives a result. */
  <R> R retried(Attempts attempts, Function<Attempts, R> tried) {
    while (true) {
      try {
        return tried.apply(attempts);
      } catch (RuntimeException error) {
        attempts.again(error);
      }
    }
  }

  /**
   * Waits until the channel is connected or knows that it cannot be.
   *
   * @throws RpcException neither was so within the connect timeout; or the waiting was ended
   */
  void awaitConnection(Attempts attempts) {
    closing.check();
    // What failed before is tried anew: until then every call would fail at once with the old error. Between tries
    // of one call sleep() has done so.
    reconnect();
    Duration patience = attempts.tried() ? Duration.ZERO : RECONNECT;
    long begin = System.nanoTime();
    for (ConnectivityState state = channel.getState(true);
        state != ConnectivityState.READY && state != ConnectivityState.SHUTDOWN;
        state = channel.getState(true)) {
      boolean failed = state == ConnectivityState.TRANSIENT_FAILURE;
      long left = begin + Settings.nanos(failed ? patience : timeouts.connect()) - System.nanoTime();
      Deadline deadline = attempts.deadline();
      boolean whole = deadline == null || deadline.timeRemaining(TimeUnit.NANOSECONDS) > left;
      long wait = whole ? left : deadline.timeRemaining(TimeUnit.NANOSECONDS);
      CountDownLatch changed = new CountDownLatch(1);
      channel.notifyWhenStateChanged(state, changed::countDown);
      if (!closing.await(changed, wait, attempts, statuses)) {
        if (failed || !whole) {
          // The call itself says best why the connection failed, or that its deadline is over.
          return;
        }
        throw statuses.notConnected(timeouts.connect(), attempts.requestId());
      }
    }
  }

  /** Waits before another try; a connection that failed is opened anew meanwhile. */
  void sleep(Duration wait, Attempts attempts) {
    reconnect();
    closing.await(new CountDownLatch(1), Settings.nanos(wait), attempts, statuses);
  }

  ConnectivityState state() {
    return channel.getState(false);
  }

  /** Opens a connection that failed anew now, since gRPC itself would wait ever longer, up to two minutes. */
  void reconnect() {
    if (state() == ConnectivityState.TRANSIENT_FAILURE) {
      channel.resetConnectBackoff();
    }
  }

  /** Ends every call and wait; safe to repeat. */
  void close() {
    if (!closing.close()) {
      return;
    }
    channel.shutdownNow();
    try {
      channel.awaitTermination(5, TimeUnit.SECONDS);
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
    } finally {
      closing.finish();
    }
  }

  /** The error of a stream that the server ended well, but too early, as by a proxy's time limit. */
  RpcException endedEarly(Attempts attempts) {
    return Failure.local(Status.Code.UNAVAILABLE, "", "the stream ended early", attempts.requestId(), "").exception();
  }
}
