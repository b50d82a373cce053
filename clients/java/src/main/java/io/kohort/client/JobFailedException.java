// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.kohort.v1.Job;

/** A job failed. */
public final class JobFailedException extends JobException {
  private static final long serialVersionUID = 1;

  JobFailedException(Job job) {
    super(job.getName() + ": " + job.getError().getReason() + ": " + job.getError().getMessage(), job);
  }

  /**
   * A stable reason of the contract, such as {@code TRAINING_DIVERGED}.
   *
   * @return the reason
   */
  public String reason() {
    return job().getError().getReason();
  }

  /**
   * The column at fault.
   *
   * @return its name, or empty where no column is at fault
   */
  public String column() {
    return job().getError().getColumn();
  }
}
