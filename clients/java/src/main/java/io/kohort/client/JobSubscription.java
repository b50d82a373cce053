// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.kohort.v1.JobUpdate;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Flow;

/** Follows a job without a thread that waits. */
final class JobSubscription {
  private JobSubscription() {}

  static void start(Connection connection, JobWatch watch, Flow.Subscriber<? super JobUpdate> subscriber) {
    throw new UnsupportedOperationException();
  }

  /** Follows to the end; cancelling the future leaves. */
  static CompletableFuture<Void> drain(Connection connection, JobWatch watch) {
    throw new UnsupportedOperationException();
  }
}
