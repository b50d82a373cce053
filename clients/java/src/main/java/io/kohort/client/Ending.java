// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.kohort.v1.JobUpdate;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Flow;

/** Completes when a publisher does; cancelling it cancels the subscription. */
final class Ending extends CompletableFuture<Void> implements Flow.Subscriber<JobUpdate> {
  @Override
  public void onSubscribe(Flow.Subscription subscription) {
    whenComplete((nothing, error) -> subscription.cancel());
    subscription.request(Long.MAX_VALUE);
  }

  @Override
  public void onNext(JobUpdate update) {
    // What a job brings is kept by its handle.
  }

  @Override
  public void onError(Throwable error) {
    completeExceptionally(error);
  }

  @Override
  public void onComplete() {
    complete(null);
  }
}
