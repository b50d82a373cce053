// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.kohort.v1.JobUpdate;
import io.kohort.v1.StatusRequest;
import io.kohort.v1.StatusResponse;
import java.util.NoSuchElementException;

/** The updates of a job, read by a thread that waits for them. */
final class JobUpdates implements CloseableIterator<JobUpdate> {
  private final JobWatch watch;
  private final Following<StatusRequest, StatusResponse> following;
  private JobUpdate next;

  JobUpdates(Connection connection, Attempts attempts, JobWatch watch) {
    this.watch = watch;
    this.following = new Following<>(connection, attempts, watch);
  }

  @Override
  public boolean hasNext() {
    while (next == null && following.step()) {
      next = watch.take();
    }
    return next != null;
  }

  @Override
  public JobUpdate next() {
    if (!hasNext()) {
      throw new NoSuchElementException();
    }
    JobUpdate taken = next;
    next = null;
    return taken;
  }

  @Override
  public void close() {
    following.close();
  }
}
