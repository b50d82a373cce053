// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

/** The model cannot honour what was asked of a sample; nothing was sent. */
public final class ConditionUnsupportedException extends InvalidRequestException {
  private static final long serialVersionUID = 1;

  ConditionUnsupportedException(Failure failure) {
    super(failure);
  }
}
