// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

/** Too few training patients met the conditions for an answer to be given. */
public final class CohortTooSmallException extends FailedPreconditionException {
  private static final long serialVersionUID = 1;

  CohortTooSmallException(Failure failure) {
    super(failure);
  }
}
