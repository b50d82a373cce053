// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

/** A queue, a limit or the disk is full; {@link #retryAfter()} says when to come back, where that helps. */
public final class OverloadedException extends RpcException {
  private static final long serialVersionUID = 1;

  OverloadedException(Failure failure) {
    super(failure);
  }
}
