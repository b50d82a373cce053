// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.grpc.Deadline;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.time.Duration;
import java.util.UUID;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.function.DoubleSupplier;
import java.util.function.LongSupplier;

/**
 * The tries of one logical call under one deadline and one request id. Used by one thread at a time.
 */
final class Attempts {
  private final Connection connection;
  private final Retry retry;
  private final LongSupplier clock;
  private final DoubleSupplier random;
  private final String requestId = UUID.randomUUID().toString();
  private final Deadline deadline;
  private int failures;
  private boolean begun;
  private long failingSince;

  /**
   * Begins a call.
   *
   * @param connection what it runs on
   * @param timeout for all tries and the waits between them; null for no limit
   */
  Attempts(Connection connection, Duration timeout) {
    this(connection, connection.retry(), timeout, System::nanoTime, () -> ThreadLocalRandom.current().nextDouble());
  }

  /** The same under a clock (nanoseconds) and uniform numbers in [0, 1). */
  Attempts(Connection connection, Retry retry, Duration timeout, LongSupplier clock, DoubleSupplier random) {
    this.connection = connection;
    this.retry = retry;
    this.clock = clock;
    this.random = random;
    // A deadline of gRPC cannot lie further ahead than a century.
    long nanos = timeout == null ? Long.MAX_VALUE : Settings.nanos(timeout);
    this.deadline = nanos >= TimeUnit.DAYS.toNanos(36500) ? null : Deadline.after(nanos, TimeUnit.NANOSECONDS);
  }

  /** The x-request-id of every try. */
  String requestId() {
    return requestId;
  }

  /** Null for no limit. */
  Deadline deadline() {
    return deadline;
  }

  /** Whether the last try failed. */
  boolean tried() {
    return failures > 0;
  }

  /** A stream brought something: from now on it is resumed with patience, counted anew. */
  void progressed() {
    begun = true;
    failures = 0;
  }

  /**
   * Waits for the next try.
   *
   * @param error of the try before
   * @throws RpcException there should be none: the error itself, typed, or that the wait was ended
   */
  void again(RuntimeException error) {
    connection.sleep(waitAfter(error), this);
  }

  /**
   * How long to wait before the next try.
   *
   * @param error of the try before
   * @throws RpcException there should be none: the error itself, typed
   */
  Duration waitAfter(RuntimeException error) {
    if (!(error instanceof RpcException) && !(error instanceof StatusRuntimeException)) {
      throw error;
    }
    RpcException typed =
        error instanceof RpcException
            ? (RpcException) error
            : connection.statuses().exception((StatusRuntimeException) error, requestId);
    if (failures++ == 0) {
      // Counted from the break: a reader that takes its time over what came is not to blame for it.
      failingSince = clock.getAsLong();
    }
    if (!retryable(typed) || exhausted()) {
      throw typed;
    }
    double backoff = Settings.nanos(retry.initialBackoff()) * Math.pow(retry.multiplier(), failures - 1);
    double wait = Math.min(backoff, Settings.nanos(retry.maxBackoff()));
    wait *= 1 + retry.jitter() * (2 * random.getAsDouble() - 1);
    long nanos = Math.max((long) wait, Settings.nanos(typed.retryAfter().orElse(Duration.ZERO)));
    if (deadline != null && nanos >= deadline.timeRemaining(TimeUnit.NANOSECONDS)) {
      throw typed;
    }
    return Duration.ofNanos(nanos);
  }

  private boolean retryable(RpcException error) {
    if (error.code() == Status.Code.UNAVAILABLE) {
      // Who cannot connect at all shall know after one timeout; a stream may outlive a network that is down.
      return begun || !error.reason().equals(Connection.CONNECT_TIMEOUT);
    }
    return error.code() == Status.Code.RESOURCE_EXHAUSTED && error.retryAfter().isPresent();
  }

  private boolean exhausted() {
    if (begun) {
      // None is none, also under a clock that has not moved since.
      boolean none = retry.streamPatience().isZero();
      return none || clock.getAsLong() - failingSince > Settings.nanos(retry.streamPatience());
    }
    return failures >= retry.attempts();
  }
}
