// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

/** A unit met the conditions in none of its attempts; the rows before it were sent. */
public final class ConditionUnsatisfiedException extends FailedPreconditionException {
  private static final long serialVersionUID = 1;

  ConditionUnsatisfiedException(Failure failure) {
    super(failure);
  }

  /**
   * How many units of this request were sent before it.
   *
   * @return 0 or more
   */
  public long unitsReached() {
    try {
      return Long.parseLong(metadata().getOrDefault("units_reached", "0"));
    } catch (NumberFormatException unknown) {
      return 0;
    }
  }
}
