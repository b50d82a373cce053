// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.grpc.Status;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;

/** Whether a client was closed, and what that ends. Safe to use from several threads. */
final class Closing {
  private final AtomicBoolean closed = new AtomicBoolean();
  private final Set<Runnable> hooks = ConcurrentHashMap.newKeySet();
  private final Runnable last;

  /** Ends, with what is to be done once the connection is gone. */
  Closing(Runnable last) {
    this.last = last;
  }

  /** The connection is gone. */
  void finish() {
    last.run();
  }

  boolean isClosed() {
    return closed.get();
  }

  /** Throws IllegalStateException once the client is closed. */
  void check() {
    if (closed.get()) {
      throw new IllegalStateException("the client is closed");
    }
  }

  /** Runs it when the client is closed, at once if it is; {@link #forget} takes it back. */
  void onClose(Runnable hook) {
    hooks.add(hook);
    if (closed.get() && hooks.remove(hook)) {
      hook.run();
    }
  }

  void forget(Runnable hook) {
    hooks.remove(hook);
  }

  /** False when it was closed before. */
  boolean close() {
    if (!closed.compareAndSet(false, true)) {
      return false;
    }
    for (Runnable hook : hooks) {
      if (hooks.remove(hook)) {
        hook.run();
      }
    }
    return true;
  }

  /**
   * Waits for a latch as long as the client is open.
   *
   * @return whether the latch was let go in time
   * @throws CallCancelledException the client was closed, or the thread interrupted, whose flag is then set
   */
  boolean await(CountDownLatch latch, long nanos, Attempts attempts, Statuses statuses) {
    Runnable wake = latch::countDown;
    onClose(wake);
    try {
      boolean let = latch.await(nanos, TimeUnit.NANOSECONDS);
      if (isClosed()) {
        throw cancelled(Statuses.CLOSED, attempts);
      }
      return let;
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
      throw cancelled(Statuses.INTERRUPTED, attempts);
    } finally {
      forget(wake);
    }
  }

  private static RpcException cancelled(String why, Attempts attempts) {
    return Failure.local(Status.Code.CANCELLED, "", why, attempts.requestId(), "").exception();
  }
}
