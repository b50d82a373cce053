// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.kohort.v1.JobUpdate;
import io.kohort.v1.StatusRequest;
import io.kohort.v1.StatusResponse;

/** The updates of a job, read by a thread that waits for them. */
final class JobUpdates extends Lookahead<JobUpdate> implements CloseableIterator<JobUpdate> {
  private final JobWatch watch;
  private final Following<StatusRequest, StatusResponse> following;

  JobUpdates(Connection connection, Attempts attempts, JobWatch watch) {
    this.watch = watch;
    this.following = new Following<>(connection, attempts, watch);
  }

  @Override
  JobUpdate fetch() {
    JobUpdate found = null;
    while (found == null && following.step()) {
      found = watch.take();
    }
    return found;
  }

  @Override
  public void close() {
    following.close();
  }
}
