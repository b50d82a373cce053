// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.kohort.v1.Job;

/** A job was cancelled. */
public final class JobCancelledException extends JobException {
  private static final long serialVersionUID = 1;

  JobCancelledException(Job job) {
    super(job.getName() + " was cancelled", job);
  }
}
