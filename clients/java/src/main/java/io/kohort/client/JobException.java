// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.kohort.v1.Job;

/** A job ended without a model or report: work failed, not a call. */
public class JobException extends KohortException {
  private static final long serialVersionUID = 1;

  private final Job job;

  JobException(String message, Job job) {
    super(message);
    this.job = job;
  }

  /**
   * The job as it ended.
   *
   * @return the job
   */
  public Job job() {
    return job;
  }
}
